"""A comparison's figures for papers: all systems, measures over the model's size (Fig. 4), ablations (Fig. 5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.app.drawing.figures import figure_of, noted, plain
from harness.app.drawing.palette import series_colour
from harness.app.evaluation.measures import title_of
from harness.app.evaluation.statistics import NOTHING, Estimate
from harness.app.grid.comparison.results import Comparison, Row
from harness.app.grid.comparison.tables import TABLE_IV, TABLE_V, name_of

FIGURES = (*TABLE_IV, *TABLE_V)
"""What each figure shows, a panel a measure: those of the paper's tables."""
ACROSS = 4
"""Panels side by side."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([BM])(?![a-z])", re.IGNORECASE)


def comparison_figures(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    """(file name, figure), a set for every dataset."""
    for dataset in dict.fromkeys(row.dataset for row in comparison.rows):
        rows = [row for row in comparison.rows if row.dataset == dataset and _measured(row, "conv_sr")]
        if not rows:
            continue
        for name, shown in (
            ("ablations", ablations(rows, comparison.reference)),
            ("ablations_trained_without", ablations(rows, comparison.reference, trained_without=True)),
            ("systems", rows),
        ):
            if shown:
                yield f"{name}_{dataset}", noted(bars(shown, rows), comparison.world)
        if several := of_several_sizes(rows, comparison.reference):
            yield f"scale_{dataset}", noted(scale(several, rows), comparison.world)


def ablations(rows: Sequence[Row], reference: str, *, trained_without: bool = False) -> list[Row]:
    """Fig. 5: the reference and the ablations of one mode; nothing where there is none of it.

    ``trained_without``: the experts were missing in training, too; else they were taken from the trained planner.
    """
    found = [row for row in rows if row.group == "ablation" and row.trained_without == trained_without]
    return [*(row for row in rows if row.system == reference), *found] if found else []


def of_several_sizes(rows: Sequence[Row], reference: str) -> list[Row]:
    """Fig. 4: systems that were played by several models, and the reference; nothing where there is no such system."""
    models = {row.system: {other.model for other in rows if other.system == row.system} for row in rows}
    if all(len(names) < 2 for names in models.values()):
        return []
    return [row for row in rows if len(models[row.system]) > 1 or row.system == reference]


def _measured(row: Row, measure: str) -> bool:
    return row.metrics.get(measure, NOTHING).mean is not None


def _panels(figure: Figure, rows: Sequence[Row]) -> Iterator[tuple[Axes, str]]:
    """A panel for every measure that some row has, in rows of `ACROSS`."""
    shown = _shown(rows)
    made = figure.subplots(-(-len(shown) // ACROSS), min(ACROSS, len(shown)), sharey=False, squeeze=False)
    panels: list[Axes] = list(np.ravel(made))
    for panel in panels[len(shown) :]:
        panel.set_visible(False)
    yield from zip(panels, shown, strict=False)


def _shown(rows: Sequence[Row]) -> list[str]:
    return [name for name in FIGURES if any(_measured(row, name) for row in rows)]


def bars(shown: Sequence[Row], rows: Sequence[Row]) -> Figure:
    """One panel a measure, a bar a row, with intervals. ``rows``: all of the dataset, for names."""
    deep = -(-len(_shown(shown)) // ACROSS)
    figure = figure_of(2.6 * ACROSS + 1.2, deep * (0.9 + 0.34 * len(shown)) + 0.4)
    for number, (panel, measure) in enumerate(_panels(figure, shown)):
        for place, row in enumerate(shown):
            found = row.metrics.get(measure, NOTHING)
            if found.mean is None:
                continue
            panel.barh(place, found.mean, color=series_colour(place), height=0.7)
            if found.low is not None and found.high is not None:
                panel.plot([found.low, found.high], [place, place], color="black", linewidth=1.2)
        names = [name_of(row, rows) for row in shown] if number % ACROSS == 0 else [""] * len(shown)
        panel.set_yticks(range(len(shown)), names, fontsize=8)
        panel.set_ylim(len(shown) - 0.5, -0.5)
        panel.set_xlim(left=min(0.0, panel.get_xlim()[0]))
        panel.set_title(title_of(measure), fontsize=10)
        plain(panel)
    return figure


def scale(shown: Sequence[Row], rows: Sequence[Row]) -> Figure:
    """One panel a measure, over the size of the model where every model's name tells it, else over its tokens."""
    sizes = [size_of(row.model) or size_of(row.served) for row in shown]
    by_size = all(size is not None for size in sizes)
    deep = -(-len(_shown(shown)) // ACROSS)
    figure = figure_of(2.6 * ACROSS + 1.2, 2.4 * deep + 0.8)
    systems = list(dict.fromkeys(row.system for row in shown))
    handles: dict[str, Artist] = {}
    for panel, measure in _panels(figure, shown):
        for place, system in enumerate(systems):
            points: list[tuple[float, Estimate]] = []
            for row, size in zip(shown, sizes, strict=True):
                x = size if by_size else row.metrics.get("recommender_tokens", NOTHING).mean
                if row.system == system and x is not None and _measured(row, measure):
                    # A little to the side, so that intervals at one size do not cover each other.
                    points.append((x * (1.0 + 0.02 * place), row.metrics[measure]))
            points.sort(key=lambda point: point[0])
            for x, found in points:
                if found.low is not None and found.high is not None:
                    panel.plot([x, x], [found.low, found.high], color=series_colour(place), linewidth=1.2)
            title = next(row.title for row in shown if row.system == system)
            means = [found.mean for _, found in points if found.mean is not None]
            (line,) = panel.plot([x for x, _ in points], means, marker="o", color=series_colour(place), label=title)
            handles.setdefault(title, line)
        if by_size:
            there = sorted({size for size in sizes if size is not None})
            panel.set_xscale("log")
            panel.set_xticks(there, [f"{size / 1e9:g}B" for size in there])
            panel.minorticks_off()
            panel.set_xlim(0.8 * there[0], 1.25 * there[-1])
        panel.set_xlabel("parameters" if by_size else "recommender's tokens", fontsize=8)
        panel.set_title(title_of(measure), fontsize=10)
        low, high = panel.get_ylim()
        panel.set_ylim(min(0.0, low), high + 0.06 * (high - min(0.0, low)))
        plain(panel)
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure


def size_of(model: str) -> float | None:
    """Parameters that a model's name tells: ``SmolLM2-135M`` -> 1.35e8; None where it tells none."""
    found = _SIZE.search(model)
    return float(found[1]) * (1e9 if found[2] in "Bb" else 1e6) if found else None
