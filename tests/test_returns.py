"""Eq. 8, horizons and advantages against direct sums and their algebra."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.present import present

from harness.core.messages import StopCause
from learner.returns import Baseline, Horizon, Series, absorbed_weight, advantages, returns

rewards_of = st.lists(st.floats(0, 1), min_size=1, max_size=10)
gammas = st.floats(0, 1)
stops = st.sampled_from(["judge", "user", "quit", "turns"])
horizons = st.sampled_from(["literal", "absorbing", "terminal"])
series_of = st.lists(st.floats(-5, 5) | st.none(), min_size=1, max_size=6).map(tuple)
updates = st.lists(series_of, min_size=1, max_size=6)


def literal(rewards: list[float], gamma: float) -> Series:
    return returns(rewards, gamma=gamma, horizon="literal", stop="turns", max_turns=10)


@given(rewards_of, gammas)
def test_literal_is_the_direct_sum_of_equation_8(rewards: list[float], gamma: float) -> None:
    direct = [sum(gamma ** (i - t) * rewards[i] for i in range(t, len(rewards))) for t in range(len(rewards))]
    assert literal(rewards, gamma) == pytest.approx(direct)


@given(rewards_of)
def test_gamma_0_is_the_reward_and_gamma_1_the_plain_sum(rewards: list[float]) -> None:
    assert literal(rewards, 0.0) == pytest.approx(rewards)
    assert literal(rewards, 1.0) == pytest.approx([sum(rewards[t:]) for t in range(len(rewards))])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=10), gammas, horizons, stops)
def test_every_horizon_is_linear_in_the_rewards(
    pairs: list[tuple[float, float]], gamma: float, horizon: Horizon, stop: StopCause
) -> None:
    def of(rewards: list[float]) -> Series:
        return returns(rewards, gamma=gamma, horizon=horizon, stop=stop, max_turns=10)

    first, second = of([a for a, _ in pairs]), of([b for _, b in pairs])
    mixed = of([2 * a + 3 * b for a, b in pairs])
    assert mixed == pytest.approx([2 * x + 3 * y for x, y in zip(first, second, strict=True)])  # type: ignore[operator]


@given(rewards_of, gammas, st.sampled_from(["judge", "user"]), st.integers(0, 10))
def test_absorbing_adds_the_last_reward_for_the_turns_left(
    rewards: list[float], gamma: float, stop: StopCause, extra: int
) -> None:
    turns, limit = len(rewards), len(rewards) + extra
    got = returns(rewards, gamma=gamma, horizon="absorbing", stop=stop, max_turns=limit)
    credit = rewards[-1] * sum(gamma**i for i in range(1, limit - turns + 1))
    expected = [
        present(base) + gamma ** (turns - t) * credit for t, base in enumerate(literal(rewards, gamma), start=1)
    ]
    assert got == pytest.approx(expected)


@given(rewards_of, gammas, st.sampled_from(["quit", "turns"]))
def test_absorbing_adds_nothing_after_quit_or_the_turn_limit(
    rewards: list[float], gamma: float, stop: StopCause
) -> None:
    assert returns(rewards, gamma=gamma, horizon="absorbing", stop=stop, max_turns=10) == literal(rewards, gamma)


@given(rewards_of, gammas, stops)
def test_terminal_counts_the_last_reward_only(rewards: list[float], gamma: float, stop: StopCause) -> None:
    got = returns(rewards, gamma=gamma, horizon="terminal", stop=stop, max_turns=10)
    assert got == pytest.approx([rewards[-1] * gamma ** (len(rewards) - t) for t in range(1, len(rewards) + 1)])


def test_stalling_pays_literally_and_not_when_absorbed() -> None:
    stalled, quick = [0.5] * 10, [0.5, 0.5, 0.5, 0.8]

    def first(rewards: list[float], horizon: Horizon, stop: StopCause) -> float:
        value = returns(rewards, gamma=0.99, horizon=horizon, stop=stop, max_turns=10)[0]
        assert value is not None
        return value

    assert first(stalled, "literal", "turns") > first(quick, "literal", "judge")
    assert first(stalled, "absorbing", "turns") < first(quick, "absorbing", "judge")


@given(st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=10), gammas, horizons, stops)
def test_a_return_exists_exactly_where_all_later_rewards_do(
    rewards: list[float | None], gamma: float, horizon: Horizon, stop: StopCause
) -> None:
    got = returns(rewards, gamma=gamma, horizon=horizon, stop=stop, max_turns=10)
    assert [value is not None for value in got] == [None not in rewards[t:] for t in range(len(rewards))]


def test_no_rewards_no_returns_and_too_many_turns_are_refused() -> None:
    assert returns([], gamma=0.9, horizon="absorbing", stop="judge", max_turns=10) == ()
    with pytest.raises(ValueError, match="max_turns = 2"):
        returns([0.5] * 3, gamma=0.9, horizon="literal", stop="turns", max_turns=2)


@given(gammas, st.integers(0, 20))
def test_absorbed_weight_is_the_geometric_sum(gamma: float, left: int) -> None:
    assert absorbed_weight(gamma, left) == pytest.approx(math.fsum(gamma ** (i + 1) for i in range(left)))


@given(updates, st.sampled_from(["none", "episode", "batch", "turn"]))
def test_advantages_exist_exactly_where_returns_do(update: list[Series], how: Baseline) -> None:
    got = advantages(update, how)
    assert [[a is None for a in series] for series in got] == [[r is None for r in series] for series in update]


@given(updates)
def test_none_is_the_return_itself(update: list[Series]) -> None:
    assert advantages(update, "none") == tuple(update)


@given(updates)
def test_standardised_advantages_have_mean_0_and_spread_1_or_0(update: list[Series]) -> None:
    groups = [list(series) for series in advantages(update, "episode")]
    groups.append([a for series in advantages(update, "batch") for a in series])
    for group in groups:
        values = [a for a in group if a is not None]
        if values:
            mean = sum(values) / len(values)
            spread = math.sqrt(sum((a - mean) ** 2 for a in values) / len(values))
            assert mean == pytest.approx(0, abs=1e-6)
            assert spread == pytest.approx(1, abs=1e-6) or spread == 0


def test_turn_advantage_is_against_the_other_episodes_at_the_same_turn() -> None:
    got = advantages([(1.0, 2.0), (3.0, 5.0), (8.0,)], "turn")
    assert got == ((1.0 - 5.5, 2.0 - 5.0), (3.0 - 4.5, 5.0 - 2.0), (8.0 - 2.0,))


def test_turn_advantage_falls_back_to_the_nearest_turn_and_then_to_the_return() -> None:
    # Only the first episode reached turn 3: its nearest neighbour in another episode is turn 2.
    assert advantages([(1.0, 2.0, 9.0), (3.0, 4.0)], "turn")[0][2] == 9.0 - 4.0
    assert advantages([(1.0, None, 3.0)], "turn") == ((1.0, None, 3.0),)


@given(
    st.lists(st.lists(st.floats(-5, 5), min_size=1, max_size=5).map(tuple), min_size=2, max_size=5), st.floats(-9, 9)
)
def test_turn_baseline_does_not_depend_on_the_episode_itself(update: list[tuple[float, ...]], shift: float) -> None:
    moved = [tuple(value + shift for value in update[0]), *update[1:]]
    before, after = advantages(update, "turn")[0], advantages(moved, "turn")[0]
    assert after == pytest.approx([a + shift for a in before if a is not None])


def test_of_two_equally_near_turns_the_earlier_one_is_the_baseline() -> None:
    assert advantages([(1.0, 2.0, 3.0), (4.0, None, 8.0)], "turn")[0] == (1.0 - 4.0, 2.0 - 4.0, 3.0 - 8.0)


def test_a_standardised_advantage_is_positive_above_the_mean() -> None:
    assert advantages([(1.0, 3.0)], "episode") == ((-1.0, 1.0),)
    assert advantages([(1.0,), (3.0,)], "batch") == ((-1.0,), (1.0,))


@pytest.mark.parametrize(("apart", "expected"), [(1e-7, 1.0), (2e-8, 1.0), (1.6e-8, 0.0)])
def test_only_a_spread_below_1e_8_is_none(apart: float, expected: float) -> None:
    assert advantages([(0.0, apart)], "episode")[0] == pytest.approx((-expected, expected))
