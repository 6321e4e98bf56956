"""Plots for papers: matplotlib figures of a run or a comparison, written as SVG and PNG.

Learning curve with its band, strategies over conversation progress before and after (heat maps), ablations, and scale.
The numbers are those of the report page. Figures are made without a display and without matplotlib's global state, and
the same numbers give the same bytes. Every figure names the world its numbers come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.app.drawing.figures import curve, figure_of, heat_maps, noted, plain
from harness.app.drawing.palette import phase_colour, series_colour
from harness.app.evaluation.shares import shares_over_progress
from harness.app.grid.comparison.results import Comparison, Row
from harness.app.grid.comparison.tables import name_of
from harness.app.report.curves import return_series, update_series
from harness.app.report.record import RunRecord, by_phase
from harness.core.messages import TRAIN

FIGURES = {"conv_sr": "Conv-SR", "wi": "WI (1-5)", "cred": "Cred (1-5)", "rec_sr": "Rec-SR", "recall_5": "R@5"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([BM])(?![a-z])", re.IGNORECASE)


def run_figures(record: RunRecord, world: str) -> Iterator[tuple[str, Figure]]:
    """(file name without ending, figure) of everything that a run has to show."""
    if record.of(TRAIN):
        yield "learning_curve", noted(learning_curve(record), world)
    decided = [t.decision for episode in record.episodes for t in episode.transitions if t.decision is not None]
    if decided:
        yield "strategies", noted(strategy_heat_maps(record), world)


def comparison_figures(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    """(file name, figure), a set for every dataset."""
    for dataset in dict.fromkeys(row.dataset for row in comparison.rows):
        rows = [row for row in comparison.rows if row.dataset == dataset and row.metrics["conv_sr"].mean is not None]
        if not rows:
            continue
        ablated = [row for row in rows if row.system == comparison.reference or row.group == "ablation"]
        if any(row.group == "ablation" for row in ablated):
            yield f"ablations_{dataset}", noted(bars(ablated), comparison.world)
        yield f"systems_{dataset}", noted(bars(rows), comparison.world)
        yield f"scale_{dataset}", noted(scale(rows), comparison.world)


def learning_curve(record: RunRecord) -> Figure:
    """Return and objective of each update's episodes with 95% t bands, and the policy's entropy."""
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


def bars(rows: list[Row]) -> Figure:
    """One panel a measure, a bar a row, with intervals (Fig. 5 for the ablations)."""
    figure = figure_of(2.4 * len(FIGURES) + 1.2, 1.4 + 0.36 * len(rows))
    panels: list[Axes] = list(figure.subplots(1, len(FIGURES), sharey=True))
    for panel, (metric, heading) in zip(panels, FIGURES.items(), strict=True):
        for place, row in enumerate(rows):
            found = row.metrics[metric]
            if found.mean is None:
                continue
            panel.barh(place, found.mean, color=series_colour(place), height=0.7)
            if found.low is not None and found.high is not None:
                panel.plot([found.low, found.high], [place, place], color="black", linewidth=1.2)
        panel.set_yticks(range(len(rows)), [name_of(row, rows) for row in rows], fontsize=8)
        panel.set_ylim(len(rows) - 0.5, -0.5)
        panel.set_xlim(left=0.0)
        panel.set_title(heading, fontsize=10)
        plain(panel)
    return figure


def scale(rows: list[Row]) -> Figure:
    """Conv-SR over the size of the model where every model's name tells it, else over the recommender's tokens."""
    sizes = [size_of(row.model) for row in rows]
    by_size = all(size is not None for size in sizes)
    figure = figure_of(5.2, 3.6)
    panel: Axes = figure.subplots(1, 1)
    for place, (row, size) in enumerate(zip(rows, sizes, strict=True)):
        found = row.metrics["conv_sr"]
        x = size if by_size else row.metrics["recommender_tokens"].mean
        if x is None or found.mean is None:
            continue
        if found.low is not None and found.high is not None:
            panel.plot([x, x], [found.low, found.high], color=series_colour(place), linewidth=1.2)
        panel.plot([x], [found.mean], marker="o", linestyle="", color=series_colour(place), label=name_of(row, rows))
    if by_size:
        panel.set_xscale("log")
    panel.set_xlabel("parameters" if by_size else "recommender's tokens a dialogue", fontsize=9)
    panel.set_ylabel("Conv-SR", fontsize=9)
    panel.set_ylim(bottom=0.0)
    panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    plain(panel)
    return figure


def size_of(model: str) -> float | None:
    """Parameters that a model's name tells: ``SmolLM2-135M`` -> 1.35e8; None where it tells none."""
    found = _SIZE.search(model)
    return float(found[1]) * (1e9 if found[2] in "Bb" else 1e6) if found else None
