"""Recall by dialogue: intervals see whole dialogues, stay on their scale, and cover."""

from __future__ import annotations

import numpy as np
import pytest

from harness.app.evaluation.recommendation import by_dialogue, difference_by_dialogue, differences, measured
from harness.app.evaluation.statistics import wilson
from harness.domain.ranking import Placed


def test_one_target_a_dialogue_is_wilsons_interval_with_students_quantile() -> None:
    values = np.array([1.0] * 30 + [0.0] * 70)
    found = by_dialogue(values, [str(n) for n in range(100)])
    effective = 0.21 / (100 / 99 * 0.21 / 100)
    assert (found.low, found.high) == pytest.approx(wilson(0.3, effective, 1.9842), abs=1e-4)
    assert (found.mean, found.n) == (0.3, 100)


def test_targets_of_one_dialogue_count_little() -> None:
    values = np.array([1.0, 0.0] * 50)
    apart = by_dialogue(values, [str(n) for n in range(100)])
    together = by_dialogue(np.repeat([1.0, 0.0] * 10, 5), [str(n // 5) for n in range(100)])
    assert apart.low is not None
    assert together.low is not None
    assert together.low < apart.low < 0.5


def test_nothing_found_has_an_upper_bound_by_its_dialogues() -> None:
    found = by_dialogue(np.zeros(40), [str(n // 2) for n in range(40)])
    assert found.mean == found.low == 0.0
    assert found.high == pytest.approx(wilson(0.0, 20, 2.093)[1], abs=1e-4)


def test_no_interval_is_made_up() -> None:
    assert by_dialogue(np.array([0.2, 0.2]), ["a", "b"]).why == "all alike"
    assert by_dialogue(np.array([0.0, 1.0]), ["a", "a"]).why == "too few"
    assert by_dialogue(np.array([]), []).mean is None
    assert difference_by_dialogue(np.zeros(3), ["a", "b", "c"]).why == "all alike"


def test_coverage_with_dialogues_of_unequal_size() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        sizes = rng.integers(1, 9, size=80)
        rates = rng.beta(0.4, 3.6, size=80)
        values = np.concatenate([rng.random(size) < rate for size, rate in zip(sizes, rates, strict=True)])
        found = by_dialogue(values.astype(float), np.repeat(np.arange(80), sizes).astype(str).tolist())
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.1 <= found.high
    assert 0.92 <= hits / 300 <= 0.98


def test_new_targets_have_a_column_of_their_own_and_pairs_their_difference() -> None:
    new = np.array([True, False, True, True])
    ours = Placed(np.array([0, 0, 3, 9]), np.ones(4, dtype=np.int64), new, ("a", "a", "b", "c"), 100)
    theirs = Placed(np.array([7, 0, 3, 9]), np.ones(4, dtype=np.int64), new, ("a", "a", "b", "c"), 100)
    found, less = measured(ours), differences(ours, theirs)
    assert (found.all["recall_5"].mean, found.new["recall_5"].mean) == (0.75, pytest.approx(2 / 3))
    assert (less.all["recall_5"].mean, less.new["recall_5"].mean) == (0.25, pytest.approx(1 / 3))
    assert less.all["recall_10"].mean == 0.0


def test_targets_that_all_stand_among_ties_look_more_alike_than_they_are() -> None:
    dialogues = ("a", "a", "b", "c", "d", "d")
    near = Placed(np.array([7, 7, 8, 9, 7, 9]), np.full(6, 6000), np.ones(6, dtype=np.bool_), dialogues, 6492)
    found = measured(near).all["recall_50"]
    assert found.mean == pytest.approx(42 / 6000, abs=1e-3)
    assert found.high is not None
    assert found.high > 0.3


def test_a_few_dialogues_of_nearly_one_rate_are_no_more_than_their_targets() -> None:
    values = np.array([1.0, 0.0, 0.0, 0.0] * 3 + [1.0, 0.0, 0.0, 0.0, 0.0])
    dialogues = [str(n // 4) for n in range(12)] + ["3"] * 5
    found = by_dialogue(values, dialogues)
    assert (found.low, found.high) == pytest.approx(wilson(4 / 17, 17, 3.182), abs=1e-3)


def test_a_difference_that_would_leave_its_scale_has_no_interval() -> None:
    assert difference_by_dialogue(np.array([1.0, 0.5]), ["a", "b"]).why == "too few"
