"""Algorithm 1, played with fakes: order of events, stop causes, censoring, cancellation at every checkpoint."""

from collections.abc import Callable, Sequence

import pytest
import trio
from support.episodes import started
from trio.testing import MockClock

from harness.core.conversation import STILL_LOOKING, Cast, converse, stop_cause
from harness.core.errors import CallError
from harness.core.log.episode import build
from harness.core.messages import (
    EpisodeEnded,
    Event,
    RecommenderTurn,
    Scenario,
    Score,
    SeekerReply,
    State,
    Usage,
)


class Script:
    """Recommender, seeker and judge in one; each step may be told to fail."""

    def __init__(
        self,
        rewards: Sequence[float | None],
        *,
        fail_at: str = "",
        accept_at: int = 0,
        rankings: Sequence[tuple[str, ...]] = (),
    ) -> None:
        self.rewards, self.fail_at, self.accept_at, self.rankings = rewards, fail_at, accept_at, rankings
        self.seen: list[State] = []

    def _step(self, name: str) -> None:
        if name == self.fail_at:
            raise CallError(f"{name} failed")

    async def respond(self, state: State) -> RecommenderTurn:
        await trio.sleep(1)
        self._step(f"respond {state.turn}")
        self.seen.append(state)
        ranking = self.rankings[state.turn - 1] if self.rankings else ()
        return RecommenderTurn(response=f"response {state.turn}", preferences=f"c1 {state.turn}", ranking=ranking)

    async def reply(self, scenario: Scenario, state: State) -> SeekerReply:
        await trio.sleep(1)
        turn = len(state.turns)
        self._step(f"reply {turn}")
        return SeekerReply(text=f"reply {turn}", accepted=turn == self.accept_at != 0, quit=False)

    async def score(self, state: State) -> Score:
        await trio.sleep(1)
        turn = len(state.turns)
        self._step(f"score {turn}")
        return Score(reward=self.rewards[turn - 1])


class Examiner:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def score(self, state: State) -> Score:
        await trio.sleep(1)
        if self.error:
            raise self.error
        return Score(reward=0.8)


def play(
    script: Script, evaluator: Examiner | None = None, max_turns: int = 3, within: int = 0
) -> tuple[list[Event], EpisodeEnded]:
    events: list[Event] = []

    async def record(event: Event) -> None:
        events.append(event)

    async def main() -> EpisodeEnded:
        cast = Cast(recommender=script, seeker=script, judge=script, evaluator=evaluator)
        job = started("e", 0, max_turns=max_turns)
        return await converse(job, cast, threshold=0.75, record=record, spent=spent, within=within)

    return events, trio.run(main, clock=MockClock(autojump_threshold=0))


def spent(episode: str) -> tuple[dict[str, Usage], dict[str, float]]:
    return {"actor": Usage(calls=1)}, {"actor": 1.0}


def test_the_recommender_sees_the_growing_dialogue() -> None:
    script = Script([0.1, 0.2, 0.3])
    events, ended = play(script, Examiner())
    assert [state.turn for state in script.seen] == [1, 2, 3]
    assert [u.text for u in script.seen[2].history] == ["reply 0", "response 1", "reply 1", "response 2", "reply 2"]
    assert script.seen[2].turns[0].preferences == "c1 1"
    assert (ended.stop, ended.turns) == ("turns", 3)
    assert ended.evaluation == Score(reward=0.8)
    episode = build(events)
    assert episode.states()[:-1] == tuple(script.seen)
    assert episode.rewards == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("rewards", "accept_at", "stop", "turns"),
    [
        ([0.1, 0.76, 0.1], 0, "judge", 2),
        ([0.1, 0.75, 0.1], 0, "turns", 3),
        ([0.1, 0.2, 0.1], 2, "user", 2),
        ([0.9, 0.2, 0.1], 1, "judge", 1),
        ([None, None, None], 0, "turns", 3),
    ],
)
def test_stop_causes(rewards: list[float | None], accept_at: int, stop: str, turns: int) -> None:
    events, ended = play(Script(rewards, accept_at=accept_at))
    assert (ended.stop, ended.turns) == (stop, turns)
    assert build(events).transitions[-1].stop == stop


def test_the_harness_may_decide_by_the_ranking_alone() -> None:
    """The goal's target is item 1; neither a reward above tau nor the seeker's yes ends such a conversation."""
    script = Script([0.9, 0.9, 0.9], accept_at=1, rankings=(("2", "3", "1"), ("3", "1"), ("1",)))
    events, ended = play(script, within=2)
    assert (ended.stop, ended.turns) == ("target", 2)
    assert [t.reply.text for t in build(events).transitions] == [f"{STILL_LOOKING} reply 1", "reply 2"]
    assert script.seen[1].turns[0].reply == f"{STILL_LOOKING} reply 1"
    _, ended = play(Script([0.9, 0.9, 0.9], rankings=((), ("2",), ("3", "2", "1"))), within=2)
    assert (ended.stop, ended.turns) == ("turns", 3)


def test_a_bored_seeker_leaves() -> None:
    assert stop_cause(Score(reward=0.1), SeekerReply(text="bye", quit=True), 1, 10, 0.75) == "quit"


@pytest.mark.parametrize(
    ("step", "turns", "at"),
    [("reply 0", 0, 1), ("respond 1", 0, 1), ("reply 2", 1, 2), ("score 2", 1, 2), ("respond 3", 2, 3)],
)
def test_a_failing_expert_censors_the_episode(step: str, turns: int, at: int) -> None:
    events, ended = play(Script([0.1, 0.2, 0.3], fail_at=step), Examiner())
    assert (ended.stop, ended.turns, ended.evaluation) == ("error", turns, None)
    assert ended.failure is not None
    assert (ended.failure.kind, ended.failure.message, ended.failure.turn) == ("call", f"{step} failed", at)
    assert len(build(events).transitions) == turns


def test_a_failing_evaluator_is_a_missing_reading_not_a_lost_dialogue() -> None:
    events, ended = play(Script([0.1, 0.9]), Examiner(CallError("gone")))
    assert (ended.stop, ended.turns, ended.evaluation) == ("judge", 2, None)
    assert ended.failure is not None
    assert len(build(events).transitions) == 2


def test_a_bug_is_not_taken_for_an_expected_failure() -> None:
    with pytest.raises(ZeroDivisionError):
        play(Script([0.9]), Examiner(ZeroDivisionError("bug")))


def test_cancellation_at_any_moment_leaves_whole_records_only() -> None:
    # 3 turns x 3 steps + opening + evaluator = 11 virtual seconds.
    for moment in range(12):
        events: list[Event] = []

        async def record(event: Event, events: list[Event] = events) -> None:
            events.append(event)

        async def main(moment: int = moment, record: Callable[[Event], object] = record) -> None:
            script = Script([0.1, 0.2, 0.3])
            with trio.move_on_after(moment + 0.5):
                cast = Cast(recommender=script, seeker=script, judge=script, evaluator=Examiner())
                await converse(started("e", 0, max_turns=3), cast, threshold=0.75, record=record, spent=spent)  # type: ignore[arg-type]

        trio.run(main, clock=MockClock(autojump_threshold=0))
        assert [type(e).__name__ for e in events] == (
            ["EpisodeStarted"]
            + ["Opening"] * (moment >= 1)
            + ["Transition"] * min(3, max(0, (moment - 1) // 3))
            + ["EpisodeEnded"] * (moment >= 11)
        )
