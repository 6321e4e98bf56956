"""Many conversations: siblings, limits, order of admission, the failure policy and draining, on the autojump clock."""

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from support.episodes import started
from trio.testing import MockClock

from harness.core.errors import RunFailed, RunStopped
from harness.core.messages import EpisodeEnded, EpisodeStarted, Failure
from harness.core.scheduler import Stopping, Tally, run_conversations


def jobs(count: int) -> list[EpisodeStarted]:
    return [started(f"e{number:03d}", number) for number in range(count)]


class Stage:
    """Plays conversations of ten virtual seconds and remembers what happened."""

    def __init__(
        self,
        *,
        broken: Callable[[int], bool] = lambda index: False,
        refused: Callable[[int], bool] = lambda index: False,
    ) -> None:
        self.broken = broken
        self.refused = refused
        self.began: list[int] = []
        self.ended: list[int] = []
        self.failures: list[tuple[str, Failure]] = []
        self.most = self.now = 0

    async def play(self, job: EpisodeStarted) -> EpisodeEnded:
        self.began.append(job.index)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await trio.sleep(10 + job.index % 3)
            if self.broken(job.index):
                raise ZeroDivisionError("a bug")
        finally:
            self.now -= 1
        self.ended.append(job.index)
        failure = Failure(kind="call", message=f"refused {job.index}", turn=1) if self.refused(job.index) else None
        return EpisodeEnded(episode=job.episode, stop="error" if failure else "turns", turns=1, failure=failure)

    async def failed(self, job: EpisodeStarted, failure: Failure) -> None:
        self.failures.append((job.episode, failure))


async def schedule(stage: Stage, count: int, *, max_live: int, stopping: Stopping | None = None, **more: Any) -> Tally:
    tally = Tally("of this test")
    await run_conversations(
        jobs(count),
        stage.play,
        max_live=max_live,
        stopping=stopping or Stopping(30),
        tallies=(tally,),
        fail_on_error=more.pop("fail_on_error", 0.2),
        failed=stage.failed,
        **more,
    )
    return tally


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    return trio.run(main, clock=MockClock(autojump_threshold=0))


def test_300_live_conversations_and_one_that_raises() -> None:
    stage = Stage(broken=lambda index: index == 150)
    tally = run(lambda: schedule(stage, 300, max_live=300))
    assert stage.most == 300
    assert sorted(stage.ended) == [n for n in range(300) if n != 150]
    ((episode, failure),) = stage.failures
    assert (episode, failure.kind, failure.message) == ("e150", "bug", "ZeroDivisionError: a bug")
    assert (tally.done, tally.failed, tally.live) == (300, 1, 0)


def test_the_limit_holds_and_admission_is_in_order() -> None:
    stage = Stage()
    run(lambda: schedule(stage, 50, max_live=7))
    assert stage.most == 7
    # Those who find free places begin together, in any order; nobody before seven ahead of him have begun or ended.
    assert sorted(stage.began[:7]) == list(range(7))
    assert sorted(stage.began) == list(range(50))
    assert all(index < place + 7 for place, index in enumerate(stage.began))


def test_a_job_waits_until_it_is_admitted() -> None:
    stage = Stage()

    async def main() -> None:
        gate = trio.Event()

        async def admit(job: EpisodeStarted) -> None:
            if job.index == 5:
                await gate.wait()

        async with trio.open_nursery() as nursery:

            async def go() -> None:
                await schedule(stage, 10, max_live=10, admit=admit)

            nursery.start_soon(go)
            await trio.sleep(100)
            assert sorted(stage.ended) == [0, 1, 2, 3, 4]
            gate.set()

    run(main)
    assert len(stage.ended) == 10


def test_too_many_failures_stop_the_run() -> None:
    stage = Stage(broken=lambda index: index % 2 == 0)
    with pytest.raises(ExceptionGroup) as caught:
        run(lambda: schedule(stage, 300, max_live=10))
    assert caught.value.subgroup(RunStopped)
    assert len(stage.began) < 50


def failed_by(refused: Callable[[int], bool], count: int, max_live: int, limit: float) -> str:
    """What the run ends with; empty where it does not."""
    try:
        run(lambda: schedule(Stage(refused=refused), count, max_live=max_live, fail_on_error=limit))
    except ExceptionGroup as group:
        assert group.subgroup(RunFailed)
        return str(group.exceptions[0])
    return ""


def test_a_phase_of_a_few_conversations_is_checked() -> None:
    said = failed_by(lambda index: True, 6, 1, 0.2)
    assert said.startswith("5 of 5 conversations of this test failed, more than scheduler.fail_on_error = 0.2 allows")
    assert said.endswith("the first: e000: refused 0")
    assert not failed_by(lambda index: index < 4, 6, 1, 0.2)  # no more than a fifth of 20
    assert failed_by(lambda index: index == 3, 6, 1, 0.0)
    assert not failed_by(lambda index: True, 6, 6, 1.0)


def test_those_that_still_live_count_as_good_so_early_failures_do_not_end_the_run() -> None:
    # The 10 failures of 100 are over before any conversation that goes well: a tenth failed, not all of the first 10.
    stage = Stage(refused=lambda index: index < 10)
    whole = stage.play

    async def play(job: EpisodeStarted) -> EpisodeEnded:
        if job.index >= 10:
            await trio.sleep(50)
        return await whole(job)

    stage.play = play  # type: ignore[method-assign]
    assert run(lambda: schedule(stage, 100, max_live=100)).failed == 10
    assert failed_by(lambda index: index < 21, 100, 100, 0.2)


def test_draining_admits_nobody_and_lets_the_living_finish() -> None:
    stage = Stage()

    async def main() -> None:
        said: list[str] = []
        stopping = Stopping(30, said.append)
        async with stopping.watching_signals(), trio.open_nursery() as nursery:

            async def go() -> None:
                await schedule(stage, 100, max_live=10, stopping=stopping)

            nursery.start_soon(go)
            await trio.sleep(1)
            os.kill(os.getpid(), signal.SIGINT)
            await trio.sleep(25)
            assert stopping.requested
            nursery.cancel_scope.cancel()
        assert len(said) == 1
        assert "30 s to finish" in said[0]
        assert "Ctrl-C again" in said[0]

    run(main)
    assert sorted(stage.began) == list(range(10))
    assert sorted(stage.ended) == list(range(10))


def test_draining_ends_at_its_deadline_and_a_second_signal_ends_at_once() -> None:
    for second, expected in ((False, 5.0), (True, 2.0)):
        stage = Stage()

        async def main(stage: Stage = stage, second: bool = second) -> float:
            stopping = Stopping(drain_s=4)
            async with stopping.watching_signals(), trio.open_nursery() as nursery:

                async def go() -> None:
                    await schedule(stage, 100, max_live=10, stopping=stopping)

                nursery.start_soon(go)
                await trio.sleep(1)
                os.kill(os.getpid(), signal.SIGINT)
                await trio.sleep(1)
                if second:
                    os.kill(os.getpid(), signal.SIGTERM)
                await trio.sleep(100)
            return trio.current_time()

        start_to_end: list[float] = []

        async def timed(main: Callable[[], Awaitable[float]] = main, into: list[float] = start_to_end) -> None:
            begun = trio.current_time()
            into.append(await main() - begun)

        run(timed)
        assert start_to_end[0] == pytest.approx(expected, abs=0.5)
        assert stage.ended == []
        assert stage.now == 0
