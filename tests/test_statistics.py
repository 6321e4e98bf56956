"""A run's intervals against their formulas written out, and where there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from harness.app.evaluation.measures import MEASURES, scale_of
from harness.app.evaluation.scales import AMOUNT, LIKERT, NUMBER, RATE, SHARE, Scale
from harness.app.evaluation.statistics import (
    NOTHING,
    Estimate,
    estimate,
    estimate_text,
    interval_text,
    newcombe,
    on_scale,
    paired_difference,
    wilson,
)

Z = 1.959963984540054


def roots(rate: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval: where (p - rate)^2 = quantile^2 p (1 - p) / n, solved as a polynomial in p."""
    spread = quantile**2 / n
    low, high = sorted(np.roots([1 + spread, -(2 * rate + spread), rate**2]).real)
    return float(low), float(high)


@pytest.mark.parametrize(("rate", "n"), [(0.5, 10), (0.1, 20), (0.9, 7), (0.25, 4), (0.6, 1), (0.4, 33.7)])
@pytest.mark.parametrize("quantile", [Z, 2.7])
def test_wilsons_interval_solves_its_equation(rate: float, n: float, quantile: float) -> None:
    assert wilson(rate, n, quantile) == pytest.approx(roots(rate, n, quantile), abs=1e-12)


def test_wilsons_interval_is_of_95_percent_and_ends_with_the_scale() -> None:
    assert wilson(0.3, 12) == pytest.approx(roots(0.3, 12, Z), abs=1e-12)
    for n in range(1, 60):
        assert wilson(0.0, n) == (pytest.approx(0.0, abs=1e-12), pytest.approx(Z**2 / (n + Z**2)))
        assert wilson(1.0, n) == (pytest.approx(n / (n + Z**2)), pytest.approx(1.0, abs=1e-12))
        assert wilson(0.0, n)[0] >= 0.0
        assert wilson(1.0, n)[1] <= 1.0


PAIRS = [(36, 12, 2, 0), (5, 3, 2, 10), (2, 6, 7, 1), (0, 4, 3, 0), (9, 0, 0, 4), (0, 0, 0, 5), (7, 0, 0, 0),
         (0, 6, 0, 0), (0, 0, 5, 0), (3, 2, 0, 0), (4, 1, 2, 3), (10, 1, 0, 9), (1, 0, 0, 1), (1, 3, 0, 1)]  # fmt: skip
"""Pairs with both, the first alone, the second alone, neither."""


@pytest.mark.parametrize("counts", PAIRS)
def test_newcombes_interval_is_its_formula(counts: tuple[int, int, int, int]) -> None:
    """Method 10 of Newcombe (Statistics in Medicine 17, 1998), from the four counts e, f, g, h."""
    e, f, g, h = counts
    n = sum(counts)
    one, two = (e + f) / n, (e + g) / n
    (low_1, high_1), (low_2, high_2) = roots(one, n, Z), roots(two, n, Z)
    product = float(e * h - f * g)
    if product > 0:
        product = max(product - n / 2, 0.0)
    margins = (e + f) * (g + h) * (e + g) * (f + h)
    phi = product / math.sqrt(margins) if margins else 0.0
    below = math.sqrt((one - low_1) ** 2 - 2 * phi * (one - low_1) * (high_2 - two) + (high_2 - two) ** 2)
    above = math.sqrt((two - low_2) ** 2 - 2 * phi * (two - low_2) * (high_1 - one) + (high_1 - one) ** 2)
    ours = np.repeat([1.0, 1.0, 0.0, 0.0], counts)
    theirs = np.repeat([1.0, 0.0, 1.0, 0.0], counts)
    expected = max(one - two - below, -1.0), min(one - two + above, 1.0)
    assert newcombe(ours, theirs) == pytest.approx(expected, abs=1e-9)
    low, high = newcombe(ours, theirs)
    assert -1.0 <= low <= high <= 1.0


def same(found: Estimate, expected: tuple[float | None, float | None, float | None, int, str]) -> None:
    assert (found.mean, found.low, found.high) == pytest.approx(expected[:3])
    assert (found.n, found.why) == expected[3:]


def test_a_mean_gets_students_interval_of_the_values_that_exist() -> None:
    values = [1.0, None, 2.0, 4.0, 7.0, None]
    known = np.array([1.0, 2.0, 4.0, 7.0])
    low, high = stats.t.interval(0.95, 3, loc=3.5, scale=stats.sem(known))
    same(estimate(values), (3.5, low, high, 4, ""))
    two = 12.706204736174698 * 0.5
    same(estimate([0.0, 1.0]), (0.5, 0.5 - two, 0.5 + two, 2, ""))


