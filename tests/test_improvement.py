"""The column Improve. against the paper's own figures, and orderings with ties."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.app.evaluation.scales import RATE
from harness.app.evaluation.statistics import Estimate, estimate, wilson
from harness.app.grid.comparison.improvement import (
    change_text,
    improvement,
    improvement_text,
    mean_relative_change,
)
from harness.app.grid.comparison.orderings import ordering_text, ranked

FIGURES = Path(__file__).parents[2] / "shared" / "data" / "paper" / "table5.tsv"
# Rec-SR, R@1, R@5 and Improve. of Table V of the paper (INSPIRED, ReDial), as printed.
PAPER = {
    "INSPIRED": {
        "UniCRS": (0.172, 0.556, 0.838, "-"),
        "BARCOR": (0.424, 0.121, 0.646, "15.1%"),
        "QwenCRS": (0.384, 0.354, 0.687, "23.0%"),
        "LlamaCRS": (0.576, 0.475, 0.778, "71.1%"),
        "InterCRS": (0.323, 0.485, 0.758, "21.8%"),
        "PCCRS": (0.525, 0.586, 0.768, "67.4%"),
        "RSO": (0.535, 0.758, 0.889, "84.5%"),
    },
    "REDIAL": {
        "UniCRS": (0.015, 0.652, 0.788, "-"),
        "BARCOR": (0.354, 0.495, 0.707, "7.4x"),
        "QwenCRS": (0.308, 0.308, 0.652, "6.3x"),
        "LlamaCRS": (0.450, 0.384, 0.647, "9.5x"),
        "InterCRS": (0.222, 0.384, 0.677, "4.4x"),
        "PCCRS": (0.566, 0.596, 0.833, "12.2x"),
        "RSO": (0.566, 0.742, 0.884, "12.3x"),
    },
}


def agrees(figures):
    *base, _ = figures["UniCRS"]
    for system, (*rates, printed) in figures.items():
        if system != "UniCRS":
            found = mean_relative_change(rates, base)
            assert found is not None
            # The rates are rounded to a thousandth: of .015 that is 3%.
            unit, slack = (1.0, 0.06 * found) if printed.endswith("x") else (0.01, 0.004)
            assert found == pytest.approx(float(printed.rstrip("x%")) * unit, abs=slack), system


@pytest.mark.parametrize("dataset", list(PAPER))
def test_improve_is_the_mean_relative_change_over_unicrs(dataset):
    agrees(PAPER[dataset])


def test_the_two_of_the_abstract_to_the_last_digit():
    *base, _ = PAPER["INSPIRED"]["UniCRS"]
    assert change_text(mean_relative_change(PAPER["INSPIRED"]["RSO"][:3], base)) == "84.5%"
    *base, _ = PAPER["REDIAL"]["UniCRS"]
    assert change_text(mean_relative_change(PAPER["REDIAL"]["RSO"][:3], base)) == "12.3x"


@pytest.mark.skipif(not FIGURES.exists(), reason="the paper's figures are not in the repository")
def test_the_papers_own_table():
    found: dict[str, dict[str, tuple[float, float, float, str]]] = {}
    with FIGURES.open(encoding="utf-8") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            rates = (float(line["Rec-SR"]), float(line["R@1"]), float(line["R@5"]), line["Improve"])
            found.setdefault(line["dataset"], {})[line["system"]] = rates
    assert found == PAPER
    for figures in found.values():
        agrees(figures)


def rates(*values, n=99):
    names = ("rec_sr_last", "recall_1", "recall_5")
    made = {}
    for name, value in zip(names, values, strict=True):
        low, high = wilson(value, n)
        made[name] = Estimate(mean=value, low=low, high=high, n=n)
    return made


def test_a_small_base_is_marked_with_the_range_that_it_leaves():
    redial = improvement(rates(0.566, 0.742, 0.884, n=198), rates(0.015, 0.652, 0.788, n=198))
    assert redial is not None
    assert redial.unstable
    assert redial.low is not None
    assert redial.high is not None
    assert redial.low < 5 < redial.mean < 30 < redial.high
    assert improvement_text(redial).startswith("~12.3x [")
    sure = improvement(rates(0.6, 0.6, 0.9), rates(0.5, 0.5, 0.8))
    assert sure is not None
    assert not sure.unstable
    assert improvement_text(sure).startswith("17.5% [")


def test_no_improvement_over_nothing_and_of_nothing():
    assert improvement(rates(0.5, 0.5, 0.5), rates(0.0, 0.5, 0.5)) is None
    assert improvement({}, rates(0.5, 0.5, 0.5)) is None
    missing = rates(0.5, 0.5, 0.5) | {"recall_1": Estimate(mean=None, low=None, high=None, n=0)}
    assert improvement(missing, rates(0.5, 0.5, 0.5)) is None
    assert improvement(rates(0.5, 0.5, 0.5), missing) is None
    assert improvement_text(None) == "–"


# Orderings


def rate(happened, of):
    return estimate([1.0] * happened + [0.0] * (of - happened), RATE)


def test_two_dialogues_of_99_are_a_tie():
    """The paper's Conv-SR on INSPIRED: .9798 and .9596 are two dialogues apart, and so is nothing known."""
    found = [("QwenCRS", rate(95, 99)), ("RSO", rate(97, 99)), ("UniCRS", rate(21, 99)), ("PCCRS", rate(88, 99))]
    assert ranked(found) == [["RSO", "QwenCRS", "PCCRS"], ["UniCRS"]]
    assert ordering_text("conv_sr", found) == "Conv-SR: RSO = QwenCRS = PCCRS > UniCRS"


def test_less_may_be_better_and_what_has_no_interval_is_left_out():
    sure = [
        (name, Estimate(mean=mean, low=mean - 0.1, high=mean + 0.1, n=9)) for name, mean in (("a", 3.0), ("b", 9.0))
    ]
    assert ranked(sure, less_is_better=True) == [["a"], ["b"]]
    assert ordering_text("turns", [*sure, ("c", None), ("d", Estimate(mean=1.0, low=None, high=None, n=1))]) == (
        "turns: a > b; without interval: c, d"
    )
    assert ordering_text("strategy_entropy", sure) == ""  # neither direction is better
    assert ordering_text("conv_sr", sure[:1]) == ""
