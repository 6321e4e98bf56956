"""Estimates with 95% intervals, from scipy: over the dialogues of one run.

One run has one training seed, so these intervals speak about the scenarios, not about training again (decision 23);
every table that shows them says so. Rates get Wilson's interval, means Student's t, paired differences the paired t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from harness.core.messages import Struct

LEVEL = 0.95


class Estimate(Struct, frozen=True, kw_only=True):
    """A mean with its interval; ``None`` where it is not defined (no values, or one value for an interval)."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    """Values that went in; missing ones are left out."""


def estimate(values: Sequence[float | None], *, rate: bool = False) -> Estimate:
    """Mean of the values that exist, with Student's interval; of a rate (values 0 and 1) with Wilson's."""
    known = np.array([value for value in values if value is not None], dtype=float)
    n = len(known)
    if n == 0:
        return Estimate(mean=None, low=None, high=None, n=0)
    if rate:
        interval = stats.binomtest(int(known.sum()), n).proportion_ci(LEVEL, method="wilson")
        return Estimate(mean=float(known.mean()), low=float(interval.low), high=float(interval.high), n=n)
    return _student(known)


def paired_difference(after: Mapping[str, float | None], before: Mapping[str, float | None]) -> Estimate:
    """Mean of after - before over the scenarios where both exist, with the paired t interval."""
    differences = [
        after_value - before_value
        for key, after_value in after.items()
        if after_value is not None and (before_value := before.get(key)) is not None
    ]
    if not differences:
        return Estimate(mean=None, low=None, high=None, n=0)
    return _student(np.array(differences, dtype=float))


def _student(values: np.ndarray) -> Estimate:
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Estimate(mean=mean, low=None, high=None, n=n)
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean=mean, low=mean - half, high=mean + half, n=n)
