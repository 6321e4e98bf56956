"""Plots for papers: matplotlib figures of a run.

Learning curve with its band, and strategies over conversation progress before and after (heat maps).
The numbers are those of the report page. Figures are made without a display and without matplotlib's global state, and
the same numbers give the same bytes. Every figure names the world its numbers come from.
"""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from harness.app.drawing.figures import curve, figure_of, heat_maps, noted
from harness.app.drawing.palette import phase_colour
from harness.app.evaluation.shares import shares_over_progress
from harness.app.report.curves import return_series, update_series
from harness.app.report.record import RunRecord, by_phase
from harness.core.messages import TRAIN


def run_figures(record: RunRecord, world: str) -> Iterator[tuple[str, Figure]]:
    """(file name without ending, figure) of everything that a run has to show."""
    if record.of(TRAIN):
        yield "learning_curve", noted(learning_curve(record), world)
    decided = [t.decision for episode in record.episodes for t in episode.transitions if t.decision is not None]
    if decided:
        yield "strategies", noted(strategy_heat_maps(record), world)


def learning_curve(record: RunRecord) -> Figure:
    """Return and objective over the newest episodes with 95% t bands, and the policy's entropy."""
    figure = figure_of(9.6, 3.0)
    left, middle, right = figure.subplots(1, 3)
    curve(left, return_series(record, "literal", "R_1 (Eq. 8)", phase_colour(TRAIN)))
    curve(middle, return_series(record, record.config.rl.horizon, "objective", phase_colour("rl")))
    curve(right, update_series(record, "entropy", phase_colour("warmup")))
    left.set_title("return in training", fontsize=10)
    middle.set_title(f"objective ({record.config.rl.horizon})", fontsize=10)
    right.set_title("entropy of the policy (nats)", fontsize=10)
    for panel in (left, middle, right):
        panel.set_xlabel("training episodes", fontsize=8)
    return figure


def strategy_heat_maps(record: RunRecord) -> Figure:
    """Fig. 3 of the paper as heat maps: strategy by conversation progress, one panel an evaluation."""
    shown = [(title, found) for phase, title, found in by_phase(record) if phase != TRAIN]
    shown = shown or [(title, found) for _, title, found in by_phase(record)]
    return heat_maps(
        {title: shares_over_progress(found, record.strategies) for title, found in shown}, record.strategies
    )