def test_a_rate_gets_wilsons() -> None:
    same(estimate([1.0, 0.0, None, 1.0, 1.0], RATE), (0.75, *roots(0.75, 4, Z), 4, ""))
    same(estimate([1.0], RATE), (1.0, *roots(1.0, 1, Z), 1, ""))


def test_where_there_is_no_interval_it_says_why() -> None:
    assert estimate([None, None]) == estimate([], RATE) == NOTHING
    same(estimate([3.0]), (3.0, None, None, 1, ""))
    same(estimate([3.0, 3.0]), (3.0, None, None, 2, "all alike"))
    same(estimate([3.0, 3.0 + 7e-13]), (3.0, None, None, 2, "all alike"))
    assert estimate([0.0, 1e-12]).why == ""  # no longer rounding
    assert estimate([0.0, 1.5e-12]).why == ""
    same(estimate([0.9, 1.0, 1.0], SHARE), (2.9 / 3, None, None, 3, "too few"))


def test_a_difference_is_of_pairs_on_the_scale_of_differences() -> None:
    after: Mapping[str, float | None] = {"a": 4.0, "b": 2.0, "c": None, "d": 5.0, "e": 9.0}
    before: Mapping[str, float | None] = {"a": 1.0, "b": 1.5, "c": 3.0, "d": None, "f": 2.0}
    low, high = stats.t.interval(0.95, 1, loc=1.75, scale=stats.sem([3.0, 0.5]))
    same(paired_difference(after, before), (1.75, low, high, 2, ""))
    same(paired_difference(after, before, LIKERT), (1.75, None, None, 2, "too few"))
    assert paired_difference({"a": 1.0}, {"b": 1.0}) == NOTHING
    many = {str(n): 0.5 + 0.01 * n for n in range(20)}, {str(n): 0.6 + 0.02 * n for n in range(20)}
    assert paired_difference(*many, SHARE).why == ""  # below 0, which no share is
    ours, theirs = {"a": 1.0, "b": 0.0, "c": 1.0}, {"a": 0.0, "b": 0.0, "c": 1.0, "d": 0.0}
    expected = newcombe(np.array([1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0]))
    same(paired_difference(ours, theirs, RATE), (1 / 3, *expected, 3, ""))


def test_an_estimate_in_words() -> None:
    found = Estimate(mean=0.5, low=-0.25, high=1.0, n=9)
    assert interval_text(found) == "[-0.25, 1.00]"
    assert interval_text(found, 1, signed=True) == "[-0.2, +1.0]"
    assert estimate_text(found) == "0.50 [-0.25, 1.00]"
    assert estimate_text(found, 3, signed=True, between="|") == "+0.500|[-0.250, +1.000]"
    few = Estimate(mean=0.5, low=None, high=None, n=2, why="too few")
    assert (interval_text(few), estimate_text(few)) == ("[too few]", "0.50 [too few]")
    one = Estimate(mean=0.5, low=None, high=None, n=1)
    assert (interval_text(one), estimate_text(one)) == ("", "0.50")
    assert (estimate_text(None), estimate_text(NOTHING)) == ("not measured", "–")
    for half in (Estimate(mean=0.5, low=0.1, high=None, n=2), Estimate(mean=0.5, low=None, high=0.9, n=2)):
        assert interval_text(half) == ""


def test_an_interval_is_given_up_to_the_ends_of_its_scale() -> None:
    share = Scale(0.0, 1.0)
    same(on_scale(0.5, 0.0, 1.0, 9, share), (0.5, 0.0, 1.0, 9, ""))
    same(on_scale(0.5, -0.01, 0.9, 9, share), (0.5, None, None, 9, "too few"))
    same(on_scale(0.5, 0.1, 1.01, 9, share), (0.5, None, None, 9, "too few"))
    assert share.holds(-1e-9, 1 + 1e-9)  # rounding
    assert not share.holds(-1.5e-9, 0.5)
    assert not share.holds(0.5, 1 + 1.5e-9)


def test_scales() -> None:
    assert LIKERT.of_differences == Scale(-4.0, 4.0)
    assert SHARE.of_differences == RATE.of_differences == Scale(-1.0, 1.0)
    assert AMOUNT.of_differences == NUMBER
    assert scale_of("conv_sr") is RATE
    assert scale_of("judge_gap") == Scale(-1.0, 1.0)
    assert scale_of("a measure of one's own") is NUMBER
    assert all(entry.scale.low < entry.scale.high for entry in MEASURES.values())
