"""Several clipped passes: the first is the plain gradient, the later ones stay near."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.messages import State
from learner.optimizer import Optimizer
from learner.passes import KL_STOP, WEIGHT_LIMIT, Climb, Turns, climb, importance_weights
from learner.tabular import TabularPolicy

KEYS = ("opinion_inquiry", "credibility", "encouragement")
STATE = State(episode="e", seed=1, max_turns=4, opening="hello")


def climbed(
    policy: TabularPolicy, acting: float = 1 / 3, advantage: float = 1.0, passes: int = 8, rate: float = 0.01
) -> Climb:
    """Passes over eight turns of one state: strategy 0 is better than 1."""
    cell = policy.prepare(STATE)
    turns = Turns(
        prepared=[cell] * 8,
        actions_N=torch.tensor([0, 1] * 4),
        acting_probs_N=torch.full((8,), acting, dtype=torch.float64),
        advantages_N=torch.tensor([advantage, -advantage] * 4, dtype=torch.float64),
    )
    start = policy.log_probabilities(turns.prepared)
    return climb(policy, Optimizer(policy, learning_rate=rate), start, turns, passes=passes, beta=0.0, normaliser=80.0)


def test_the_first_pass_has_ratios_of_1_and_the_later_ones_go_on() -> None:
    policy = TabularPolicy(KEYS)
    found = climbed(policy)
    assert torch.equal(found.first.ratios_N, torch.ones(8, dtype=torch.float64))
    assert torch.equal(found.weights_N, torch.ones(8, dtype=torch.float64))
    assert (found.passes[0].kl, found.passes[0].clipped_share, found.passes[0].effective_sample_size) == (0.0, 0.0, 8.0)
    assert len(found.passes) == 8
    assert found.ended is None
    assert [one.kl for one in found.passes] == sorted(one.kl for one in found.passes)
    assert found.passes[-1].kl > 0
    single = TabularPolicy(KEYS)
    climbed(single, passes=1)
    assert policy.table.max() > 4 * single.table.max()


def test_passes_end_where_the_policy_has_moved_far() -> None:
    policy = TabularPolicy(KEYS)
    found = climbed(policy, rate=0.3)
    assert 1 <= len(found.passes) < 8
    assert all(one.kl <= KL_STOP for one in found.passes)
    assert found.ended is not None
    assert found.ended.startswith("the policy has moved by 0.")


def test_a_loss_that_is_not_finite_ends_the_passes_and_changes_nothing() -> None:
    policy = TabularPolicy(KEYS)
    found = climbed(policy, advantage=float("nan"))
    assert (found.passes, found.ended) == ((), "the loss or a gradient is not finite")
    assert not policy.table.detach().any()


def test_what_an_older_version_acted_pulls_by_its_cut_weight() -> None:
    once, cut = (TabularPolicy(KEYS) for _ in range(2))
    climbed(once, acting=1 / 3, passes=1)
    plain = once.table.grad
    found = climbed(cut, acting=1 / 30, passes=1)
    assert found.weights_N.tolist() == [WEIGHT_LIMIT] * 8
    assert plain is not None
    torch.testing.assert_close(cut.table.grad, WEIGHT_LIMIT * plain)


@settings(max_examples=50)
@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_importance_weights_are_the_quotient_up_to_the_limit(start: float, acting: float) -> None:
    got = importance_weights(torch.tensor([start, start]), torch.tensor([acting, start]))
    assert got[0].item() == pytest.approx(min(WEIGHT_LIMIT, start / acting), rel=1e-6)
    assert got[1].item() == 1.0
