"""Differences over seeds x scenarios against the formulas of `two_way`, written out cell by cell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.app.evaluation.scales import RATE
from harness.app.evaluation.statistics import newcombe, wilson
from harness.app.evaluation.two_way import (
    Difference,
    compare_ratios,
    compare_two_way,
    estimate_two_way,
    ratio_two_way,
)

Cells = dict[tuple[int, int], float]
"""(seed, scenario) -> a number, where there is one."""


def cells(table: np.ndarray) -> Cells:
    return {(s, n): float(x) for (s, n), x in np.ndenumerate(table) if not math.isnan(x)}


def chance(values: Cells) -> tuple[float, float, float]:
    """The mean, its variance V = V_seed + V_scenario - V_cell, Satterthwaite's degrees of freedom."""
    n = len(values)
    mean = sum(values.values()) / n
    moved = {key: value - mean for key, value in values.items()}

    def variance(key) -> tuple[float, int]:
        sums: dict[object, float] = {}
        for where, amount in moved.items():
            sums[key(where)] = sums.get(key(where), 0.0) + amount
        groups = len(sums)
        return (groups / (groups - 1) * sum(total**2 for total in sums.values()) / n**2 if groups > 1 else 0.0), groups

    (seed, seeds), (scenario, scenarios), (cell, _) = (
        variance(key) for key in (lambda w: w[0], lambda w: w[1], lambda w: w)
    )
    if min(seeds, scenarios) < 2:
        whole, freedom = cell, n - 1.0
    else:
        whole = max(seed + scenario - cell, seed, scenario, cell)
        freedom = min(whole**2 / (seed**2 / (seeds - 1) + scenario**2 / (scenarios - 1)), n - 1.0)
    return mean, whole, freedom


def written_out(values: Cells, pairs: int) -> Difference:
    """The mean, its interval and its test."""
    mean, whole, freedom = chance(values)
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(whole)
    p = 2 * float(stats.t.sf(abs(mean) / math.sqrt(whole), freedom))
    return Difference(mean=mean, low=mean - half, high=mean + half, n=pairs, p=p)


NOTHING = (None, None, None, 0, None)


def numbers(found: Difference) -> tuple[float | None, ...]:
    return (found.mean, found.low, found.high, found.n, found.p)


def same(found: Difference, expected: Difference) -> None:
    assert numbers(found) == pytest.approx(numbers(expected), rel=1e-9, abs=1e-12)


def holed(table: np.ndarray, *holes: tuple[int, int]) -> np.ndarray:
    table = table.copy()
    for hole in holes:
        table[hole] = math.nan
    return table


RANDOM = np.random.default_rng(12)
TABLES = {
    "both vary": RANDOM.normal(1, 1, (3, 1)) + RANDOM.normal(0, 1, (1, 6)) + RANDOM.normal(0, 0.5, (3, 6)),
    "seeds vary": RANDOM.normal(1, 1, (4, 1)) + RANDOM.normal(0, 0.1, (4, 7)),
    "scenarios vary": RANDOM.normal(0, 1, (1, 8)) + RANDOM.normal(0, 0.1, (3, 8)),
    "noise": RANDOM.normal(0.3, 1, (3, 5)),
    "holes": holed(RANDOM.normal(0, 1, (3, 5)), (0, 1), (2, 2)),
    "a seed is missing": holed(RANDOM.normal(0, 1, (3, 4)), *((1, n) for n in range(4))),
    "one seed": RANDOM.normal(0, 1, (1, 6)),
    "one scenario": RANDOM.normal(0, 1, (5, 1)),
    "two values": np.array([[1.0, 3.0]]),
    "small": 1e-11 * RANDOM.normal(0, 1, (2, 3)),
    # Sums by seed and by scenario hardly vary: as many degrees of freedom as there are cells, less one.
    "opposed": np.array([[1.0, -1.0, 0.1], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.2]]),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_difference_is_its_formula(name):
    table = TABLES[name]
    same(compare_two_way(table, np.zeros_like(table)), written_out(cells(table), len(cells(table))))


def test_without_pairs_or_chance_there_is_no_test():
    assert numbers(compare_two_way(np.full((2, 2), math.nan), np.zeros((2, 2)))) == NOTHING
    for sure in (np.full((2, 2), 3.0), np.array([[3.0]])):
        found = compare_two_way(sure, np.zeros_like(sure))
        assert (found.mean, found.low, found.p, found.n) == (3.0, None, None, sure.size)


@pytest.mark.parametrize(("count", "why"), [(1, ""), (2, "all alike"), (3, "all alike")])
def test_several_values_without_an_interval_say_why(count, why):
    sure = np.full((1, count), 3.0)
    assert estimate_two_way(sure).why == compare_two_way(sure, np.zeros_like(sure)).why == why
    found = ratio_two_way(sure, sure)
    assert (found.mean, found.low, found.high, found.n, found.why) == (1.0, None, None, count, why)


def test_a_ratio_over_two_values_that_may_be_0_has_no_interval():
    assert ratio_two_way(np.ones((1, 2)), np.array([[1.0, -0.5]])).why == "too few"


RATES = {
    "full": np.array([[1, 0, 1, 1, 0, 1.0], [1, 1, 0, 1, 0, 1], [0, 0, 1, 1, 0, 0]]),
    "two seeds": np.array([[1, 0, 0, 1, 0.0], [1, 1, 0, 1, 0]]),
    "holes": np.array([[1, 0, 1, math.nan, 0, 0], [1, math.nan, 0, 1, 0, 0], [math.nan, 0, 0, 1, 0, 1]]),
}


