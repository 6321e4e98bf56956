"""What another planner's return would have been, estimated from logged episodes and their acting probabilities.

Three estimators of the mean of G = sum_t gamma^(t-1) r_t under a target pi_e, from episodes of one or more behaviours
pi_b, with rho_t = prod_{k<=t} pi_e(h_k|s_k) / pi_b(h_k|s_k):

- weighted importance sampling: sum_i rho_T G / sum_i rho_T (Precup, Sutton & Singh 2000);
- doubly robust with weights normalised turn by turn (Jiang & Li 2016; Thomas & Brunskill 2016), its Q fitted by ridge
  regression and fitted Q evaluation on the *other* folds' scenarios (cross-fitting, Chernozhukov et al. 2018);
- per-decision importance sampling: mean_i sum_t gamma^(t-1) rho_t r_t, unbiased, with a very large variance; a
diagnostic only.

Intervals are Student's t on influence values summed by scenario, since episodes of one scenario share their luck, with
the effective sample size for degrees of freedom. Below an effective sample size of 30 nothing is reported: intervals
then cover far less than they say. Only the planner may differ from the log. Left out: how the target's probabilities
are had, and outcomes that are no sum of rewards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.core.errors import DataError
from harness.core.messages import State, StopCause, Struct
from learner.returns import Horizon, credited
from learner.state_features import DECILES, STAGES, progress, stage, state_features

Array = NDArray[np.float64]
Verdict = Literal["report", "flag", "refuse"]

LEVEL = 0.95
ESS_REPORT, ESS_FLAG = 100.0, 30.0
FOLDS = 5
RIDGE = 3.0
"""Penalty on all weights; features are indicators and small counts, so it stands for about three turns of prior."""
EPSILON = 0.05
"""Share of the uniform distribution mixed into a target that rules a strategy out."""


class LoggedEpisode(Struct, frozen=True, kw_only=True):
    """One finished episode as an estimator reads it. T: its turns, K: strategies."""

    scenario: str
    states: tuple[State, ...]
    """s_1..s_T."""
    actions: tuple[int, ...]
    behaviour: tuple[float, ...]
    """pi_b(h_t|s_t)."""
    rewards: tuple[float, ...]
    """r_1..r_T such that the discounted sum is the outcome (`stepwise`)."""


class OffPolicyEstimate(Struct, frozen=True, kw_only=True):
    """One estimate of the target's mean outcome, and whether it may be believed."""

    value: float
    low: float
    high: float


class OffPolicy(Struct, frozen=True, kw_only=True):
    """All estimators on one log; the caller shows them or not, by the verdict."""

    weighted: OffPolicyEstimate
    doubly_robust: OffPolicyEstimate
    per_decision: OffPolicyEstimate
    episodes: int
    effective: float
    """(sum w)^2 / sum w^2 over the whole episodes' weights."""
    largest_share: float
    """Share of the largest single weight."""
    verdict: Verdict


def verdict(effective: float) -> Verdict:
    """By effective sample size: from 100 on report, from 30 on flag, else refuse."""
    if effective >= ESS_REPORT:
        return "report"
    return "flag" if effective >= ESS_FLAG else "refuse"


def stepwise(
    rewards: Sequence[float], *, gamma: float, horizon: Horizon, stop: StopCause, max_turns: int
) -> tuple[float, ...]:
    """Rewards whose plain discounted sum is R_1 of `learner.returns` under the horizon."""
    found = credited(rewards, gamma=gamma, horizon=horizon, stop=stop, max_turns=max_turns)
    return tuple(reward for reward in found if reward is not None)


def softened(probabilities: Sequence[float], epsilon: float) -> tuple[float, ...]:
    """(1 - epsilon) p + epsilon / K: a target in which every strategy has a probability above 0."""
    return tuple((1.0 - epsilon) * p + epsilon / len(probabilities) for p in probabilities)


