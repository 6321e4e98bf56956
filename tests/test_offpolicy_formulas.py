"""Off-policy estimators against the formulas of their docstrings, written out turn by turn, on a log of a dozen."""

from __future__ import annotations

import math
from collections import defaultdict

import msgspec
import numpy as np
import pytest
from scipy import stats

from harness.core.errors import DataError
from harness.core.messages import State, Turn
from learner.offpolicy import (
    EPSILON,
    LoggedEpisode,
    OffPolicy,
    OffPolicyEstimate,
    effective_size,
    off_policy,
    softened,
    stepwise,
)
from learner.state_features import progress, stage, state_features

FOLD_COUNT, PENALTY = 5, 3.0
KEYS = ("ask", "praise", "offer")
GAMMA = 0.9
Rows = list[list[tuple[float, ...]]]


def made(number: int, rng: np.random.Generator, scenario: str, turns: int) -> LoggedEpisode:
    state = State(episode=f"e{number}", seed=0, max_turns=4, opening="hi")
    states, actions, behaviour, rewards = [], [], [], []
    for _ in range(turns):
        acting = rng.dirichlet(np.ones(3)) * 0.7 + 0.1
        action = int(rng.integers(3))
        states.append(state)
        actions.append(action)
        behaviour.append(float(acting[action]))
        rewards.append(float(rng.random()))
        shown = ("film",) if KEYS[action] == "offer" else ()
        state = state.after(Turn(strategy=KEYS[action], preferences="", response="r", recommended=shown, reply="s"))
    return LoggedEpisode(
        scenario=scenario,
        states=tuple(states),
        actions=tuple(actions),
        behaviour=tuple(behaviour),
        rewards=tuple(rewards),
    )


def log_of(seed: int) -> tuple[list[LoggedEpisode], Rows]:
    """Twelve episodes of eight scenarios, of 0 to 4 turns, and a target that is another at every state."""
    rng = np.random.default_rng(seed)
    turns = (4, 1, 3, 2, 4, 3, 0, 2, 1, 4, 3, 2)
    log = [made(number, rng, f"s{number % 8}", count) for number, count in enumerate(turns)]
    return log, [[tuple(float(p) for p in rng.dirichlet(np.ones(3))) for _ in one.actions] for one in log]


def rho(episode: LoggedEpisode, target: list[tuple[float, ...]], turns: int) -> float:
    """prod_{k <= turns} pi_e / pi_b, of the turns that were played."""
    return math.prod(target[t][action] / episode.behaviour[t] for t, action in enumerate(episode.actions) if t < turns)


def interval(value: float, influence: list[float], log: list[LoggedEpisode], effective: float) -> OffPolicyEstimate:
    sums: dict[str, float] = defaultdict(float)
    for episode, amount in zip(log, influence, strict=True):
        sums[episode.scenario] += amount
    groups = len(sums)
    error = math.sqrt(groups / (groups - 1) * sum(amount**2 for amount in sums.values())) / len(log)
    half = float(stats.t.ppf(0.975, max(effective - 1, 1))) * error
    return OffPolicyEstimate(value=value, low=value - half, high=value + half)


def features(state: State, action: int) -> np.ndarray:
    """What Q is linear in: what the state shows, and what it shows about this strategy in the strategy's own block."""
    shown = [1.0, *state_features(state, KEYS)]
    blocks = np.zeros((3, 7))
    blocks[action, 0] = 1.0
    blocks[action, 1] = progress(state) / 10
    blocks[action, 2 + stage(state)] = 1.0
    blocks[action, 5] = sum(turn.strategy == KEYS[action] for turn in state.turns)
    blocks[action, 6] = bool(state.turns) and state.turns[-1].strategy == KEYS[action]
    return np.concatenate([shown, blocks.ravel()])


def q_from(log: list[LoggedEpisode], targets: Rows, longest: int) -> np.ndarray:
    """Fitted Q evaluation by ridge regression, ``longest`` times."""
    weights: np.ndarray | None = None
    for _ in range(longest):
        x, aims = [], []
        for episode, target in zip(log, targets, strict=True):
            for t, state in enumerate(episode.states):
                later = 0.0
                if weights is not None and t + 1 < len(episode.states):
                    later = value(weights, episode.states[t + 1], target[t + 1])
                x.append(features(state, episode.actions[t]))
                aims.append(episode.rewards[t] + GAMMA * later)
        matrix = np.array(x)
        weights = np.linalg.solve(matrix.T @ matrix + PENALTY * np.eye(matrix.shape[1]), matrix.T @ np.array(aims))
    assert weights is not None
    return weights


def value(weights: np.ndarray, state: State, target: tuple[float, ...]) -> float:
    return sum(p * float(features(state, action) @ weights) for action, p in enumerate(target))


def doubly_robust(log: list[LoggedEpisode], targets: Rows, effective: float) -> OffPolicyEstimate:
    names = sorted({episode.scenario for episode in log})
    fold = {name: number % FOLD_COUNT for number, name in enumerate(names)}
    longest = max(len(episode.actions) for episode in log)
    first, terms = [], np.zeros((len(log), longest))
    for i, (episode, target) in enumerate(zip(log, targets, strict=True)):
        # Q of the episodes of all other folds: none of the scenario's own luck is in it.
        others = [j for j, other in enumerate(log) if fold[other.scenario] != fold[episode.scenario]]
        weights = q_from([log[j] for j in others], [targets[j] for j in others], longest)
        values = [value(weights, state, p) for state, p in zip(episode.states, target, strict=True)]
        first.append(values[0] if values else 0.0)
        for t, action in enumerate(episode.actions):
            later = values[t + 1] if t + 1 < len(values) else 0.0
            q = float(features(episode.states[t], action) @ weights)
            terms[i, t] = episode.rewards[t] + GAMMA * later - q
    weights_nT = np.array(
        [[rho(episode, target, t + 1) for t in range(longest)] for episode, target in zip(log, targets, strict=True)]
    )
    shares = weights_nT / weights_nT.sum(axis=0)
    discounts = np.array([GAMMA**t for t in range(longest)])
    mean_terms = (shares * terms).sum(axis=0)
    mean_first = sum(first) / len(first)
    influence = [
        first[i] - mean_first + len(log) * float((shares[i] * (terms[i] - mean_terms)) @ discounts)
        for i in range(len(log))
    ]
    return interval(mean_first + float(mean_terms @ discounts), influence, log, effective)


