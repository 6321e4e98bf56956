"""Cells of a grid played one after another in this process: what workers do, without the seconds of their start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import trio

from harness.app.grid import play, worker
from harness.app.grid.orders import Done, Order, Queue
from harness.core.scheduler import Stopping


class InlineEngine:
    def __init__(self, processes: int) -> None:
        self.queue: Queue | None = None

    async def work(self, orders: Sequence[Order], done: Done) -> None:
        self.queue = Queue(orders, done)
        while (order := await self.queue.next()) is not None:
            self.queue.ended(order, await trio.to_thread.run_sync(worker.play, order))

    def stop(self, signal_number: int) -> None:
        assert self.queue is not None
        self.queue.close()


async def _no_signals(self: Stopping, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """Only the main thread hears of signals."""
    task_status.started()
    await trio.sleep_forever()


@contextmanager
def inline_cells() -> Iterator[None]:
    """The engine of all grids until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(play, "LocalEngine", InlineEngine)
        patch.setattr(Stopping, "_listen", _no_signals)
        yield
