"""Generalised advantages against a direct sum, and against the returns that they stand for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.gae import generalised_advantages
from learner.returns import credited, returns

shares = st.floats(0, 1)
turns = st.lists(st.tuples(st.floats(-5, 5) | st.none(), st.floats(-5, 5)), min_size=0, max_size=8)
episodes = st.fixed_dictionaries(
    {
        "rewards": st.lists(st.floats(0, 1) | st.none(), min_size=0, max_size=10),
        "gamma": shares,
        "horizon": st.sampled_from(["literal", "absorbing", "terminal"]),
        "stop": st.sampled_from(["judge", "user", "quit", "turns"]),
    }
)


@given(turns, shares, shares)
def test_an_advantage_is_the_direct_sum_of_surprises(
    played: list[tuple[float | None, float]], gamma: float, lam: float
) -> None:
    rewards, values = [reward for reward, _ in played], [value for _, value in played]
    got = generalised_advantages(rewards, values, gamma=gamma, lam=lam)
    after = [*values[1:], 0.0]
    for t in range(len(played)):
        if None in rewards[t:]:
            assert got[t] is None
        else:
            surprises = [rewards[i] + gamma * after[i] - values[i] for i in range(len(played))[t:]]  # type: ignore[operator]
            assert got[t] == pytest.approx(sum((gamma * lam) ** k * delta for k, delta in enumerate(surprises)))


@given(episodes, st.integers(0, 3))
def test_without_a_critic_and_with_lambda_1_it_is_the_return_to_the_last_bit(made: dict[str, Any], extra: int) -> None:
    how = {**made, "max_turns": len(made["rewards"]) + extra}
    rewards = credited(**how)
    assert generalised_advantages(rewards, [0.0] * len(rewards), gamma=made["gamma"], lam=1.0) == returns(**how)


@given(episodes, st.floats(-5, 5))
def test_lambda_1_is_the_return_minus_the_value(made: dict[str, Any], value: float) -> None:
    how = {**made, "max_turns": 10}
    values = [value + t for t in range(len(made["rewards"]))]
    got = generalised_advantages(credited(**how), values, gamma=made["gamma"], lam=1.0)
    expected = [None if r is None else r - v for r, v in zip(returns(**how), values, strict=True)]
    assert [a is None for a in got] == [e is None for e in expected]
    assert [a for a in got if a is not None] == pytest.approx([e for e in expected if e is not None], abs=1e-9)
