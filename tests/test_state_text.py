"""What the planner reads of a state."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from harness.core.messages import State, Turn
from harness.domain.strategies import STRATEGIES
from learner.state_features import feature_count, progress, stage, state_features
from learner.state_text import state_text

KEYS = tuple(strategy.key for strategy in STRATEGIES)


def turn(number: int, strategy: str | None = "opinion_inquiry", recommended: tuple[str, ...] = ()) -> Turn:
    return Turn(
        strategy=strategy, preferences=f"P{number}", response=f"R{number}", recommended=recommended, reply=f"S{number}"
    )


def state(*turns: Turn, opening: str = "S0", max_turns: int = 10) -> State:
    return State(episode="e", seed=1, max_turns=max_turns, opening=opening, turns=turns)


def test_newest_comes_first_with_roles_turn_and_past_strategies() -> None:
    assert state_text(state(turn(1), turn(2, None))).text == (
        "turn 3 of 10 | seeker: S2 | recommender: R2 | seeker: S1 | recommender (opinion inquiry): R1 | seeker: S0"
    )
    assert state_text(state()).text == "turn 1 of 10 | seeker: S0"


def test_the_last_preferences_are_read_on_request_only() -> None:
    played = state(turn(1), turn(2))
    assert "P" not in state_text(played).text
    text = state_text(played, preferences=True).text
    assert text.startswith("turn 3 of 10 | seeker: S2 | wishes: P2 | recommender")
    assert "P1" not in text


def test_a_human_dialogue_beyond_the_limit_counts_as_the_last_turn() -> None:
    assert state_text(state(turn(1), turn(2), turn(3), max_turns=2)).text.startswith("turn 2 of 2 |")


messages = st.text(max_size=30)


@given(st.lists(st.tuples(messages, messages), max_size=4), messages)
def test_spans_are_the_newest_messages(said: list[tuple[str, str]], opening: str) -> None:
    turns = tuple(Turn(strategy=None, preferences="", response=response, reply=reply) for response, reply in said)
    read = state_text(state(*turns, opening=opening))
    spoken = [message.text for message in state(*turns, opening=opening).history if message.speaker == "seeker"]
    assert "\n" not in read.text
    assert (read.seeker is None) == (not spoken)
    assert (read.recommender is None) == (not turns)
    for span, label, newest in ((read.seeker, "seeker: ", spoken), (read.recommender, "recommender: ", said)):
        if span is not None:
            part = read.text[slice(*span)]
            last = newest[-1] if label == "seeker: " else said[-1][0]
            assert part.startswith(label)
            # Blanks are folded, nothing else is lost.
            assert part.removeprefix(label).split() == _visible(str(last)).split()


def _visible(text: str) -> str:
    from harness.core.sections import one_line

    return one_line(text)


def test_the_seed_and_the_episodes_name_are_not_read() -> None:
    played = state(turn(1))
    other = msgspec.structs.replace(played, episode="f", seed=2)
    assert state_text(played) == state_text(other)
    assert state_features(played, KEYS) == state_features(other, KEYS)


def test_features_count_strategies_and_mark_progress_and_stage() -> None:
    first, second = KEYS.index("opinion_inquiry"), KEYS.index("credibility")
    numbers = state_features(state(turn(1), turn(2), turn(3, "credibility", ("7",))), KEYS)
    k = len(KEYS)
    assert len(numbers) == feature_count(KEYS)
    assert (numbers[first], numbers[second], sum(numbers[:k])) == (2.0, 1.0, 3.0)
    assert [i for i, on in enumerate(numbers[k : 2 * k]) if on] == [second]
    assert [i for i, on in enumerate(numbers[2 * k : 2 * k + 10]) if on] == [3]
    assert numbers[-3:] == [0.0, 0.0, 1.0]


def test_progress_is_in_tenths_of_the_limit() -> None:
    assert [progress(state(*[turn(1)] * n)) for n in (0, 1, 9, 12)] == [0, 1, 9, 9]
    assert [progress(state(*[turn(1)] * n, max_turns=5)) for n in (0, 1, 4)] == [0, 2, 8]


def test_stages() -> None:
    shown = turn(1, recommended=("1",))
    assert [stage(state()), stage(state(turn(1))), stage(state(shown)), stage(state(shown, turn(2)))] == [0, 0, 2, 1]