def of(log: list[LoggedEpisode], targets: Rows) -> OffPolicy:
    return off_policy(log, targets, KEYS, gamma=GAMMA)


def same(found: OffPolicyEstimate, expected: OffPolicyEstimate) -> None:
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high), rel=1e-6, abs=1e-9
    )


def check(log: list[LoggedEpisode], targets: Rows) -> None:
    """All three estimators, written out."""
    n = len(log)
    whole = [rho(episode, target, 99) for episode, target in zip(log, targets, strict=True)]
    outcomes = [sum(GAMMA**t * reward for t, reward in enumerate(episode.rewards)) for episode in log]
    effective = sum(whole) ** 2 / sum(weight**2 for weight in whole)
    found = of(log, targets)
    assert found.episodes == n
    assert found.effective == pytest.approx(effective)
    assert found.largest_share == pytest.approx(max(whole) / sum(whole))

    mean = sum(weight * outcome for weight, outcome in zip(whole, outcomes, strict=True)) / sum(whole)
    moved = [weight * (outcome - mean) / (sum(whole) / n) for weight, outcome in zip(whole, outcomes, strict=True)]
    same(found.weighted, interval(mean, moved, log, effective))

    stepped = [
        sum(GAMMA**t * rho(episode, target, t + 1) * reward for t, reward in enumerate(episode.rewards))
        for episode, target in zip(log, targets, strict=True)
    ]
    mean = sum(stepped) / n
    same(found.per_decision, interval(mean, [one - mean for one in stepped], log, effective))

    same(found.doubly_robust, doubly_robust(log, targets, effective))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_estimator_is_its_formula(seed: int) -> None:
    check(*log_of(seed))


def test_of_two_scenarios_the_interval_has_one_degree_of_freedom() -> None:
    log, targets = log_of(4)
    check(log[:2], targets[:2])


def test_weights_may_all_be_small() -> None:
    log, _ = log_of(5)
    log = [episode for episode in log if episode.actions]
    seldom = [[tuple(0.02 if k == a else 0.49 for k in range(3)) for a in episode.actions] for episode in log]
    assert sum(rho(episode, target, 99) for episode, target in zip(log, seldom, strict=True)) < 1.0
    check(log, seldom)


def test_a_target_that_leaves_the_log_later_on_is_unknown_too() -> None:
    log, _ = log_of(6)
    log = [episode for episode in log if len(episode.actions) > 1]
    leaving = [
        [tuple(1.0 - (k == a) if t else 1 / 3 for k in range(3)) for t, a in enumerate(episode.actions)]
        for episode in log
    ]
    found = of(log, leaving).doubly_robust
    assert (math.isnan(found.value), found.low, found.high) == (True, -math.inf, math.inf)


def test_one_choice_without_a_chance_is_enough_to_be_named() -> None:
    log, targets = log_of(1)
    broken = msgspec.structs.replace(log[0], behaviour=(0.5, 0.0, 0.5, 0.5))
    with pytest.raises(DataError, match="s0: a logged strategy had probability 0"):
        of([broken, *log[1:]], targets)


def test_a_target_that_never_does_what_was_done_is_unknown() -> None:
    log, targets = log_of(3)
    log, targets = log[:3], targets[:3]  # every one has turns: a talk without any keeps weight 1
    elsewhere = [[tuple(float(k == (a + 1) % 3) for k in range(3)) for a in episode.actions] for episode in log]
    found = of(log, elsewhere)
    assert (found.effective, found.largest_share, found.verdict) == (0.0, 1.0, "refuse")
    for one in (found.weighted, found.doubly_robust):
        assert math.isnan(one.value)
        assert (one.low, one.high) == (-math.inf, math.inf)
    assert found.per_decision.value == 0.0
    assert effective_size(np.zeros(3)) == 0.0


def test_the_share_of_the_uniform_distribution_by_hand() -> None:
    assert softened((1.0, 0.0), 0.1) == pytest.approx((0.95, 0.05))
    assert softened((1.0, 0.0), EPSILON) == pytest.approx((0.975, 0.025))


@pytest.mark.parametrize(
    ("horizon", "stop", "expected"),
    [
        ("absorbing", "judge", (0.5, 0.25, 0.8 * (1 + 0.5 + 0.25))),
        ("absorbing", "user", (0.5, 0.25, 0.8 * (1 + 0.5 + 0.25))),
        ("absorbing", "quit", (0.5, 0.25, 0.8)),
        ("terminal", "judge", (0.0, 0.0, 0.8)),
        ("literal", "judge", (0.5, 0.25, 0.8)),
    ],
)
def test_stepwise_rewards_by_hand(horizon, stop, expected) -> None:
    assert stepwise((0.5, 0.25, 0.8), gamma=0.5, horizon=horizon, stop=stop, max_turns=5) == pytest.approx(expected)


def test_no_rewards_are_none_whatever_the_horizon() -> None:
    for horizon in ("literal", "absorbing", "terminal"):
        assert stepwise([], gamma=0.9, horizon=horizon, stop="judge", max_turns=4) == ()
