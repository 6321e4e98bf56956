"""Estimates with 95% intervals, the same function for every table, page and file of one run.

One run has one training seed, so these intervals speak about the scenarios, not about training again (decision 23);
every table that shows them says so (`ONE_RUN`). Over several seeds: `harness.app.evaluation.two_way`, which agrees with
this file where there is one seed.

- A rate gets Wilson's interval, a paired difference of rates Newcombe's (1998, method 10: square-and-add of the two
  Wilson intervals with the correlation of the pairs). Both stay on their scale whatever the sample.
- Anything else gets Student's t. It holds only for samples large enough; where it would leave the measure's scale, the
  sample is too small and no interval is given: *too few*. An interval cut to the scale would look more precise than it
  is.
- Where all values are alike there is nothing to estimate an interval from, but for rates: *all alike*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.app.evaluation.scales import NUMBER, Scale
from harness.core.messages import Struct

LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
ONE_RUN = (
    "95% intervals over the dialogues of this one run (Wilson for rates, Newcombe for paired differences of rates, "
    "Student's t for the rest; too few: it would leave the measure's scale); they do not speak about training again."
)

Absent = Literal["", "too few", "all alike"]
"""Why a mean of several values has no interval."""
Values = NDArray[np.float64]


class Estimate(Struct, frozen=True, kw_only=True):
    """A mean with its interval; ``None`` where it is not defined (no values, or one value for an interval)."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    """Values that went in; missing ones are left out."""
    why: Absent = ""
    """Why there is no interval, where there are several values."""


class Estimated(Protocol):
    """A mean or a difference with its interval."""

    @property
    def mean(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def why(self) -> Absent: ...


NOT_MEASURED = "not measured"
NOTHING = Estimate(mean=None, low=None, high=None, n=0)


def estimate(values: Sequence[float | None], scale: Scale = NUMBER) -> Estimate:
    """Mean of the values that exist, with its interval on ``scale``."""
    known = np.array([value for value in values if value is not None], dtype=float)
    if not known.size:
        return NOTHING
    if scale.binary:
        low, high = wilson(float(known.mean()), len(known))
        return Estimate(mean=float(known.mean()), low=low, high=high, n=len(known))
    return _student(known, scale)


def paired_difference(
    after: Mapping[str, float | None], before: Mapping[str, float | None], scale: Scale = NUMBER
) -> Estimate:
    """Mean of after - before over the scenarios where both exist; ``scale`` is that of the values."""
    pairs = [
        (after_value, before_value)
        for key, after_value in after.items()
        if after_value is not None and (before_value := before.get(key)) is not None
    ]
    if not pairs:
        return NOTHING
    ours, theirs = np.array(pairs, dtype=float).T
    if scale.binary:
        low, high = newcombe(ours, theirs)
        return Estimate(mean=float((ours - theirs).mean()), low=low, high=high, n=len(pairs))
    return _student(ours - theirs, scale.of_differences)


def estimate_text(value: Estimated | None, digits: int = 2, *, signed: bool = False, between: str = " ") -> str:
    """The mean and its `interval_text`; ``between``: a space or a line break.

    A dash where no dialogue has a value, and words where the measure was not taken at all (None).
    """
    if value is None:
        return NOT_MEASURED.replace(" ", between)
    if value.mean is None:
        return "–"
    sign = "+" if signed else ""
    return f"{value.mean:{sign}.{digits}f}{between}{interval_text(value, digits, signed=signed)}".rstrip()


def interval_text(value: Estimated, digits: int = 2, *, signed: bool = False) -> str:
    """``[low, high]``, why there is none, or nothing where there is one value or none."""
    if value.low is None or value.high is None:
        return f"[{value.why}]" if value.why else ""
    sign = "+" if signed else ""
    return f"[{value.low:{sign}.{digits}f}, {value.high:{sign}.{digits}f}]"


def wilson(rate: float, n: float, quantile: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a rate; ``n`` may be an effective number, with Student's quantile."""
    spread = quantile**2 / n
    middle = (rate + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (rate * (1 - rate) + spread / 4)) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def newcombe(ours: Values, theirs: Values) -> tuple[float, float]:
    """Newcombe's interval of mean(ours - theirs), of pairs of zeros and ones (Statistics in Medicine 17, 1998, 10)."""
    n, one, two = len(ours), float(ours.mean()), float(theirs.mean())
    (low_1, high_1), (low_2, high_2) = wilson(one, n), wilson(two, n)
    both = int((ours * theirs).sum())
    neither = int(((1 - ours) * (1 - theirs)).sum())
    first, second = int(ours.sum()) - both, int(theirs.sum()) - both
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = both * neither - first * second
    # A continuity correction where the pairs agree more than chance, as Newcombe gives it.
    corrected = max(product - n / 2, 0.0) if product > 0 else product
    phi = corrected / math.sqrt(margins) if margins else 0.0
    down_1, up_1, down_2, up_2 = one - low_1, high_1 - one, two - low_2, high_2 - two
    below = math.sqrt(max(down_1**2 - 2 * phi * down_1 * up_2 + up_2**2, 0.0))
    above = math.sqrt(max(up_1**2 - 2 * phi * up_1 * down_2 + down_2**2, 0.0))
    return max(one - two - below, -1.0), min(one - two + above, 1.0)


def on_scale(mean: float, low: float, high: float, n: int, scale: Scale) -> Estimate:
    """The estimate, without its interval where that would leave the scale."""
    if scale.holds(low, high):
        return Estimate(mean=mean, low=low, high=high, n=n)
    return Estimate(mean=mean, low=None, high=None, n=n, why="too few")


def _student(values: Values, scale: Scale) -> Estimate:
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Estimate(mean=mean, low=None, high=None, n=n)
    if float(np.ptp(values)) < 1e-12:
        return Estimate(mean=mean, low=None, high=None, n=n, why="all alike")
    from scipy import stats  # nearly a second, and only means need it

    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return on_scale(mean, mean - half, mean + half, n, scale)
