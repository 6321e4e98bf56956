"""95% intervals and tests over seeds x scenarios (decision 23); numpy and scipy, no randomness.

Every seed plays the same scenarios, so values form a table with two crossed sources of chance, and a system's mean is
uncertain by both: another training, other people. The variance of the mean is the two-way cluster estimate (Cameron,
Gelbach, Miller 2011) with small-sample factors,

    V = V_seed + V_scenario - V_cell,   never below any of the three,

and Student's t with Satterthwaite's degrees of freedom, V^2 / (V_seed^2 / (S-1) + V_scenario^2 / (N-1)). It is what the
two-way bootstrap estimates, in closed form, and holds better with few seeds. Measured coverage of 95% intervals (600
tables of 5 or 3 seeds by 40 or 120 scenarios, seed effects from none to as large as the scenarios', one case of rates):
.940 to .992; the two-way percentile bootstrap .887 to 1.0, the paired t over seed means .892 to .958.

A rate over several seeds gets Wilson's interval at its effective sample size, p (1 - p) / V, with that t (Korn and
Graubard 1998); anything else the t interval, where that stays on the measure's scale. With one seed the interval is
that of a run (`harness.app.evaluation.statistics`) and speaks of the scenarios alone, and so does the test. Missing
values stay missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.app.evaluation.scales import NUMBER, Scale
from harness.app.evaluation.statistics import LEVEL, NOTHING, Absent, Estimate, newcombe, on_scale, wilson
from harness.core.messages import Struct

Table = NDArray[np.float64]
"""(S, N): a row a seed, a column a scenario; NaN where a value is missing."""


class Difference(Struct, frozen=True, kw_only=True):
    """A system minus the reference on the same seeds and scenarios."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    """Pairs of dialogues in which both have a value."""
    p: float | None
    """Two-sided; None where nothing varies or nothing is paired."""
    why: Absent = ""
    """Why there is no interval, where there are several pairs."""
    p_holm: float | None = None
    """Adjusted over the systems of one measure."""

    @property
    def significant(self) -> bool:
        """At 5% after Holm's correction."""
        return self.p_holm is not None and self.p_holm < 1 - LEVEL


def values_of(
    by_seed: Mapping[int, Mapping[str, float | None]], seeds: Sequence[int], scenarios: Sequence[str]
) -> Table:
    """Seed -> scenario -> value as a (S, N) table."""
    rows = [[by_seed.get(seed, {}).get(scenario) for scenario in scenarios] for seed in seeds]
    return np.array([[math.nan if value is None else value for value in row] for row in rows], dtype=np.float64)


def estimate_two_way(values_SN: Table, scale: Scale = NUMBER) -> Estimate:
    """Mean with its interval on ``scale``.

    Where nothing varies there is no variance to estimate: a rate then gets Wilson's interval over its scenarios (seeds
    of one scenario need not be independent), anything else no interval.
    """
    there = ~np.isnan(values_SN)
    known = values_SN[there]
    if not known.size:
        return NOTHING
    mean, n = float(known.mean()), int(known.size)
    seeds, scenarios = int(there.any(axis=1).sum()), int(there.any(axis=0).sum())
    variance, freedom = _variance(values_SN - mean)
    if scale.binary:
        if seeds == 1 or variance <= 0.0:
            low, high = wilson(mean, scenarios)
        else:
            low, high = wilson(mean, mean * (1.0 - mean) / variance, _quantile(freedom))
        return Estimate(mean=mean, low=low, high=high, n=n)
    if variance <= 0.0:
        return Estimate(mean=mean, low=None, high=None, n=n, why="all alike" if n > 1 else "")
    half = _quantile(freedom) * math.sqrt(variance)
    return on_scale(mean, mean - half, mean + half, n, scale)


def ratio_two_way(numerators_SN: Table, denominators_SN: Table) -> Estimate:
    """sum(a) / sum(b) with the interval of its linearisation, residuals (a - r b) / mean(b); missing in pairs.

    Where mean(b) itself is not clear of 0 the ratio may be anything (Fieller): no interval then.
    """
    both = ~np.isnan(numerators_SN) & ~np.isnan(denominators_SN)
    n, total = int(both.sum()), float(denominators_SN[both].sum())
    if not n or abs(total) < 1e-9:
        return msgspec.structs.replace(NOTHING, n=n)
    ratio = float(numerators_SN[both].sum()) / total
    if not _clear_of_zero(np.where(both, denominators_SN, np.nan)):
        return Estimate(mean=ratio, low=None, high=None, n=n, why="too few")
    half = _half_width(ratio_residuals(numerators_SN, denominators_SN))
    if half is None:
        return Estimate(mean=ratio, low=None, high=None, n=n, why="all alike" if n > 1 else "")
    return Estimate(mean=ratio, low=ratio - half, high=ratio + half, n=n)


