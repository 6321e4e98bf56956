"""What every figure for papers is drawn with: sizes, bands, heat maps, the world at its foot, SVG and PNG files.

Figures are made without a display and without matplotlib's global state; the same numbers give the same bytes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from harness.app.drawing.palette import in_groups
from harness.app.drawing.svg import Series
from harness.domain.strategies import Strategy

DPI = 200


def figure_of(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def noted(figure: Figure, world: str) -> Figure:
    """The figure with the world that its numbers come from at its foot."""
    characters = int(figure.get_figwidth() * 18)
    figure.supxlabel(textwrap.fill(world, characters), fontsize=7, color="#555555", parse_math=False)
    return figure


def plain(panel: Axes) -> None:
    """Without a frame."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)


def curve(panel: Axes, series: Series, dash: str = "-") -> None:
    """A line with its band."""
    known = [(x, y) for x, y in zip(series.x, series.y, strict=True) if y is not None]
    panel.plot(
        [x for x, _ in known], [y for _, y in known],
        color=series.colour, linestyle=dash, linewidth=1.6, marker=".", markersize=4, label=series.name,
    )  # fmt: skip
    band = [
        (x, low, high)
        for x, low, high in zip(series.x, series.low, series.high, strict=False)
        if low is not None and high is not None
    ]
    if band:
        panel.fill_between(
            [x for x, _, _ in band], [low for _, low, _ in band], [high for _, _, high in band],
            color=series.colour, alpha=0.18, linewidth=0,
        )  # fmt: skip
    plain(panel)


def heat_maps(shares: Mapping[str, Sequence[Mapping[str, float]]], strategies: Sequence[Strategy]) -> Figure:
    """Title -> shares of the strategies in equal parts of a conversation, as panels of one scale."""
    order = in_groups(strategies)
    highest = max((share for parts in shares.values() for part in parts for share in part.values()), default=1.0)
    figure = figure_of(1.8 + 2.6 * len(shares), 4.0)
    panels: list[Axes] = list(figure.subplots(1, len(shares), sharey=True, squeeze=False)[0])
    for panel, (title, parts) in zip(panels, shares.items(), strict=True):
        grid = [[part.get(strategy.key, 0.0) for part in parts] for strategy in order]
        image = panel.imshow(grid, aspect="auto", cmap="viridis", vmin=0.0, vmax=highest, extent=(0, 1, len(order), 0))
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("conversation progress", fontsize=8)
        panel.set_yticks([place + 0.5 for place in range(len(order))], [s.name.lower() for s in order], fontsize=8)
        panel.tick_params(axis="x", labelsize=8)
    figure.colorbar(image, ax=panels, label="share of decisions", shrink=0.8)
    return figure


def write(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """``name.svg`` and ``name.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    vector, raster = folder / f"{name}.svg", folder / f"{name}.png"
    # A fixed salt and no date: ids and metadata are otherwise new in every file.
    with matplotlib.rc_context({"svg.hashsalt": "rso", "svg.fonttype": "none"}):
        figure.savefig(vector, metadata={"Date": None})
    figure.savefig(raster, dpi=DPI, metadata={"Software": None})
    return vector, raster
