"""The life of a server process, with small real processes on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from harness.core.errors import InputError, RunStopped
from harness.core.model.server import Ready, announced, ensure_port_free, free_port, healthy, server_process
from harness.core.model.transport import PlainTransport

SERVER = [sys.executable, str(Path(__file__).parent / "support" / "small_server.py")]


def _gone(pid: int) -> bool:
    """Ended, or ended and not yet collected by init."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def _eventually(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _child_of(log: Path) -> int:
    return next(int(line.split()[1]) for line in log.read_text().split("\n") if line.startswith("child "))


async def _get(url: str) -> int:
    async with PlainTransport() as transport:
        return (await transport.handle_async_request(httpx2.Request("GET", url))).status_code


@pytest.mark.parametrize("watches_parent", [True, False])
def test_a_server_is_ready_inside_and_gone_after_with_its_children(tmp_path: Path, watches_parent: bool) -> None:
    log = tmp_path / "server.log"
    log.write_text('{"event": "listening", "url": "http://127.0.0.1:1"}\nof an earlier life\n')

    async def main() -> None:
        async with server_process(
            [*SERVER, "--announce", "--child"],
            name="world",
            log_path=log,
            ready=announced(),
            watches_parent=watches_parent,
        ) as handle:
            assert handle.base_url == f"{handle.root_url}/v1"
            assert await _get(handle.base_url) == 200
            assert handle.exit_code is None
            assert os.getpgid(_child_of(log)) == handle.pid != os.getpgrp()
        assert handle.exit_code is not None
        assert _eventually(lambda: _gone(_child_of(log)))

    trio.run(main)


def test_a_server_with_a_given_port_is_ready_when_healthy_and_may_start_again(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    async def main() -> None:
        for _ in range(2):
            async with server_process(
                [*SERVER, "--port", str(port)],
                name="small",
                log_path=tmp_path / "server.log",
                ready=healthy(url),
                port=port,
            ) as handle:
                assert handle.root_url == url
                assert await _get(f"{url}/health") == 200

    trio.run(main)


@pytest.mark.parametrize("watches_parent", [True, False])
def test_cancellation_ends_even_a_stubborn_group_within_its_grace(tmp_path: Path, watches_parent: bool) -> None:
    log = tmp_path / "server.log"

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with server_process(
                [*SERVER, "--announce", "--child", "--stubborn"],
                name="stubborn",
                log_path=log,
                ready=announced(),
                watches_parent=watches_parent,
                grace_s=0.3,
            ):
                scope.cancel()
                await trio.sleep_forever()
        assert _eventually(lambda: _gone(_child_of(log)))

    start = time.monotonic()
    trio.run(main)
    assert time.monotonic() - start < 30  # the processes themselves would sleep for 600 s


def test_cancellation_while_it_starts_ends_it(tmp_path: Path) -> None:
    log = tmp_path / "server.log"

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def start() -> None:
                    command = [*SERVER, "--never", "--child"]
                    async with server_process(command, name="slow", log_path=log, ready=announced()):
                        raise AssertionError("never ready")

                nursery.start_soon(start)
                started = await trio.to_thread.run_sync(
                    _eventually, lambda: log.exists() and "child" in log.read_text()
                )
                assert started
                scope.cancel()
        assert _eventually(lambda: _gone(_child_of(log)))

    trio.run(main)


@pytest.mark.parametrize("watches_parent", [True, False])
def test_its_death_is_noticed_at_once(tmp_path: Path, watches_parent: bool) -> None:
    async def main() -> None:
        async with server_process(
            [*SERVER, "--announce"],
            name="mortal",
            log_path=tmp_path / "server.log",
            ready=announced(),
            watches_parent=watches_parent,
        ) as handle:

            async def kill() -> None:
                await trio.sleep(0.05)
                os.kill(int(_pid_said(handle.log_path)), signal.SIGKILL)

            start = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kill)
                code = await handle.wait_death()
            assert trio.current_time() - start < 30
            # As the process itself tells it, or as a shell does, through the guard.
            assert code == (-9 if watches_parent else 137)

    trio.run(main)


def _pid_said(log: Path) -> str:
    return log.read_text().partition('"pid": ')[2].partition("}")[0]


_PARENT = """
import sys, trio
from pathlib import Path
from harness.core.model.server import announced, server_process

async def main():
    command = [sys.executable, sys.argv[1], "--announce", "--child"]
    async with server_process(
        command, name="orphan", log_path=Path(sys.argv[2]), ready=announced(), watches_parent=sys.argv[3] == "flag"
    ) as handle:
        print(handle.pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.parametrize("how", ["flag", "guard"])
def test_kill_9_of_the_harness_ends_the_whole_group(tmp_path: Path, how: str) -> None:
    log = tmp_path / "server.log"
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, SERVER[1], str(log), how], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        leader = int(parent.stdout.readline())
        server, child = int(_pid_said(log)), _child_of(log)
        assert not any(map(_gone, (leader, server, child)))
        parent.kill()
    assert _eventually(lambda: all(map(_gone, (leader, server, child))))


def test_an_occupied_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def main() -> None:
            async with server_process(
                SERVER, name="late", log_path=tmp_path / "server.log", ready=announced(), port=port
            ):
                raise AssertionError("two servers on one port")

        with pytest.raises(InputError, match=f"port {port} .*in use"):
            trio.run(main)
    assert not (tmp_path / "server.log").exists()
    ensure_port_free(port)


def _start(tmp_path: Path, *options: str, ready: Ready | None = None, **settings: Any) -> None:
    async def main() -> None:
        async with server_process(
            [*SERVER, *options],
            name="broken",
            log_path=tmp_path / "server.log",
            ready=ready or announced(),
            **settings,
        ):
            raise AssertionError("never ready")

    trio.run(main)


def test_a_server_that_ends_before_it_is_ready_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(?s)broken ended with exit code 3 .*server\.log.*no such model") as caught:
        _start(tmp_path, "--say", "no such model: x", "--exit", "3")
    assert not isinstance(caught.value, RunStopped)


def test_a_port_that_was_taken_meanwhile_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its port is in use"):
        _start(tmp_path, "--say", "OSError: [Errno 98] Address already in use", "--exit", "1")


def test_a_server_that_is_never_ready_is_ended_and_quoted(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(RunStopped, match=r"(?s)not ready within 2\.5 s.*loading weights"):
        _start(tmp_path, "--say", "loading weights", "--never", "--child", start_timeout_s=2.5)
    assert time.monotonic() - start < 30  # the processes themselves would sleep for 600 s
    assert _eventually(lambda: _gone(_child_of(tmp_path / "server.log")))


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with server_process(
            ["/no/such/python"], name="vllm", log_path=tmp_path / "server.log", ready=announced()
        ):
            raise AssertionError("nothing to start")

    with pytest.raises(InputError, match="server vllm .*/no/such/python"):
        trio.run(main)


def test_progress_is_told_with_the_last_line_of_the_log(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []

    async def main() -> None:
        with trio.move_on_after(60) as scope:

            def progress(seconds: float, line: str) -> None:
                told.append((seconds, line))
                if line == "loading weights":
                    scope.cancel()

            async with server_process(
                [*SERVER, "--say", "loading weights", "--never"],
                name="slow",
                log_path=tmp_path / "server.log",
                ready=announced(),
                on_progress=progress,
            ):
                raise AssertionError("never ready")

    trio.run(main)
    assert told[-1][1] == "loading weights"
    assert told[0][0] >= 1.0
    assert all(later - earlier >= 1.0 for (earlier, _), (later, _) in pairwise(told))
