"""The worker processes of a study: cells in order, each to the next free worker; ends with all of them gone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import msgspec
import trio

from harness.app.study.worker import Answer, Order
from harness.core.errors import Interrupted

FAREWELL_S = 45.0
"""How long a worker may take to stop its conversations and to write what is finished."""


async def work(orders: Sequence[Order], processes: int, done: Callable[[Order, Answer], None]) -> None:
    """Play all orders; ``done`` hears of each. After a SIGINT or SIGTERM: `Interrupted`, when all have stopped."""
    waiting = iter(orders)
    crew: set[trio.Process] = set()
    stopping = False

    def remaining() -> Iterator[Order]:
        for order in waiting:
            if stopping:
                return
            yield order

    async def watch(task_status: trio.TaskStatus[None]) -> None:
        nonlocal stopping
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                stopping = True
                for process in crew:
                    process.send_signal(number)

    async with trio.open_nursery() as watching:
        await watching.start(watch)
        async with trio.open_nursery() as nursery:
            for _ in range(min(processes, len(orders))):
                nursery.start_soon(_worker, remaining(), crew, done)
        watching.cancel_scope.cancel()
    if stopping:
        raise Interrupted("interrupted")


async def _worker(orders: Iterator[Order], crew: set[trio.Process], done: Callable[[Order, Answer], None]) -> None:
    process: trio.Process | None = None
    try:
        for order in orders:
            if process is None or process.returncode is not None:
                # A session of its own: the terminal's Ctrl-C reaches it through us alone.
                process = await trio.lowlevel.open_process(
                    [sys.executable, "-m", "harness.app.study.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
                crew.add(process)
            done(order, await _ask(process, order))
    finally:
        if process is not None:
            with trio.move_on_after(FAREWELL_S, shield=True) as farewell:
                if process.stdin is not None:
                    await process.stdin.aclose()
                await process.wait()
            if farewell.cancelled_caught:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
            crew.discard(process)


async def _ask(process: trio.Process, order: Order) -> Answer:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdin.send_all(msgspec.json.encode(order) + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            part = await process.stdout.receive_some()
            if not part:
                code = await process.wait()
                return Answer(error=f"its worker ended with exit code {code}")
            line += part
    except trio.BrokenResourceError:
        return Answer(error=f"its worker ended with exit code {await process.wait()}")
    return msgspec.json.decode(line, type=Answer)
