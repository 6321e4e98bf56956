"""`plot`: the figures of a run or a comparison for papers, as SVG and PNG."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.app.drawing.figures import write
from harness.app.grid.comparison.figures import comparison_figures
from harness.app.report.comparison_page import is_comparison, read_comparison
from harness.app.report.plots import run_figures
from harness.app.report.record import read_record
from harness.app.report.run_page import world_of
from harness.core.errors import InputError

PLOTS = "plots"


def plot(folder: Path, out: Path | None, console: Console) -> list[Path]:
    """Write all figures that there is anything to draw for; returns their paths."""
    if is_comparison(folder):
        figures = comparison_figures(read_comparison(folder))
    else:
        record = read_record(folder)
        figures = run_figures(record, world_of(record))
    written = [path for name, figure in figures for path in write(figure, out or folder / PLOTS, name)]
    if not written:
        raise InputError(f"{folder} has nothing to plot yet: no finished episode with a strategy, no finished cell")
    for path in written:
        console.print(Text(str(path)), soft_wrap=True)
    return written
