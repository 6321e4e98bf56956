"""Many conversations at once: admission, limits, failure policy, draining.

Jobs start in order, at most ``max_live`` at a time, each when its ``admit`` returns (for a training episode: when the
policy version that it must act with is published). A conversation that raises is recorded as failed and leaves the
others alone; too many failures end the run. After a request to stop, live conversations have some time to finish.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import structlog
import trio

from harness.core.errors import RunFailed, RunStopped
from harness.core.messages import EpisodeEnded, EpisodeStarted, Failure

FAILURES_COUNT_FROM = 20
"""A share of failures is taken of at least as many conversations: one failure of two is not a trend."""

log = structlog.get_logger()


class Stopping:
    """A request to stop: first, no new conversation starts and live ones may finish; then everything is cancelled."""

    def __init__(self, drain_s: float, say: Callable[[str], None] | None = None) -> None:
        """``say`` shows one line to the person who interrupted."""
        self.requested = False
        self._say = say
        self._drain_s = drain_s
        self._admission: set[trio.CancelScope] = set()
        self._everything = trio.CancelScope()

    def drain(self) -> None:
        """Start no new conversation; cancel the live ones after the drain time. A second call cancels at once."""
        if self.requested:
            self.cancel()
            return
        self.requested = True
        for scope in self._admission:
            scope.cancel()
        self._everything.deadline = trio.current_time() + self._drain_s

    def cancel(self) -> None:
        """Cancel everything now."""
        self.requested = True
        self._everything.cancel()

    @asynccontextmanager
    async def watching_signals(self) -> AsyncIterator[None]:
        """SIGINT drains; a second SIGINT, or SIGTERM, cancels the body of this context."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._listen)
            with self._everything:
                yield
            nursery.cancel_scope.cancel()

    async def _listen(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                log.warning("signal", name=signal.Signals(number).name)
                if number == signal.SIGTERM:
                    self.cancel()
                else:
                    if self._say is not None and not self.requested:
                        self._say(
                            f"interrupted: no new conversation begins, live ones have {self._drain_s:g} s to finish; "
                            "Ctrl-C again stops at once"
                        )
                    self.drain()


class Tally:
    """Counts of a batch of conversations, for progress and the failure policy."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.live = 0
        self.done = 0
        self.failed = 0
        self._first = ""

    def ended(self, job: EpisodeStarted, failure: Failure | None) -> None:
        """One more has ended."""
        self.done += 1
        if failure is not None:
            self.failed += 1
            self._first = self._first or f"{job.episode}: {failure.message}"

    def check(self, fail_on_error: float) -> None:
        """Raise `RunFailed` where the share of failures is above the limit even if all live conversations succeed.

        Live conversations count as successes here, since a failed conversation often ends sooner than a good one.

        Args:
            fail_on_error: the limit, a share in [0, 1].
        """
        begun = self.done + self.live
        if self.failed > fail_on_error * max(begun, FAILURES_COUNT_FROM):
            raise RunFailed(
                f"{self.failed} of {self.done} conversations {self.what} failed, more than scheduler.fail_on_error = "
                f"{fail_on_error:g} allows; the first: {self._first}"
            )


async def run_conversations(
    jobs: Iterable[EpisodeStarted],
    play: Callable[[EpisodeStarted], Awaitable[EpisodeEnded]],
    *,
    max_live: int,
    stopping: Stopping,
    tallies: Sequence[Tally],
    fail_on_error: float,
    failed: Callable[[EpisodeStarted, Failure], Awaitable[None]],
    admit: Callable[[EpisodeStarted], Awaitable[None]] | None = None,
) -> None:
    """Play all jobs; returns when every admitted conversation has ended.

    Args:
        jobs: in episode order.
        play: plays one to its recorded end.
        max_live: conversations at a time.
        stopping: ends admission when a stop was requested.
        tallies: kept up to date; of this batch, and of whatever else it is a part of.
        fail_on_error: share of failed conversations, of any tally, above which `RunFailed` is raised.
        failed: records a conversation that raised (a bug in a part; expected failures are ``play``'s own result).
        admit: waits until a job may begin.
    """
    slots = trio.Semaphore(max_live)

    async def one(job: EpisodeStarted) -> None:
        for tally in tallies:
            tally.live += 1
        try:
            failure = (await play(job)).failure
        except RunStopped:
            raise
        except Exception as error:
            log.exception("conversation_raised", episode=job.episode)
            failure = Failure(kind="bug", message=f"{type(error).__name__}: {error}", turn=0)
            await failed(job, failure)
        finally:
            for tally in tallies:
                tally.live -= 1
            slots.release()
        for tally in tallies:
            tally.ended(job, failure)
        for tally in tallies:
            tally.check(fail_on_error)

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as admission:
            stopping._admission.add(admission)
            try:
                for job in jobs:
                    if stopping.requested:
                        break
                    if admit is not None:
                        await admit(job)
                    try:
                        # Fill all free places at once: with a wait for each, a thousand conversations would need a
                        # thousand rounds of the event loop to start, which is seconds.
                        slots.acquire_nowait()
                    except trio.WouldBlock:
                        await slots.acquire()
                    nursery.start_soon(one, job, name=job.episode)
            finally:
                stopping._admission.discard(admission)
