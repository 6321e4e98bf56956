"""Off-policy estimates find the target's return from another planner's log, and know when they cannot."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.messages import State, Turn
from learner.offpolicy import LoggedEpisode, OffPolicy, effective_size, off_policy, softened, stepwise, verdict
from learner.returns import returns

KEYS = ("ask", "praise", "offer")
GAMMA = 0.9
BEHAVIOUR = (0.4, 0.3, 0.3)
Rule = dict[str, tuple[float, ...]]
"""pi(.|last strategy)."""
LOGGING: Rule = {"": BEHAVIOUR, **dict.fromkeys(KEYS, BEHAVIOUR)}
TARGET: Rule = {"": (0.7, 0.2, 0.1), "ask": (0.1, 0.3, 0.6), "praise": (0.3, 0.3, 0.4), "offer": (0.5, 0.3, 0.2)}


def last(state: State) -> str:
    return state.turns[-1].strategy or "" if state.turns else ""


def play(number: int, rule: Rule) -> LoggedEpisode:
    """A little world: an offer right after asking is worth much and often ends the talk; repeating is worth nothing."""
    draw = random.Random(number)
    state = State(episode=f"e{number}", seed=0, max_turns=4, opening="hi")
    states, actions, behaviour, rewards = [], [], [], []
    for _ in range(4):
        before = last(state)
        action = draw.choices(range(3), rule[before])[0]
        good = KEYS[action] == "offer" and before == "ask"
        reward = (0.8 if good else 0.3 if KEYS[action] != before else 0.0) + 0.2 * draw.random()
        states.append(state)
        actions.append(action)
        behaviour.append(rule[before][action])
        rewards.append(reward)
        state = state.after(Turn(strategy=KEYS[action], preferences="", response="r", reply="s"))
        if draw.random() < (0.6 if good else 0.1):
            break
    return LoggedEpisode(
        scenario=f"s{number}",
        states=tuple(states),
        actions=tuple(actions),
        behaviour=tuple(behaviour),
        rewards=tuple(rewards),
    )


def outcome(episode: LoggedEpisode) -> float:
    return sum(GAMMA**t * reward for t, reward in enumerate(episode.rewards))


def evaluated(log: list[LoggedEpisode], rule: Rule) -> OffPolicy:
    targets = [[rule[last(state)] for state in episode.states] for episode in log]
    return off_policy(log, targets, KEYS, gamma=GAMMA)


@pytest.fixture(scope="module")
def truth() -> float:
    return float(np.mean([outcome(play(10_000_000 + number, TARGET)) for number in range(20_000)]))


def test_the_target_is_found_from_another_planners_log(truth: float) -> None:
    log = [play(number, LOGGING) for number in range(3_000)]
    found = evaluated(log, TARGET)
    on_policy = float(np.mean([outcome(episode) for episode in log]))
    assert abs(on_policy - truth) > 0.1
    for one in (found.weighted, found.doubly_robust, found.per_decision):
        assert one.value == pytest.approx(truth, abs=0.05)
        assert one.low < truth < one.high
    width = found.doubly_robust.high - found.doubly_robust.low
    assert width < found.weighted.high - found.weighted.low
    assert width < found.per_decision.high - found.per_decision.low


def test_intervals_hold_what_they_promise(truth: float) -> None:
    logs = [[play(1_000 * trial + number, LOGGING) for number in range(200)] for trial in range(40)]
    found = [evaluated(log, TARGET) for log in logs]
    assert all(one.verdict != "refuse" for one in found)
    for name in ("weighted", "doubly_robust"):
        covered = np.mean([getattr(one, name).low < truth < getattr(one, name).high for one in found])
        assert covered >= 0.85, name  # .95 less three standard errors of 40 trials


def test_the_logging_planner_itself_is_the_plain_mean() -> None:
    log = [play(number, LOGGING) for number in range(200)]
    found = evaluated(log, LOGGING)
    mean = float(np.mean([outcome(episode) for episode in log]))
    assert found.weighted.value == pytest.approx(mean)
    assert found.per_decision.value == pytest.approx(mean)
    assert found.effective == pytest.approx(200)
    assert found.largest_share == pytest.approx(1 / 200)
    assert found.doubly_robust.value == pytest.approx(mean, abs=0.1)
    # The plain standard error of a mean, within the difference of n and n - 1.
    spread = np.std([outcome(episode) for episode in log], ddof=1) / math.sqrt(200)
    assert found.weighted.high - found.weighted.value == pytest.approx(1.972 * spread, rel=0.01)


def test_episodes_of_one_scenario_do_not_count_as_independent() -> None:
    log = [play(number, LOGGING) for number in range(200)]
    twice = log + log
    once, doubled = evaluated(log, LOGGING), evaluated(twice, LOGGING)
    assert doubled.weighted.value == pytest.approx(once.weighted.value)
    assert doubled.weighted.high - doubled.weighted.low == pytest.approx(
        once.weighted.high - once.weighted.low, rel=0.02
    )


def test_a_target_far_from_the_log_is_refused() -> None:
    log = [play(number, LOGGING) for number in range(60)]
    far: Rule = dict.fromkeys(("", *KEYS), (0.98, 0.01, 0.01))
    found = evaluated(log, far)
    assert found.effective < 30
    assert found.verdict == "refuse"


def test_verdicts() -> None:
    assert [verdict(size) for size in (100.0, 99.9, 30.0, 29.9)] == ["report", "flag", "flag", "refuse"]


def test_logs_that_cannot_be_used_are_named() -> None:
    log = [play(1, LOGGING)]
    with pytest.raises(DataError, match="at least two scenarios"):
        evaluated(log, TARGET)
    impossible = LoggedEpisode(scenario="s9", states=log[0].states[:1], actions=(0,), behaviour=(0.0,), rewards=(1.0,))
    with pytest.raises(DataError, match="s9: a logged strategy had probability 0"):
        evaluated([*log, impossible], TARGET)


rewards = st.lists(st.floats(0, 1), min_size=1, max_size=10)


@given(
    rewards,
    st.floats(0, 1),
    st.sampled_from(["literal", "absorbing", "terminal"]),
    st.sampled_from(["judge", "user", "quit", "turns"]),
)
def test_stepwise_rewards_sum_to_the_return(values: list[float], gamma: float, horizon: str, stop: str) -> None:
    how = {"gamma": gamma, "horizon": horizon, "stop": stop, "max_turns": 10}
    steps = stepwise(values, **how)  # type: ignore[arg-type]
    expected = returns(values, **how)[0]  # type: ignore[arg-type]
    assert sum(gamma**t * reward for t, reward in enumerate(steps)) == pytest.approx(expected)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50), st.floats(1e-3, 1e3))
def test_the_effective_size_lies_between_1_and_n_and_knows_no_scale(values: list[float], scale: float) -> None:
    weights = np.array(values)
    size = effective_size(weights)
    assert 1.0 - 1e-9 <= size <= len(values) + 1e-9
    assert effective_size(scale * weights) == pytest.approx(size)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=13), st.floats(0, 1))
def test_a_softened_target_is_a_distribution_that_rules_nothing_out(values: list[float], epsilon: float) -> None:
    p = [value / sum(values) for value in values]
    soft = softened(p, epsilon)
    assert sum(soft) == pytest.approx(1.0)
    assert min(soft) >= epsilon / len(p) - 1e-12