def effective_size(weights: Array) -> float:
    """(sum w)^2 / sum w^2, from 1 to n; 0 where all weights are 0."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0.0 else 0.0


def off_policy(
    episodes: Sequence[LoggedEpisode],
    targets: Sequence[Sequence[Sequence[float]]],
    strategies: tuple[str, ...],
    *,
    gamma: float,
) -> OffPolicy:
    """All estimators of the mean of sum_t gamma^(t-1) r_t under the target.

    ``targets``: pi_e(.|s_t) for every turn of every episode, K each. `DataError` where there are fewer than two
    scenarios or a logged choice had no chance.
    """
    log = _Log(episodes, targets, strategies)
    weights = log.rho[:, -1]
    effective = effective_size(weights)
    return OffPolicy(
        weighted=weighted_importance(log, gamma),
        doubly_robust=doubly_robust(log, gamma),
        per_decision=per_decision(log, gamma),
        episodes=len(episodes),
        effective=effective,
        largest_share=float(weights.max() / weights.sum()) if weights.sum() > 0.0 else 1.0,
        verdict=verdict(effective),
    )


class _Log:
    """Episodes as arrays, padded to the longest: n episodes, T turns; after an end rho stays and rewards are 0."""

    def __init__(
        self,
        episodes: Sequence[LoggedEpisode],
        targets: Sequence[Sequence[Sequence[float]]],
        strategies: tuple[str, ...],
    ) -> None:
        self.scenarios = [episode.scenario for episode in episodes]
        if len(set(self.scenarios)) < 2:
            raise DataError("off-policy estimates need episodes of at least two scenarios")
        n, longest = len(episodes), max(len(episode.actions) for episode in episodes)
        self.rewards, self.rho = np.zeros((n, longest)), np.ones((n, longest))
        self.played = np.zeros((n, longest), dtype=bool)
        shown: list[Array] = []
        about: list[Array] = []
        chosen: list[int] = []
        target_rows: list[Array] = []
        for row, (episode, target) in enumerate(zip(episodes, targets, strict=True)):
            steps = len(episode.actions)
            if min(episode.behaviour, default=1.0) <= 0.0:
                raise DataError(f"scenario {episode.scenario}: a logged strategy had probability 0")
            ratios = [target[t][a] / episode.behaviour[t] for t, a in enumerate(episode.actions)]
            self.rho[row, :steps] = np.cumprod(ratios)
            self.rho[row, steps:] = self.rho[row, steps - 1] if steps else 1.0
            self.rewards[row, :steps] = episode.rewards
            self.played[row, :steps] = True
            for state in episode.states:
                of_state, of_strategies = _inputs(state, strategies)
                shown.append(of_state)
                about.append(of_strategies)
            chosen += episode.actions
            target_rows += [np.asarray(p, dtype=float) for p in target]
        # Row-major order of `played` is the order of the lists.
        self.shown_NF, self.about_NKG = np.stack(shown), np.stack(about)
        self.chosen_N = np.array(chosen)
        self.target_NK = np.stack(target_rows)

    def q(self, weights: Array) -> Array:
        """Q(s, a) = w . shown(s) + w_a . about(s, a) for every turn and strategy, (N, K)."""
        own = self.about_NKG.shape[1:]
        split = self.shown_NF.shape[1]
        shared: Array = self.shown_NF @ weights[:split]
        each: Array = np.einsum("nkg,kg->nk", self.about_NKG, weights[split:].reshape(own))
        return shared[:, np.newaxis] + each

    def design(self) -> Array:
        """The regressors of the logged choices, (N, F + K G)."""
        n, k, g = self.about_NKG.shape
        rows = np.arange(n)
        chosen = np.zeros((n, k, g))
        chosen[rows, self.chosen_N] = self.about_NKG[rows, self.chosen_N]
        return np.concatenate([self.shown_NF, chosen.reshape(n, k * g)], axis=1)

    def outcomes(self, gamma: float) -> Array:
        return self.rewards @ _discounts(self.rewards.shape[1], gamma)


def _discounts(turns: int, gamma: float) -> Array:
    powers: Array = np.power(gamma, np.arange(turns), dtype=np.float64)
    return powers


def weighted_importance(log: _Log, gamma: float) -> OffPolicyEstimate:
    """sum_i w_i G_i / sum_i w_i: biased towards the log, with a bounded variance."""
    weights, outcomes = log.rho[:, -1], log.outcomes(gamma)
    mean_weight = weights.mean()
    if mean_weight <= 0.0:
        return _unknown()
    value = float((weights * outcomes).sum() / weights.sum())
    return _interval(value, weights * (outcomes - value) / mean_weight, log.scenarios, effective_size(weights))


def per_decision(log: _Log, gamma: float) -> OffPolicyEstimate:
    """mean_i sum_t gamma^(t-1) rho_t r_t: unbiased."""
    sums = (log.rho * log.rewards) @ _discounts(log.rewards.shape[1], gamma)
    value = float(sums.mean())
    return _interval(value, sums - value, log.scenarios, effective_size(log.rho[:, -1]))


def doubly_robust(log: _Log, gamma: float) -> OffPolicyEstimate:
    """mean V(s_1) + sum_t gamma^(t-1) sum_i w_it (r_t + gamma V(s_{t+1}) - Q(s_t, h_t)), sum_i w_it = 1."""
    q_nT, v_nT = cross_fitted(log, gamma)
    turns = log.rewards.shape[1]
    next_v = np.concatenate([v_nT[:, 1:], np.zeros((len(v_nT), 1))], axis=1)
    surprise = np.where(log.played, log.rewards + gamma * next_v - q_nT, 0.0)
    totals = log.rho.sum(axis=0)
    if (totals <= 0.0).any():
        return _unknown()
    shares = log.rho / totals
    mean_surprise = (shares * surprise).sum(axis=0)
    discounts = _discounts(turns, gamma)
    value = float(v_nT[:, 0].mean() + mean_surprise @ discounts)
    # The influence of one episode, that on the normalising sums included.
    influence = v_nT[:, 0] - v_nT[:, 0].mean() + len(v_nT) * (shares * (surprise - mean_surprise)) @ discounts
    return _interval(value, influence, log.scenarios, effective_size(log.rho[:, -1]))


def cross_fitted(log: _Log, gamma: float) -> tuple[Array, Array]:
    """Q(s_t, h_t) and V(s_t) under the target, (n, T) each, from models that never saw the row's scenario."""
    names = sorted(set(log.scenarios))
    fold_of = {name: index % FOLDS for index, name in enumerate(names)}
    folds_n = np.array([fold_of[name] for name in log.scenarios])
    rows, _ = np.nonzero(log.played)
    fold_N = folds_n[rows]
    q_N, v_N = np.zeros(len(rows)), np.zeros(len(rows))
    for fold in set(fold_N.tolist()):
        inside = fold_N == fold
        weights_F = _fitted_q(log, gamma, ~inside)
        q_NK = log.q(weights_F)[inside]
        q_N[inside] = q_NK[np.arange(len(q_NK)), log.chosen_N[inside]]
        v_N[inside] = (q_NK * log.target_NK[inside]).sum(axis=1)
    q_nT, v_nT = np.zeros(log.rewards.shape), np.zeros(log.rewards.shape)
    q_nT[log.played], v_nT[log.played] = q_N, v_N
    return q_nT, v_nT


