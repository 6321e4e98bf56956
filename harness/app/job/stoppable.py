"""`trio.run` of work whose progress is shown beside it and that signals stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from harness.app.console.progress import Progress
from harness.app.console.show import show_progress
from harness.core.errors import Interrupted
from harness.core.scheduler import Stopping

T = TypeVar("T")


def run_stoppable(work: Callable[[Stopping], Awaitable[T]], progress: Progress, drain_s: float) -> T:
    """What ``work`` returns; `Interrupted` where a signal ended it.

    ``drain_s``: how long live conversations may go on after the first SIGINT.
    """

    async def whole() -> T:
        stopping = Stopping(drain_s, progress.say)
        async with stopping.watching_signals(), trio.open_nursery() as nursery:
            nursery.start_soon(show_progress, progress)
            found = await work(stopping)
            nursery.cancel_scope.cancel()
            return found
        raise Interrupted("interrupted")

    return trio.run(whole)
