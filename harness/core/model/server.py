"""An LLM server process: started in its own process group, awaited, watched, and ended with its whole group.

`server_process` is an async context manager around one process; to start the server again, enter it again. The server
also ends when the harness is killed (kill -9): it inherits a pipe and ends when the pipe closes. The scripted world
watches the pipe itself (``--parent-fd``); for vLLM `harness.core.model.guard` does it.

Left out: the command line of vLLM or the scripted world and the decision to start again (``harness.app.setup``), and
servers that somebody else started.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import msgspec
import trio

from harness.core.errors import HarnessError, InputError, RunStopped
from harness.core.model.transport import PlainTransport
from harness.core.sections import one_line

Ready = Callable[[str], Awaitable[str | None]]
"""Given the log so far, the server's root URL once it is ready, else None."""
OnWait = Callable[[float, str], None]
"""Told about once a second while a server starts: seconds so far and the log's last line."""

_TAIL_BYTES = 65536
_SHOWN_LINES = 8
_IN_USE = re.compile(r"(?i)address already in use|errno 98\b|port \d+ is (?:already )?in use")


class ServerHandle:
    """A running server: its address, its log, and its end."""

    def __init__(self, root_url: str, log_path: Path, process: trio.Process) -> None:
        self.root_url = root_url
        """``http://127.0.0.1:PORT``, for ``/health``, ``/metrics``, ``/tokenize``."""
        self.base_url = f"{root_url}/v1"
        """What an `OpenAIChat` takes."""
        self.log_path = log_path
        self.pid = process.pid
        """Its process and group id (the guard's where there is one)."""
        self._process = process

    @property
    def exit_code(self) -> int | None:
        """None while it lives; negative: the signal that ended it."""
        return self._process.poll()

    async def wait_death(self) -> int:
        """Returns the exit code as soon as the process ends, whoever ended it."""
        return await self._process.wait()

    def last_lines(self) -> str:
        """The end of its log, for messages."""
        return _shown(_read_from(self.log_path, 0))


