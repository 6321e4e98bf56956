"""The paper's Fig. 4 (scale) and Fig. 5 (ablations) as SVG: bars with 95% intervals, from a comparison's rows.

Drawn without a display and without matplotlib's global state; the same numbers give the same bytes. A figure that has
nothing to show (one model a system, no ablation) is not made.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from harness.app.grid.comparison.results import Comparison, Row

MEASURES = {"conv_sr": "Conv-SR", "wi": "WI (1-5)", "cred": "Cred (1-5)", "rec_sr": "Rec-SR", "recall_5": "R@5"}
_COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e")


def ablations(comparison: Comparison, dataset: str) -> bytes | None:
    """Fig. 5: the reference and what is left of it without one expert."""
    rows = [row for row in comparison.rows if row.dataset == dataset]
    shown = [row for row in rows if row.system == comparison.reference or row.group == "ablation"]
    if not any(row.group == "ablation" for row in shown):
        return None
    return _bars(shown, [row.title for row in shown], f"Ablations, {dataset}", comparison.world)


def scale(comparison: Comparison, dataset: str) -> bytes | None:
    """Fig. 4: the same systems with other models."""
    rows = [row for row in comparison.rows if row.dataset == dataset]
    several = {row.system for row in rows if len({r.model for r in rows if r.system == row.system}) > 1}
    shown = [row for row in rows if row.system in several]
    if not shown:
        return None
    return _bars(shown, [f"{row.title}, {row.model}" for row in shown], f"Scale, {dataset}", comparison.world)


def _bars(rows: Sequence[Row], labels: Sequence[str], title: str, world: str) -> bytes:
    figure = Figure(figsize=(2.6 * len(MEASURES), 1.5 + 0.38 * len(rows)), layout="constrained")
    FigureCanvasSVG(figure)
    panels: list[Axes] = list(figure.subplots(1, len(MEASURES), sharey=True))
    for panel, (name, heading) in zip(panels, MEASURES.items(), strict=True):
        _panel(panel, rows, labels, name)
        panel.set_title(heading, fontsize=10)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(world, fontsize=7, color="#555555")
    out = io.BytesIO()
    # A fixed salt and no date: ids and metadata are otherwise new in every file.
    with matplotlib.rc_context({"svg.hashsalt": "rso"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _panel(panel: Axes, rows: Sequence[Row], labels: Sequence[str], name: str) -> None:
    for place, row in enumerate(rows):
        estimate = row.metrics[name]
        if estimate.mean is None:
            panel.text(0.0, place, " none", va="center", fontsize=8, color="#777777")
            continue
        panel.barh(place, estimate.mean, color=_COLOURS[place % len(_COLOURS)], height=0.7)
        if estimate.low is not None and estimate.high is not None:
            panel.plot([estimate.low, estimate.high], [place, place], color="black", linewidth=1.2)
    panel.set_yticks(range(len(rows)), labels, fontsize=8)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xlim(left=0.0)
    panel.tick_params(axis="x", labelsize=8)