@pytest.mark.parametrize("name", RATES)
def test_a_rate_over_seeds_gets_wilsons_interval_at_its_effective_size(name):
    mean, whole, freedom = chance(cells(RATES[name]))
    low, high = wilson(mean, mean * (1 - mean) / whole, float(stats.t.ppf(0.975, freedom)))
    found = estimate_two_way(RATES[name], RATE)
    assert (found.mean, found.low, found.high) == pytest.approx((mean, low, high), rel=1e-9)


def test_one_seed_with_a_hole_is_one_run():
    ours, theirs = holed(np.array([[1.0, 0.0, 1.0, 1.0, 0.0]]), (0, 4)), np.array([[0.0, 0.0, 1.0, 0.0, 1.0]])
    found = estimate_two_way(ours, RATE)
    assert (found.low, found.high) == pytest.approx(wilson(0.75, 4))
    compared = compare_two_way(ours, theirs, RATE)
    assert (compared.low, compared.high) == pytest.approx(newcombe(ours[0, :4], theirs[0, :4]))


def test_rates_over_several_seeds_are_compared_as_numbers_are():
    ours, theirs = RATES["full"], RATES["full"][::-1, ::-1]
    assert compare_two_way(ours, theirs, RATE) == compare_two_way(ours, theirs)
    both = RATES["two seeds"][:, :4].repeat(5, axis=1)
    other = 1.0 - both[::-1]
    assert compare_two_way(both, other, RATE) == compare_two_way(both, other)


def ratio(a: Cells, b: Cells) -> tuple[float, Cells]:
    """sum(a) / sum(b), and how much each dialogue moves it."""
    both = a.keys() & b.keys()
    whole = sum(a[key] for key in both) / sum(b[key] for key in both)
    mean = sum(b[key] for key in both) / len(both)
    return whole, {key: (a[key] - whole * b[key]) / mean for key in both}


@pytest.mark.parametrize("pooled", [0.4, 0.0, -0.3])
def test_a_difference_of_ratios_is_its_formula_also_where_one_has_dialogues_that_the_other_lacks(pooled):
    random = np.random.default_rng(13)
    rooms = [random.uniform(1, 3, (3, 8)) for _ in range(2)]
    gains = [share * room + random.normal(0, 0.3, room.shape) for share, room in zip((pooled, 0.2), rooms, strict=True)]
    gains[0] -= (gains[0].sum() - pooled * rooms[0].sum()) / gains[0].size
    ours = holed(gains[0], (0, 0), (1, 3)), holed(rooms[0], (2, 4))
    theirs = holed(gains[1], (0, 1), (0, 2), (2, 4)), holed(rooms[1], (2, 5), (2, 6))
    (our, our_moves), (their, their_moves) = (ratio(cells(a), cells(b)) for a, b in (ours, theirs))
    either = our_moves.keys() | their_moves.keys()
    moved = {
        key: our
        - their
        + our_moves.get(key, 0.0) * len(either) / len(our_moves)
        - their_moves.get(key, 0.0) * len(either) / len(their_moves)
        for key in either
    }
    same(compare_ratios(ours, theirs), written_out(moved, len(our_moves.keys() & their_moves.keys())))


def test_a_ratio_of_exactly_0_is_a_ratio():
    nothing = np.array([[1.0, -1.0, 0.5], [2.0, -2.0, -0.5]]), np.ones((2, 3))
    some = np.array([[1.0, 0.5, 0.5], [2.0, 1.5, 0.5]]), np.ones((2, 3))
    assert compare_ratios(nothing, some).mean == -1.0
    assert compare_ratios(some, nothing).mean == 1.0


def test_a_ratio_without_an_interval_is_compared_with_nothing():
    random = np.random.default_rng(14)
    fine = random.normal(1, 1, (3, 10)), np.full((3, 10), 2.0)
    unclear = random.normal(1, 1, (3, 10)), random.normal(0, 1, (3, 10))
    assert numbers(compare_ratios(fine, unclear)) == NOTHING
    assert numbers(compare_ratios(unclear, fine)) == NOTHING


@pytest.mark.parametrize(("p", "clear"), [(0.049, True), (1 - 0.95, False), (0.051, False), (None, False)])
def test_significant_is_below_5_percent_after_holm(p, clear):
    assert Difference(mean=1.0, low=0.5, high=1.5, n=9, p=0.001, p_holm=p).significant is clear


def test_where_sums_cancel_only_cells_vary():
    opposed = np.array([[1.0, -1.0], [-1.0, 1.0]])
    found = compare_two_way(opposed + 5, np.zeros((2, 2)))
    half = stats.t.ppf(0.975, 3) * math.sqrt(4 / 3 * 4 / 16)
    assert (found.low, found.high) == pytest.approx((5 - half, 5 + half))


def test_rounding_is_no_variance():
    sure = compare_two_way(np.array([[7e-13, -7e-13]]), np.zeros((1, 2)))
    assert (sure.mean, sure.low, sure.p) == (0.0, None, None)
    assert compare_two_way(np.array([[1e-12, -1e-12]]), np.zeros((1, 2))).low is not None


@pytest.mark.parametrize("scale", [0.5, 0.01, -2.0])
def test_a_ratio_over_a_constant_has_the_interval_of_the_mean(scale):
    gains = np.random.default_rng(15).normal(1, 1, (3, 10))
    found, plain = ratio_two_way(gains, np.full((3, 10), scale)), compare_two_way(gains / scale, np.zeros((3, 10)))
    assert (found.mean, found.low, found.high) == pytest.approx((plain.mean, plain.low, plain.high))


def test_over_nothing_there_is_no_ratio():
    assert ratio_two_way(np.array([[1e-9]]), np.array([[1e-9]])).mean == 1.0
    assert ratio_two_way(np.array([[1.0]]), np.array([[7e-10]])).mean is None
    assert ratio_two_way(np.array([[1.0]]), np.array([[-7e-10]])).mean is None
