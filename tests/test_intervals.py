"""Intervals stay on their measure's scale or say why there is none; they cover what they promise; all tables agree."""

# mypy: disable-error-code="operator, arg-type, call-arg, no-any-return"
# An absent bound in a comparison fails its test anyway, and mypy does not count what a list of tables unpacks to.

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.app.evaluation.answers import extra_measures
from harness.app.evaluation.measures import MEASURES, scale_of
from harness.app.evaluation.metrics import headline
from harness.app.evaluation.scales import LIKERT, NUMBER, RATE, SHARE, Scale
from harness.app.evaluation.statistics import estimate, interval_text, newcombe, paired_difference
from harness.app.evaluation.summary import EXTRA_ROWS, MAIN
from harness.app.evaluation.two_way import compare_two_way, estimate_two_way
from harness.app.grid.comparison.results import GROUPED
from harness.domain.knowledge_graph import KnowledgeGraph

SCALES = (RATE, SHARE, LIKERT, Scale(0.0, 5.0), SHARE.of_differences)


def pairs(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    cells = [(1.0, 1.0)] * both + [(1.0, 0.0)] * first + [(0.0, 1.0)] * second + [(0.0, 0.0)] * neither
    ours, theirs = np.array(cells).T
    return ours, theirs


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),  # Newcombe 1998, table II
        ((0, 0, 0, 30), -0.1135, 0.1135),  # nothing happened: the plain Wilson bounds of 0 of 30
    ],
)
def test_newcombes_interval_by_the_book(table, low, high):
    assert newcombe(*pairs(*table)) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


@st.composite
def samples(draw: st.DrawFn) -> tuple[Scale, list[float], list[float]]:
    scale = draw(st.sampled_from(SCALES))
    one = st.sampled_from((0.0, 1.0)) if scale.binary else st.floats(scale.low, scale.high)
    values = draw(st.lists(st.tuples(one, one), min_size=1, max_size=12))
    return scale, [a for a, _ in values], [b for _, b in values]


@given(samples())
def test_no_interval_leaves_its_scale_and_a_missing_one_says_why(sample):
    scale, after, before = sample
    named = (dict(enumerate(map(float, side))) for side in (after, before))
    ours, theirs = ({str(key): value for key, value in side.items()} for side in named)
    tables = [np.array([side]) for side in (after, before)]
    two_seeds = [np.array([side, side[::-1]]) for side in (after, before)]
    for found, on in (
        (estimate(after, scale), scale),
        (estimate_two_way(two_seeds[0], scale), scale),
        (paired_difference(ours, theirs, scale), scale.of_differences),
        (compare_two_way(*two_seeds, scale), scale.of_differences),
    ):
        assert found.mean is not None
        if found.low is None:
            assert found.why in ("too few", "all alike") or found.n == 1
            assert interval_text(found) == (f"[{found.why}]" if found.why else "")
        else:
            assert on.low - 1e-9 <= found.low <= found.mean + 1e-9
            assert found.mean - 1e-9 <= found.high <= on.high + 1e-9
    # Of one seed, a study's and a comparison's table shows what the run's own table and `diff` show.
    for one_run, study in (
        (estimate(after, scale), estimate_two_way(tables[0], scale)),
        (paired_difference(ours, theirs, scale), compare_two_way(*tables, scale)),
    ):
        assert (one_run.low is None, one_run.why, one_run.n) == (study.low is None, study.why, study.n)
        if one_run.low is not None:
            assert (one_run.low, one_run.high) == (pytest.approx(study.low), pytest.approx(study.high))


def test_the_intervals_of_the_issue():
    """R@1 from 4 to 1 of 6, Cred of 5 and 3.5, Dist-2 near 1: each left its scale once."""
    before = dict(zip("abcdef", (1.0, 1.0, 1.0, 1.0, 0.0, 0.0), strict=True))
    after = dict(zip("abcdef", (1.0, 0.0, 0.0, 0.0, 0.0, 0.0), strict=True))
    found = paired_difference(after, before, scale_of("recall_1"))
    assert found.mean == pytest.approx(-0.5)
    assert -1.0 < found.low < found.high < 0.1
    assert estimate([5.0, 3.5], scale_of("cred")).why == "too few"
    assert estimate([0.99, 0.8], scale_of("corpus_dist_2")).why == "too few"
    assert estimate([5.0, 3.5]).high > 5


def test_every_measure_has_a_scale():
    named = headline(graph=KnowledgeGraph([]), threshold=0.5, gamma=0.9, horizon="literal")
    for name in (*named, *extra_measures({}), *GROUPED, *MAIN, *EXTRA_ROWS):
        assert name in MEASURES, name
    assert NUMBER.of_differences == NUMBER


@pytest.mark.parametrize("n", [12, 40])
def test_differences_of_rates_are_covered_as_often_as_promised(n):
    """Exactly, over all tables of n pairs, for marginal rates and correlations in turn."""
    tables = [(a, b, c, n - a - b - c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b)]
    bounds = np.array([newcombe(*pairs(*table)) for table in tables])
    counts = np.array(tables)
    logs = math.lgamma(n + 1) - np.array([sum(math.lgamma(k + 1) for k in table) for table in tables])
    found = []
    for one, two, share in product((0.05, 0.2, 0.5, 0.8), (0.05, 0.2, 0.5), (0.0, 0.5)):
        both = one * two + share * (min(one, two) - one * two)
        cells = np.array([both, one - both, two - both, 1 - one - two + both])
        with np.errstate(divide="ignore"):
            weights = np.exp(logs + np.where(counts > 0, counts * np.log(np.maximum(cells, 1e-300)), 0.0).sum(axis=1))
        inside = (bounds[:, 0] <= one - two + 1e-9) & (one - two - 1e-9 <= bounds[:, 1])
        found.append(float(weights[inside].sum()))
    assert min(found) > 0.92, found
    assert float(np.mean(found)) > 0.95


@pytest.mark.parametrize(("rate", "seed_effect"), [(0.05, 0.0), (0.3, 0.5)])
def test_rates_over_seeds_are_covered_as_often_as_promised(rate, seed_effect):
    random = np.random.default_rng(11)
    logit = math.log(rate / (1 - rate))

    def chances(seeds: int, scenarios: int) -> np.ndarray:
        effects = seed_effect * random.normal(size=(seeds, 1)) + 0.8 * random.normal(size=(1, scenarios))
        return 1 / (1 + np.exp(-logit - effects))

    truth = float(chances(400, 4000).mean())
    hit = 0
    for _ in range(300):
        found = estimate_two_way((random.random((5, 40)) < chances(5, 40)).astype(float), RATE)
        hit += found.low <= truth <= found.high
    assert hit / 300 > 0.91
