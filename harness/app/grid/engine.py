"""The local engine: worker processes of this machine. An order goes to the next free one; at the end all are gone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import msgspec
import structlog
import trio

from harness.app.grid.orders import Answer, Done, Order, Queue

FAREWELL_S = 45.0
"""How long a worker may take to stop its conversations and to write what is finished."""
WORKER = (sys.executable, "-m", "harness.app.grid.worker")
RETRIES = 2
"""How often an order is played again whose worker died, for want of memory or by a kill."""

log = structlog.get_logger()


class LocalEngine:
    """``processes``: orders that are played side by side, at most."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._crew: set[trio.Process] = set()
        self._queue: Queue | None = None
        self._stopping = False

    async def work(self, orders: Sequence[Order], done: Done) -> None:
        """Play all orders, each in a worker; one whose worker died is played again, at most `RETRIES` times."""
        self._queue = Queue(orders, done)
        async with trio.open_nursery() as nursery:
            for _ in range(min(self._processes, len(orders))):
                nursery.start_soon(self._worker, self._queue)

    def stop(self, signal_number: int) -> None:
        """No further order begins; the workers get the signal."""
        self._stopping = True
        if self._queue is not None:
            self._queue.close()
        for process in self._crew:
            process.send_signal(signal_number)

    async def _worker(self, queue: Queue) -> None:
        process: trio.Process | None = None
        try:
            while (order := await queue.next()) is not None:
                for attempt in range(1 + RETRIES):
                    if process is None or process.returncode is not None:
                        process = await self._started(process)
                    answer = await _ask(process, order)
                    if answer is not None or self._stopping:
                        break
                    code = await process.wait()
                    log.error("worker_died", order=order.name, exit_code=code, attempt=attempt)
                died = Answer(
                    error=f"its worker process died {1 + RETRIES} times, the last time with exit code "
                    f"{process.returncode if process else None}",
                    interrupted=self._stopping,
                )
                queue.ended(order, answer or died)
        finally:
            if process is not None:
                await self._ended(process)

    async def _started(self, before: trio.Process | None) -> trio.Process:
        if before is not None:
            self._crew.discard(before)
        # A session of its own: only this process passes on the terminal's Ctrl-C.
        process = await trio.lowlevel.open_process(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._crew.add(process)
        return process

    async def _ended(self, process: trio.Process) -> None:
        with trio.move_on_after(FAREWELL_S, shield=True) as farewell:
            if process.stdin is not None:
                await process.stdin.aclose()
            await process.wait()
        if farewell.cancelled_caught:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        self._crew.discard(process)


async def _ask(process: trio.Process, order: Order) -> Answer | None:
    """None where the worker died before it had an answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdin.send_all(msgspec.json.encode(order) + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            part = await process.stdout.receive_some()
            if not part:
                await process.wait()
                return None
            line += part
    except trio.BrokenResourceError:
        await process.wait()
        return None
    return msgspec.json.decode(line, type=Answer)
