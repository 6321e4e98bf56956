"""A comparison's figures for papers: ablations (Fig. 5), all systems, and Conv-SR over size (Fig. 4), from its rows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.app.drawing.figures import figure_of, noted, plain
from harness.app.drawing.palette import series_colour
from harness.app.grid.comparison.results import Comparison, Row
from harness.app.grid.comparison.tables import name_of

FIGURES = {"conv_sr": "Conv-SR", "wi": "WI (1-5)", "cred": "Cred (1-5)", "rec_sr_last": "Rec-SR", "recall_5": "R@5"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([BM])(?![a-z])", re.IGNORECASE)


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
