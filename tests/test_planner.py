"""The planner: sampling by inverse CDF, common luck, and refusing what is no distribution."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import state_of

from experts.planner import PlannerQuery, PolicyPlanner, sample
from harness.core.errors import ExpertError
from harness.core.messages import Decision
from harness.domain.strategies import STRATEGIES
from learner.policy import FixedPolicy, UniformPolicy
from learner.tabular import TabularPolicy

UNIFORM = (1 / 13,) * 13
KEYS = tuple(strategy.key for strategy in STRATEGIES)


class Fixed:
    def __init__(self, *probabilities: float) -> None:
        self.probabilities = probabilities

    def distribution(self, state):
        return self.probabilities


def decide(policy, *states, version=0):
    planner = PolicyPlanner({version: policy}.__getitem__, STRATEGIES)
    return planner.decide([PlannerQuery(state=state, policy_version=version) for state in states])


@pytest.mark.parametrize("policy", [UniformPolicy(KEYS), FixedPolicy(KEYS, KEYS[0]), TabularPolicy(KEYS)])
def test_only_a_policy_that_says_so_is_asked_on_the_event_loop(policy):
    query = PlannerQuery(state=state_of("Hello"), policy_version=0)
    assert not PolicyPlanner({0: policy}.__getitem__, STRATEGIES).blocks([query])
    assert PolicyPlanner({0: Fixed(*UNIFORM)}.__getitem__, STRATEGIES).blocks([query])


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20).filter(any), st.floats(0.0, 1.0, exclude_max=True))
def test_sample_is_the_inverse_of_the_cumulative_sum(weights, u):
    total = sum(weights)
    p = [w / total for w in weights]
    if not any(p):
        return
    index = sample(p, u)
    assert p[index] > 0.0
    assert sum(p[:index]) <= u * sum(p) + 1e-12
    assert sum(p[: index + 1]) >= u * sum(p) - 1e-12


def test_sample_at_the_edges():
    assert sample([0.0, 0.5, 0.5, 0.0], 0.0) == 1
    assert sample([0.0, 0.5, 0.5, 0.0], 0.5) == 2
    assert sample([0.0, 0.5, 0.5, 0.0], 1.0 - 2**-53) == 2


def test_decision_carries_the_whole_distribution_and_the_version():
    p = (0.0,) * 3 + (1.0,) + (0.0,) * 9
    (decision,) = decide(Fixed(*p), state_of("hi"), version=4)
    assert decision == Decision(strategy=STRATEGIES[3].key, index=3, probabilities=p, policy_version=4)


def test_frequencies_follow_the_distribution():
    p = (0.5, 0.3, 0.2) + (0.0,) * 10
    counts = Counter(d.index for d in decide(Fixed(*p), *(state_of("hi", seed=seed) for seed in range(4000))))
    assert [counts[i] / 4000 for i in range(3)] == pytest.approx(p[:3], abs=0.03)


def test_luck_depends_on_the_seed_and_turn_only():
    first = state_of("hi", seed=3)
    second = state_of("hi", "Hello!", "ok", seed=3)
    alone = decide(Fixed(*UNIFORM), first) + decide(Fixed(*UNIFORM), second)
    together = decide(Fixed(*UNIFORM), second, state_of("x", seed=9), first)
    assert (together[2], together[0]) == alone
    turns = [msgspec.structs.replace(first, turns=second.turns * n) for n in range(10)]
    assert len({decision.index for decision in decide(Fixed(*UNIFORM), *turns)}) > 3
    retold = decide(Fixed(*UNIFORM), state_of("something else", seed=3, episode="other"))
    assert retold[0].index == alone[0].index


@pytest.mark.parametrize(
    ("p", "says"),
    [
        (UNIFORM[:12], "12 entries"),
        ((float("nan"), *UNIFORM[1:]), "not finite"),
        ((-0.1, 0.1 + 2 / 13, *UNIFORM[2:]), "negative"),
        ((0.5,) * 13, "sums to 6.5"),
        ((1 / 13 + 1e-5, *UNIFORM[1:]), "sums to"),
    ],
)
def test_no_distribution_is_an_error_of_that_item(p, says):
    (answer,) = decide(Fixed(*p), state_of("hi"))
    assert isinstance(answer, ExpertError)
    assert says in str(answer)


def test_rounding_of_a_float32_softmax_is_no_error():
    (answer,) = decide(Fixed(1 / 13 + 5e-7, *UNIFORM[1:]), state_of("hi"))
    assert isinstance(answer, Decision)


def test_a_failing_item_leaves_its_neighbours_alone():
    class Picky:
        def distribution(self, state):
            if state.seed == 1:
                raise ExpertError("cannot read this state")
            return UNIFORM

    bad, good = decide(Picky(), state_of("hi", seed=1), state_of("hi", seed=2))
    assert isinstance(bad, ExpertError)
    assert isinstance(good, Decision)