def ratio_residuals(numerators_SN: Table, denominators_SN: Table) -> Table:
    """How much each dialogue moves sum(a) / sum(b), times their number; sums to 0."""
    both = ~np.isnan(numerators_SN) & ~np.isnan(denominators_SN)
    ratio = numerators_SN[both].sum() / denominators_SN[both].sum()
    residuals = (numerators_SN - ratio * denominators_SN) / denominators_SN[both].mean()
    return np.where(both, residuals, np.nan)


def compare_two_way(values_SN: Table, reference_SN: Table, scale: Scale = NUMBER) -> Difference:
    """Paired test of mean(values - reference) = 0 over the dialogues where both exist; ``scale`` of the values."""
    found = _difference(values_SN - reference_SN, scale=scale)
    both = ~np.isnan(values_SN - reference_SN)
    if scale.binary and int(both.any(axis=1).sum()) == 1:
        low, high = newcombe(values_SN[both], reference_SN[both])
        return msgspec.structs.replace(found, low=low, high=high, why="")
    return found


def compare_ratios(ours: tuple[Table, Table], reference: tuple[Table, Table]) -> Difference:
    """The difference of two ratios of sums, each (numerators, denominators), on the same scenarios.

    No difference where one of them has no interval.
    """
    estimates = [ratio_two_way(*pair) for pair in (ours, reference)]
    if any(estimate.mean is None or estimate.low is None for estimate in estimates):
        return Difference(mean=None, low=None, high=None, n=0, p=None)
    mean = float(estimates[0].mean or 0.0) - float(estimates[1].mean or 0.0)
    residuals = [ratio_residuals(*pair) for pair in (ours, reference)]
    known = [~np.isnan(residual) for residual in residuals]
    either = known[0] | known[1]
    # A dialogue that only one of the two has a value for moves only that ratio.
    shares = [
        np.where(there, residual, 0.0) * (either.sum() / there.sum())
        for residual, there in zip(residuals, known, strict=True)
    ]
    moved = np.where(either, shares[0] - shares[1] + mean, np.nan)
    return _difference(moved, n=int((known[0] & known[1]).sum()))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment (1979) of the p-values that exist; the others stay None."""
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[index] = highest
    return adjusted


def _difference(differences_SN: Table, n: int | None = None, scale: Scale = NUMBER) -> Difference:
    known = differences_SN[~np.isnan(differences_SN)]
    count = known.size if n is None else n
    if not known.size:
        return Difference(mean=None, low=None, high=None, n=0, p=None)
    mean = float(known.mean())
    variance, freedom = _variance(differences_SN - mean)
    if variance <= 0.0:
        # The same value everywhere: no evidence of chance; equal systems differ by exactly 0.
        return Difference(mean=mean, low=None, high=None, n=count, p=None, why="all alike" if count > 1 else "")
    error = math.sqrt(variance)
    half = _quantile(freedom) * error
    p = 2.0 * float(stats.t.sf(abs(mean) / error, freedom))
    if not scale.of_differences.holds(mean - half, mean + half):
        return Difference(mean=mean, low=None, high=None, n=count, p=p, why="too few")
    return Difference(mean=mean, low=mean - half, high=mean + half, n=count, p=p)


def _clear_of_zero(values_SN: Table) -> bool:
    mean = float(values_SN[~np.isnan(values_SN)].mean())
    half = _half_width(values_SN - mean)
    return abs(mean) > (half or 0.0)


def _half_width(residuals_SN: Table) -> float | None:
    variance, freedom = _variance(residuals_SN)
    if variance <= 0.0:
        return None
    return _quantile(freedom) * math.sqrt(variance)


def _quantile(freedom: float) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def _variance(residuals_SN: Table) -> tuple[float, float]:
    """(variance of the mean, degrees of freedom) from deviations with NaN where missing; 0 where nothing varies."""
    known = ~np.isnan(residuals_SN)
    filled = np.where(known, residuals_SN, 0.0)
    n = int(known.sum())
    seeds, scenarios = int(known.any(axis=1).sum()), int(known.any(axis=0).sum())
    # Sums of rounding errors are no variance.
    if n < 2 or float(np.abs(filled).max()) < 1e-12:
        return 0.0, 1.0

    def clustered(sums: Table, clusters: int) -> float:
        return clusters / (clusters - 1) * float(np.square(sums).sum()) / n**2 if clusters > 1 else 0.0

    by_seed, by_scenario = clustered(filled.sum(axis=1), seeds), clustered(filled.sum(axis=0), scenarios)
    by_cell = clustered(filled.ravel(), n)
    if seeds < 2 or scenarios < 2:
        return by_cell, float(n - 1)
    variance = max(by_seed + by_scenario - by_cell, by_seed, by_scenario, by_cell)
    spread = by_seed**2 / (seeds - 1) + by_scenario**2 / (scenarios - 1)
    most = float(n - 1)
    return variance, min(variance**2 / spread, most) if spread > 0.0 else most
