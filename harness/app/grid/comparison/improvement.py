"""The column *Improve.* of the paper's Table V: the mean of three relative changes over one system.

    Improve = 1/3 * sum over Rec-SR, R@1, R@5 of (value / base - 1)

It divides by the base's rates. Where one of them is small it says little: of .015 in 198 dialogues (3 of them) the
95% interval reaches from .005 to .044, a factor of nine. So the range over the base's own intervals stands beside it,
and it is marked as unstable where a base's interval spans a factor of two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.app.evaluation.statistics import Estimate
from harness.core.messages import Struct

IMPROVED = ("rec_sr_last", "recall_1", "recall_5")
UNSTABLE = 2.0
"""A base rate whose interval's ends differ by this factor is too uncertain to divide by."""


class Improvement(Struct, frozen=True, kw_only=True):
    """Of one system over the base."""

    mean: float
    """A relative change: .845 is 84.5%."""
    low: float | None
    """With each of the base's rates at the upper end of its interval; None where one has no interval."""
    high: float | None
    """With each of them at the lower end; None also where one of them is 0."""
    unstable: bool


def mean_relative_change(values: Sequence[float], base: Sequence[float]) -> float | None:
    """The mean of value / base - 1; None where a base is 0 or nothing is given."""
    if not base or not all(base):
        return None
    return math.fsum(value / other - 1.0 for value, other in zip(values, base, strict=True)) / len(base)


def improvement(metrics: Mapping[str, Estimate], base: Mapping[str, Estimate]) -> Improvement | None:
    """None where one of the rates is missing, or 0 in the base."""
    ours = [found.mean for name in IMPROVED if (found := metrics.get(name)) is not None]
    theirs = [found for name in IMPROVED if (found := base.get(name)) is not None]
    values = [value for value in ours if value is not None]
    means = [one.mean for one in theirs if one.mean is not None]
    if len(values) < len(IMPROVED) or len(means) < len(IMPROVED):
        return None
    mean = mean_relative_change(values, means)
    if mean is None:
        return None
    lows = [one.low for one in theirs if one.low is not None]
    highs = [one.high for one in theirs if one.high is not None]
    whole = len(lows) == len(highs) == len(IMPROVED)
    return Improvement(
        mean=mean,
        low=mean_relative_change(values, highs) if whole else None,
        high=mean_relative_change(values, lows) if whole else None,
        unstable=not whole or any(high >= UNSTABLE * low for low, high in zip(lows, highs, strict=True)),
    )


def change_text(change: float | None) -> str:
    """As the paper prints it: 84.5%, and 12.3x from 100% on."""
    if change is None:
        return "?"
    return f"{change:.1f}x" if abs(change) >= 1.0 else f"{change:.1%}"


def improvement_text(found: Improvement | None, *, between: str = " ") -> str:
    """The change, ``~`` where it is unstable, and the range over the base's intervals; a dash for the base itself."""
    if found is None:
        return "–"
    mark = "~" if found.unstable else ""
    return f"{mark}{change_text(found.mean)}{between}[{change_text(found.low)}, {change_text(found.high)}]"
