"""What stops a run while it plays: a judge of whom nothing is read in its first readings; and who thinks aloud."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from support.episodes import events_of

from harness.app.job.watch import FIRST, Watch
from harness.core.errors import RunStopped
from harness.core.messages import EpisodeEnded, Score, Transition, Usage


def judged(score: Score) -> Transition:
    (event,) = [event for event in events_of("e", 0, rewards=(0.5,)) if isinstance(event, Transition)]
    return replace(event, score=score)


@pytest.mark.parametrize(
    ("score", "pieces"),
    [
        (Score(invalid=20, unread='"**"'), ['20 of its 20 samples are no rating, such as "**"', "roles.reward"]),
        (Score(invalid=20, unread="nothing but thought"), ["such as nothing but thought", "turn its thinking off"]),
        (Score(label_mass=1e-7), ["1e-07 of its next token", "below reward.mass_floor = 0.05", 'mode = "samples"']),
        (Score(invalid=10), ["10 of its 10 samples could not be read"]),
    ],
)
def test_nothing_readable_in_the_first_judgements_stops_the_run(score: Score, pieces: list[str]) -> None:
    watch = Watch(lambda _: None, 0.05)
    for _ in range(FIRST - 1):
        watch.saw(judged(score))
    with pytest.raises(RunStopped, match=f"in the first {FIRST} judgements of reward") as stopped:
        watch.saw(judged(score))
    for piece in pieces:
        assert piece in str(stopped.value)


def test_one_reward_is_enough_and_each_role_is_counted_alone() -> None:
    watch = Watch(lambda _: None, 0.05)
    watch.saw(judged(Score(reward=0.5)))
    for _ in range(3 * FIRST):
        watch.saw(judged(Score(invalid=10)))
    unread = EpisodeEnded(episode="e", stop="turns", turns=1, evaluation=Score(invalid=10))
    for _ in range(FIRST - 1):
        watch.saw(unread)
        watch.saw(EpisodeEnded(episode="e", stop="error", turns=1))
    with pytest.raises(RunStopped, match=r"of evaluator.*roles\.evaluator"):
        watch.saw(unread)


def test_thinking_is_said_once_a_role() -> None:
    said: list[str] = []
    watch = Watch(said.append, 0.05)
    for _ in range(3):
        event = judged(Score(reward=0.5))
        watch.saw(replace(event, usage={"actor": Usage(calls=1), "seeker": Usage(calls=1, thoughts=1)}))
    assert len(said) == 1
    assert said[0].startswith("seeker: ")