def _fitted_q(log: _Log, gamma: float, use_N: NDArray[np.bool_]) -> Array:
    """Fitted Q evaluation: as many ridge regressions as an episode has turns, each on the last one's values (F,)."""
    index = np.arange(len(log.chosen_N))
    design = log.design()
    rewards_N = log.rewards[log.played]
    # The next turn of the same episode is the next row, unless the episode ends here.
    row, turn = np.nonzero(log.played)
    follows = np.zeros(len(row), dtype=bool)
    follows[:-1] = (row[1:] == row[:-1]) & (turn[1:] == turn[:-1] + 1)
    successor = np.where(follows, index + 1, 0)
    x = design[use_N]
    inverse = np.linalg.inv(x.T @ x + RIDGE * np.eye(x.shape[1]))  # well conditioned by the penalty
    weights = np.zeros(x.shape[1])
    for _ in range(log.rewards.shape[1]):
        v_N = (log.q(weights) * log.target_NK).sum(axis=1)
        aims_N = rewards_N + gamma * np.where(follows, v_N[successor], 0.0)
        weights = inverse @ (x.T @ aims_N[use_N])
    return weights


@lru_cache(maxsize=1 << 16)  # the outcomes of one log, and samples drawn from it, look at the same states again
def _inputs(state: State, strategies: tuple[str, ...]) -> tuple[Array, Array]:
    """What the state shows, (F,), and what it shows about each strategy, (K, G): whether it is early, what stage it is
    for, how often this strategy was played and whether it was the last."""
    shown = np.array([1.0, *state_features(state, strategies)])
    k = len(strategies)
    about = np.zeros((k, 4 + STAGES))
    about[:, 0] = 1.0
    about[:, 1] = progress(state) / DECILES
    about[:, 2 + stage(state)] = 1.0
    about[:, -2], about[:, -1] = shown[1 : 1 + k], shown[1 + k : 1 + 2 * k]
    return shown, about


def _interval(value: float, influence: Array, scenarios: Sequence[str], effective: float) -> OffPolicyEstimate:
    """value -+ t * standard error, the error from influence values summed by scenario."""
    sums: dict[str, float] = {}
    for name, amount in zip(scenarios, influence, strict=True):
        sums[name] = sums.get(name, 0.0) + float(amount)
    clusters = len(sums)
    squares = math.fsum(amount**2 for amount in sums.values()) * clusters / (clusters - 1)
    half = float(stats.t.ppf((1 + LEVEL) / 2, max(effective - 1.0, 1.0))) * math.sqrt(squares) / len(influence)
    return OffPolicyEstimate(value=value, low=value - half, high=value + half)


def _unknown() -> OffPolicyEstimate:
    return OffPolicyEstimate(value=math.nan, low=-math.inf, high=math.inf)
