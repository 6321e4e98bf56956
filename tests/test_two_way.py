"""Intervals and tests over seeds x scenarios: closed forms, invariances, coverage, and what must stay undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from support.present import present

from harness.app.evaluation.scales import LIKERT, RATE, SHARE
from harness.app.evaluation.statistics import estimate, paired_difference
from harness.app.evaluation.two_way import (
    compare_ratios,
    compare_two_way,
    estimate_two_way,
    holm,
    ratio_two_way,
    values_of,
)

VALUES = st.floats(-100, 100, allow_nan=False).map(lambda x: round(x, 3))
TABLES = arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(2, 8)), elements=VALUES)
P_VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8)


def test_a_table_holds_nan_where_a_value_is_missing():
    found = values_of({1: {"a": 1.0, "b": None}, 3: {"a": 2.0}}, (1, 2, 3), ("a", "b"))
    assert np.array_equal(found, [[1, math.nan], [math.nan, math.nan], [2, math.nan]], equal_nan=True)


def test_one_seed_is_the_student_interval_over_scenarios():
    values = np.array([[1.0, 2.0, 4.0, 7.0]])
    found = estimate_two_way(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values[0]))
    assert (found.low, found.high, found.n) == (pytest.approx(low), pytest.approx(high), 4)


def test_where_only_seeds_differ_it_is_the_student_interval_over_seeds():
    seeds = np.array([1.0, 2.0, 4.0, 7.0, 5.0])
    found = estimate_two_way(np.repeat(seeds[:, None], 500, axis=1))
    low, high = stats.t.interval(0.95, 4, loc=seeds.mean(), scale=stats.sem(seeds))
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_two_by_two_by_hand():
    # Deviations -1.5, -.5, .5, 1.5: V_seed = 2 (4 + 4) / 16 = 1, V_scenario = 2 (1 + 1) / 16 = .25,
    # V_cell = 4/3 * 5 / 16 = 5/12; their combination 5/6 is below V_seed, which then counts.
    found = estimate_two_way(np.array([[1.0, 2.0], [3.0, 4.0]]))
    freedom = 1.0 / (1.0 + 0.25**2)
    assert found.high == pytest.approx(2.5 + stats.t.ppf(0.975, freedom))


@given(TABLES, st.floats(-50, 50), st.floats(0.1, 10))
def test_estimates_move_and_stretch_with_their_values(values, shift, factor):
    before, after = estimate_two_way(values), estimate_two_way(values * factor + shift)
    assert after.mean == pytest.approx(present(before.mean) * factor + shift, abs=1e-6)
    if before.low is not None and after.low is not None:
        assert present(after.high) - present(after.low) == pytest.approx(
            (present(before.high) - present(before.low)) * factor, rel=1e-4, abs=1e-6
        )
        assert present(before.low) <= present(before.mean) <= present(before.high)


@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_scenarios_is_indifferent(values, random):
    rows, columns = list(range(values.shape[0])), list(range(values.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    before, after = estimate_two_way(values), estimate_two_way(values[np.ix_(rows, columns)])
    assert after.mean == pytest.approx(before.mean, abs=1e-9)
    assert (after.low is None) == (before.low is None)
    if before.low is not None:
        assert after.low == pytest.approx(before.low, rel=1e-6, abs=1e-6)


def test_missing_values_are_left_out_not_scored():
    values = np.array([[1.0, math.nan, 3.0], [2.0, math.nan, 6.0]])
    without = np.array([[1.0, 3.0], [2.0, 6.0]])
    assert estimate_two_way(values) == estimate_two_way(without)
    assert estimate_two_way(np.full((2, 3), math.nan)).mean is None
    assert estimate_two_way(np.empty((0, 0))).n == 0


def test_a_failed_seed_is_no_seed():
    values = np.array([[1.0, 5.0, 3.0], [2.0, 4.0, 6.0]])
    padded = np.vstack([values, np.full(3, math.nan)])
    assert estimate_two_way(padded) == estimate_two_way(values)


def test_a_rate_stays_in_its_bounds_and_a_sure_one_is_not_certain():
    found = estimate_two_way(np.array([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]), RATE)
    assert 0.0 <= present(found.low) < 0.125 < present(found.high) <= 1.0
    sure = estimate_two_way(np.zeros((5, 20)), RATE)
    wilson = stats.binomtest(0, 20).proportion_ci(0.95, method="wilson")
    assert (sure.low, sure.high) == pytest.approx((wilson.low, wilson.high))
    always = np.ones((3, 20))
    always[0, 4] = math.nan  # the scenario was met by the other seeds
    wilson = stats.binomtest(20, 20).proportion_ci(0.95, method="wilson")
    found = estimate_two_way(always, RATE)
    assert (found.mean, found.n) == (1.0, 59)
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high))
    assert estimate_two_way(np.full((5, 20), 3.0)).why == "all alike"
    assert estimate_two_way(np.ones((5, 20)), SHARE).why == "all alike"  # not a thing that happens or not


@pytest.mark.parametrize(("seed_effect", "scenario_effect"), [(0.0, 0.3), (0.3, 0.3)])
def test_intervals_cover_about_as_often_as_they_say(seed_effect, scenario_effect):
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        values = (
            seed_effect * random.normal(size=(5, 1))
            + scenario_effect * random.normal(size=(1, 40))
            + random.normal(size=(5, 40))
        )
        found = estimate_two_way(values)
        covered += present(found.low) <= 0.0 <= present(found.high)
    assert covered / 300 >= 0.9


def test_differences_are_paired():
    random = np.random.default_rng(1)
    hard = 10 * random.normal(size=(1, 30))
    reference = hard + 0.1 * random.normal(size=(5, 30))
    better = reference + 0.5 + 0.1 * random.normal(size=(5, 30))
    found = compare_two_way(better, reference)
    assert present(found.low) > 0.4
    assert present(found.p) < 1e-6
    assert compare_two_way(reference, better).mean == pytest.approx(-present(found.mean))


def test_equal_systems_have_no_evidence_of_a_difference():
    values = np.random.default_rng(2).normal(size=(3, 9))
    found = compare_two_way(values, values)
    assert (found.mean, found.p, found.significant) == (0.0, None, False)


def test_only_pairs_count():
    ours = np.array([[1.0, 2.0, math.nan], [2.0, 5.0, 7.0]])
    reference = np.array([[0.0, math.nan, 1.0], [0.0, 1.0, 2.0]])
    found = compare_two_way(ours, reference)
    assert found.n == 4
    assert found.mean == pytest.approx((1 + 2 + 4 + 5) / 4)


def test_nothing_is_significant_before_holm():
    random = np.random.default_rng(3)
    found = compare_two_way(random.normal(5, 1, size=(5, 30)), random.normal(0, 1, size=(5, 30)))
    assert present(found.p) < 0.001
    assert not found.significant


def test_holm_by_hand():
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])
    assert holm([]) == []


@given(P_VALUES)
def test_holm_is_between_the_raw_value_and_bonferroni_and_keeps_the_order(values):
    adjusted = holm(values)
    known = [(p, present(q)) for p, q in zip(values, adjusted, strict=True) if p is not None]
    assert [q is None for q in adjusted] == [p is None for p in values]
    assert all(p <= q <= min(1.0, p * len(known)) + 1e-12 for p, q in known)
    assert [q for _, q in sorted(known)] == sorted(q for _, q in known)


def test_a_ratio_is_of_sums_not_a_mean_of_ratios():
    gains = np.array([[1.0, 1.0], [1.0, 2.0]])
    rooms = np.array([[1.0, 4.0], [2.0, 3.0]])
    assert ratio_two_way(gains, rooms).mean == pytest.approx(5 / 10)


def test_the_ratios_interval_is_the_means_where_the_denominator_is_constant():
    gains = np.random.default_rng(4).normal(1, 1, size=(4, 12))
    found, plain = ratio_two_way(gains, np.full((4, 12), 2.0)), estimate_two_way(gains / 2)
    assert (found.mean, found.low, found.high) == pytest.approx((plain.mean, plain.low, plain.high))


def test_a_ratio_over_what_may_be_nothing_has_no_interval_and_no_test():
    random = np.random.default_rng(6)
    gains, unclear = random.normal(1, 1, size=(3, 10)), random.normal(0, 1, size=(3, 10))
    found = ratio_two_way(gains, unclear)
    assert found.mean is not None
    assert found.low is None
    assert compare_ratios((gains, unclear), (gains, np.full((3, 10), 2.0))).p is None
    assert ratio_two_way(gains, np.zeros((3, 10))).mean is None


def test_ratios_are_compared_by_their_difference():
    random = np.random.default_rng(7)
    rooms = random.uniform(1, 3, size=(5, 40))
    ours, theirs = ((rooms * share + 0.1 * random.normal(size=(5, 40)), rooms) for share in (0.8, 0.3))
    found = compare_ratios(ours, theirs)
    assert found.mean == pytest.approx(0.5, abs=0.03)
    assert present(found.low) < present(found.mean) < present(found.high)
    assert present(found.p) < 1e-6
    assert found.n == 200


def test_a_ratios_difference_agrees_with_the_paired_one_where_denominators_are_constant():
    random = np.random.default_rng(8)
    ours, theirs = random.normal(1.5, 1, size=(4, 12)), random.normal(1, 1, size=(4, 12))
    twos = np.full((4, 12), 2.0)
    ratio, plain = compare_ratios((ours, twos), (theirs, twos)), compare_two_way(ours / 2, theirs / 2)
    assert (ratio.mean, ratio.low, ratio.p) == pytest.approx((plain.mean, plain.low, plain.p))
    # A seed that neither has is no seed here either.
    padded = [np.vstack([values, np.full(12, math.nan)]) for values in (ours, theirs, twos)]
    again = compare_ratios((padded[0], padded[2]), (padded[1], padded[2]))
    assert (again.mean, again.low) == pytest.approx((plain.mean, plain.low))


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_an_interval_stays_on_its_scale_or_is_not_given(seeds):
    random = np.random.default_rng(7)
    cut = 0
    for _ in range(200):
        ours, theirs = random.integers(0, 2, (2, seeds, 4)).astype(float)
        likert = 1.0 + 4.0 * random.beta(8, 1, (seeds, 4))
        for found, scale in (
            (estimate_two_way(ours, RATE), RATE),
            (compare_two_way(ours, theirs, RATE), RATE.of_differences),
            (estimate_two_way(likert, LIKERT), LIKERT),
        ):
            assert (found.low is None) == (found.why != "")
            assert (
                found.low is None
                or scale.low <= present(found.low) <= present(found.mean) <= present(found.high) <= scale.high
            )
            cut += found.why == "too few"
    assert cut


def test_one_seed_gets_what_a_run_of_it_gets():
    random = np.random.default_rng(8)
    ours, theirs = random.integers(0, 2, (2, 1, 30)).astype(float)
    keys = [str(n) for n in range(30)]
    after, before = dict(zip(keys, ours[0], strict=True)), dict(zip(keys, theirs[0], strict=True))
    one, run = estimate_two_way(ours, RATE), estimate(list(after.values()), RATE)
    assert (one.mean, one.low, one.high) == pytest.approx((run.mean, run.low, run.high))
    compared, paired = compare_two_way(ours, theirs, RATE), paired_difference(after, before, RATE)
    assert (compared.mean, compared.low, compared.high) == pytest.approx((paired.mean, paired.low, paired.high))
