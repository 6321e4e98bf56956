"""Recall at human recommendation turns with 95% intervals by dialogue.

Targets of one dialogue are not independent, so the dialogue is the unit of chance. A measure is a ratio of sums over
dialogues, sum of gains / number of targets, and its variance is that of the linearised ratio (Cochran, Sampling
Techniques, 1977, 6.4; as the one-way cluster estimate with the factor C / (C - 1))

    V = C / (C - 1) * sum_c (gains_c - r targets_c)^2 / targets^2,

and at least that of as many independent targets whose ties are broken at random: few dialogues, or targets that all
stand among ties, look more alike than they are. Every measure lies between 0 and 1 and most values are near 0, so the
interval is Wilson's at the effective number of targets r (1 - r) / V, with Student's quantile at C - 1 (Korn and
Graubard 1998). A difference of two rankers on the same targets has the t interval of its linearisation; none is given
where it would leave the scale. No random numbers are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.app.evaluation.scales import SHARE
from harness.app.evaluation.statistics import LEVEL, NOTHING, Absent, Estimate, on_scale, wilson
from harness.core.messages import Struct
from harness.domain.ranking import Placed, Values, gains

BY_DIALOGUE = (
    "95% intervals by dialogue: variance of the ratio of sums over dialogues (Cochran 1977), Wilson's interval at the "
    "effective number of targets; they do not speak about training again."
)


class Ranking(Struct, frozen=True, kw_only=True):
    """One ranker's measures on some turns, by the names in `harness.domain.ranking.MEASURES`."""

    all: dict[str, Estimate]
    new: dict[str, Estimate]
    """On targets that were not named before."""


def measured(where: Placed) -> Ranking:
    """All measures with their intervals, on all targets and on new ones."""
    values, squares = gains(where), gains(where, power=2)
    dialogues, new = where.dialogues, where.new
    return Ranking(
        all={name: by_dialogue(value, dialogues, squares[name]) for name, value in values.items()},
        new={
            name: by_dialogue(value[new], _some(dialogues, new), squares[name][new]) for name, value in values.items()
        },
    )


def differences(ours: Placed, theirs: Placed) -> Ranking:
    """Our measures minus theirs on the same targets."""
    mine, other = gains(ours), gains(theirs)
    new = _some(ours.dialogues, ours.new)
    return Ranking(
        all={name: difference_by_dialogue(mine[name] - other[name], ours.dialogues) for name in mine},
        new={name: difference_by_dialogue((mine[name] - other[name])[ours.new], new) for name in mine},
    )


def by_dialogue(values: Values, dialogues: Sequence[str], squares: Values | None = None) -> Estimate:
    """Mean of values between 0 and 1, one a target, with its interval by dialogue.

    Where all values are 0, or all are 1, the effective number of targets is the number of dialogues.

    Args:
        values: one a target; where ties are broken at random, the expected value.
        dialogues: the dialogue of each.
        squares: expected squares of the same; by default ``values ** 2``, right where nothing is tied.
    """
    if not len(values):
        return NOTHING
    mean, variance, clusters = _ratio(values, dialogues)
    if clusters < 2:
        return Estimate(mean=mean, low=None, high=None, n=len(values), why="too few")
    alike = float(np.ptp(values)) < 1e-12
    if variance <= 0.0 and not (alike and mean in (0.0, 1.0)):
        return Estimate(mean=mean, low=None, high=None, n=len(values), why="all alike")
    alone = (float((np.square(values) if squares is None else squares).mean()) - mean**2) / len(values)
    effective = mean * (1.0 - mean) / max(variance, alone) if variance > 0.0 else float(clusters)
    low, high = wilson(mean, effective, _quantile(clusters))
    return Estimate(mean=mean, low=low, high=high, n=len(values))


def difference_by_dialogue(values: Values, dialogues: Sequence[str]) -> Estimate:
    """Mean of differences, one a target, with the t interval by dialogue."""
    if not len(values):
        return NOTHING
    mean, variance, clusters = _ratio(values, dialogues)
    if clusters < 2 or variance <= 0.0:
        why: Absent = "too few" if clusters < 2 else "all alike"
        return Estimate(mean=mean, low=None, high=None, n=len(values), why=why)
    half = _quantile(clusters) * math.sqrt(variance)
    return on_scale(mean, mean - half, mean + half, len(values), SHARE.of_differences)


def _ratio(values: Values, dialogues: Sequence[str]) -> tuple[float, float, int]:
    mean = float(values.mean())
    _, cluster = np.unique(np.array(dialogues), return_inverse=True)
    moved = np.bincount(cluster, weights=values - mean)
    clusters = len(moved)
    if clusters < 2 or float(np.abs(moved).max()) < 1e-12:
        return mean, 0.0, clusters
    return mean, clusters / (clusters - 1) * float(np.square(moved).sum()) / len(values) ** 2, clusters


def _quantile(clusters: int) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, clusters - 1))


def _some(dialogues: Sequence[str], which: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, wanted in zip(dialogues, which, strict=True) if wanted)
