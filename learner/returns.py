"""Rewards of an episode -> returns and advantages: plain arithmetic, no tensors, nothing random.

Eq. 8 of the paper is the ``literal`` horizon. Its rewards are never negative and success ends the episode, so a longer
conversation earns more; ``absorbing`` and ``terminal`` avoid that (decision 22). A missing reward is never a number:
R_t exists only where every r_i, i >= t, does (decision 6), at every horizon, so that all are compared on the same
turns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from harness.core.messages import StopCause

Horizon = Literal["literal", "absorbing", "terminal"]
Baseline = Literal["none", "episode", "batch", "turn"]
Advantage = Literal["critic", "none", "episode", "batch", "turn"]
"""``critic`` needs more than returns: `learner.gae` and `learner.critic`."""
Series = tuple[float | None, ...]
"""One number per turn of an episode, None where it does not exist."""

_TINY = 1e-8
"""Below this spread all returns are equal, and the standardised advantage is 0."""


def absorbed_weight(gamma: float, turns_left: int) -> float:
    """sum_{i=1..turns_left} gamma^i: the factor of the last reward for the turns that success saved."""
    return math.fsum(gamma**i for i in range(1, turns_left + 1))


def credited(
    rewards: Sequence[float | None],
    *,
    gamma: float,
    horizon: Horizon,
    stop: StopCause,
    max_turns: int,
) -> Series:
    """What each turn of one episode is credited with, from r_1..r_T: its plain discounted sum is R_1.

    ``literal``: the reward itself (Eq. 8). ``absorbing``: after judge or user success at T the last reward is also
    credited for the turns up to ``max_turns``. ``terminal``: only r_T counts. None where the reward is missing.
    """
    if len(rewards) > max_turns:
        raise ValueError(f"an episode of {len(rewards)} turns exceeds max_turns = {max_turns}")
    found = list(rewards)
    if horizon == "terminal":
        found[:-1] = [None if reward is None else 0.0 for reward in found[:-1]]
    elif horizon == "absorbing" and stop in ("judge", "user") and found and found[-1] is not None:
        found[-1] += found[-1] * absorbed_weight(gamma, max_turns - len(rewards))
    return tuple(found)


def returns(
    rewards: Sequence[float | None],
    *,
    gamma: float,
    horizon: Horizon,
    stop: StopCause,
    max_turns: int,
) -> Series:
    """R_1..R_T of one episode from r_1..r_T: R_t = sum_{i>=t} gamma^(i-t) c_i, c as `credited` gives it."""
    return discounted(credited(rewards, gamma=gamma, horizon=horizon, stop=stop, max_turns=max_turns), gamma)


def discounted(series: Series, gamma: float) -> Series:
    """sum_{i>=t} gamma^(i-t) c_i for every t; None where a c_i, i >= t, is missing."""
    found: list[float | None] = []
    later: float | None = 0.0
    for value in reversed(series):
        later = None if value is None or later is None else value + gamma * later
        found.append(later)
    return tuple(reversed(found))


def advantages(returns_ET: Sequence[Series], how: Baseline) -> tuple[Series, ...]:
    """A_t for every turn of every episode of one update (decision 3); None exactly where the return is None.

    ``none``: A = R. ``episode``: standardised inside the episode (PPDPP). ``batch``: standardised over the update.
    ``turn``: R minus the mean return of the update's *other* episodes at the same turn index, or at the nearest index
    that another episode has; without any other episode A = R. The baseline never contains the turn's own episode, so it
    leaves the gradient unbiased.
    """
    match how:
        case "none":
            return tuple(tuple(series) for series in returns_ET)
        case "episode":
            return tuple(_standardised(series, _numbers([series])) for series in returns_ET)
        case "batch":
            return tuple(_standardised(series, _numbers(returns_ET)) for series in returns_ET)
        case "turn":
            return tuple(
                tuple(
                    None if value is None else value - _others_mean(returns_ET, episode, turn)
                    for turn, value in enumerate(series)
                )
                for episode, series in enumerate(returns_ET)
            )


def _numbers(series_ET: Sequence[Series]) -> list[float]:
    return [value for series in series_ET for value in series if value is not None]


def _standardised(series: Series, sample: list[float]) -> Series:
    if not sample:
        return tuple(series)
    mean = math.fsum(sample) / len(sample)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in sample) / len(sample))
    scale = 0.0 if spread < _TINY else 1.0 / spread
    return tuple(None if value is None else (value - mean) * scale for value in series)


def _others_mean(returns_ET: Sequence[Series], episode: int, turn: int) -> float:
    longest = max(len(series) for series in returns_ET)
    # The same index first, then its neighbours outwards, the earlier one before the later.
    for index in sorted(range(longest), key=lambda other: (abs(other - turn), other)):
        others = [
            value
            for other, series in enumerate(returns_ET)
            if other != episode and index < len(series) and (value := series[index]) is not None
        ]
        if others:
            return math.fsum(others) / len(others)
    return 0.0