def free_port() -> int:
    """A port on 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def ensure_port_free(port: int) -> None:
    """Raises `InputError` where another process listens on the port."""
    with socket.socket() as sock:
        # Servers set this option too: a port in TIME_WAIT counts as free.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(f"port {port} on 127.0.0.1 cannot be used for a server: {error.strerror}") from None


def announced() -> Ready:
    """Ready when the server prints a line ``{"event": "listening", "url": "http://127.0.0.1:PORT", ...}``."""

    async def ready(log: str) -> str | None:
        for line in log.split("\n")[:-1]:
            if line.startswith("{"):
                with contextlib.suppress(msgspec.DecodeError):
                    said = msgspec.json.decode(line.encode("utf-8", "replace"))
                    if isinstance(said, dict) and said.get("event") == "listening" and isinstance(said.get("url"), str):
                        return str(said["url"]).rstrip("/")
        return None

    return ready


def healthy(root_url: str) -> Ready:
    """Ready when ``GET root_url/health`` answers 200."""

    async def ready(log: str) -> str | None:
        async with PlainTransport() as transport:
            with trio.move_on_after(2.0), contextlib.suppress(httpx2.TransportError):
                response = await transport.handle_async_request(httpx2.Request("GET", f"{root_url}/health"))
                if response.status_code == 200:
                    return root_url
        return None

    return ready


@asynccontextmanager
async def server_process(
    command: Sequence[str],
    *,
    name: str,
    log_path: Path,
    ready: Ready,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    watches_parent: bool = False,
    start_timeout_s: float = 600.0,
    grace_s: float = 10.0,
    on_progress: OnWait | None = None,
) -> AsyncIterator[ServerHandle]:
    """Start ``command``, wait until it is ready, and end it with everything it started when the context is left.

    Args:
        command: the program and its arguments.
        name: the server's name in messages.
        log_path: the file to which the server's output is appended.
        ready: reads the log and returns the root URL once the server is ready.
        port: checked to be free first, where given.
        env: variables added to the harness's own environment.
        watches_parent: whether the command knows ``--parent-fd N``; otherwise the guard runs it.
        start_timeout_s: seconds until it must be ready.
        grace_s: seconds between SIGTERM and SIGKILL.
        on_progress: called while the server is not ready yet.

    Raises:
        InputError: the server cannot start (no such program, port in use, its own refusal).
        RunStopped: it is not ready within ``start_timeout_s``. Both messages hold the end of its log.
    """
    if port is not None:
        ensure_port_free(port)
    if shutil.which(command[0]) is None:
        raise InputError(f"the server {name} cannot be started: there is no program {command[0]}")
    start_of_log = _size(log_path)
    watched, held = os.pipe()
    try:
        try:
            process = await _open(command, log_path, env, watched, watches_parent)
        finally:
            os.close(watched)
        try:
            url = await _until_ready(name, process, ready, log_path, start_of_log, start_timeout_s, on_progress)
            yield ServerHandle(url, log_path, process)
        finally:
            with trio.CancelScope(shield=True):
                await _end_group(process, grace_s)
    finally:
        os.close(held)


async def _open(
    command: Sequence[str], log_path: Path, env: Mapping[str, str] | None, watched: int, watches_parent: bool
) -> trio.Process:
    if watches_parent:
        whole = [*command, "--parent-fd", str(watched)]
    else:
        # By path, isolated and without site: the guard needs the standard library only, and no module may replace it.
        guard = str(Path(__file__).with_name("guard.py"))
        whole = [sys.executable, "-I", "-S", guard, "--parent-fd", str(watched), "--", *command]
    with open(log_path, "ab") as log:  # noqa: ASYNC230  # opening a local file, once a server
        return await trio.lowlevel.open_process(
            whole,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            pass_fds=(watched,),
        )


async def _until_ready(
    name: str,
    process: trio.Process,
    ready: Ready,
    log_path: Path,
    start_of_log: int,
    timeout_s: float,
    on_progress: OnWait | None,
) -> str:
    started_at = told_at = trio.current_time()
    with trio.move_on_after(timeout_s):
        while process.poll() is None:
            log = _read_from(log_path, start_of_log)
            url = await ready(log)
            if url is not None and process.poll() is None:
                return url
            now = trio.current_time()
            if on_progress is not None and now - told_at >= 1.0:
                told_at = now
                on_progress(now - started_at, _shown(log).rpartition("\n")[2].strip())
            # Often at first, for servers that start at once; later seldom, for those that take minutes.
            with trio.move_on_after(min(0.5, 0.02 + (now - started_at) / 20)):
                await process.wait()
    log = _read_from(log_path, start_of_log)
    code = process.poll()
    if code is None:
        raise _failed(RunStopped, f"the server {name} was not ready within {timeout_s:g} s", log, log_path)
    why = ": its port is in use" if _IN_USE.search(log) else ""
    raise _failed(InputError, f"the server {name} ended with exit code {code} before it was ready{why}", log, log_path)


def _failed(kind: type[HarnessError], sentence: str, log: str, log_path: Path) -> HarnessError:
    shown = _shown(log)
    return kind(f"{sentence}; its log {log_path.name} ends:\n{shown}" if shown else f"{sentence}; its log is empty")


async def _end_group(process: trio.Process, grace_s: float) -> None:
    """TERM to the group, wait for its leader, KILL to what is left of the group."""
    _signal_group(process.pid, signal.SIGTERM)
    with trio.move_on_after(grace_s):
        await process.wait()
    # Also when the leader is gone, since its workers may still run.
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read_from(path: Path, start: int) -> str:
    """The log from ``start`` on, of a long log its end."""
    try:
        with open(path, "rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(start, size - _TAIL_BYTES))
            return log.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _shown(log: str) -> str:
    lines = [one_line(line) for line in log.split("\n")]
    return "\n".join(f"  {line[:200]}" for line in [line for line in lines if line][-_SHOWN_LINES:])
