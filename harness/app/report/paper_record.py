"""What one or several comparison directories say about the paper's rows: which of ours stands for which of the paper's.

A row is the paper's by its title, a dataset by its name, else by whose films its goals are drawn from. The rows of one
table and corpus come from one directory, since settings and scenarios may differ between two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.app.grid.comparison.plan import SystemCell
from harness.app.grid.comparison.results import Comparison, Row
from harness.app.report.comparison_page import COMPARISON, is_comparison, read_comparison
from harness.app.report.published import CORPORA, SYSTEMS
from harness.app.settings.config import Config
from harness.core.errors import InputError
from harness.core.log import rundir
from harness.core.messages import Struct


class Played(Struct, frozen=True, kw_only=True):
    """One comparison directory."""

    folder: Path
    comparison: Comparison
    cells: tuple[SystemCell, ...]
    """Of all directories of cells."""
    corpora: Mapping[str, str]
    """Dataset -> the paper's corpus."""

    def config_of(self, row: Row) -> Config | None:
        """The settings of a row's first cell."""
        for cell in self.cells:
            if (cell.system, cell.model, cell.dataset) == (row.system, row.model, row.dataset):
                return cell.resolved()
        return None

    def rows(self, corpus: str) -> list[Row]:
        return [row for row in self.comparison.rows if self.corpora.get(row.dataset) == corpus]

    def cells_of(self, row: Row) -> list[Path]:
        """The directories of a row's cells."""
        here = (row.system, row.model, row.dataset)
        names = [cell.name for cell in self.cells if (cell.system, cell.model, cell.dataset) == here]
        return [self.folder / "cells" / name for name in names]


def read_played(folders: Sequence[Path]) -> list[Played]:
    """`InputError` where one is not the directory of a comparison."""
    return [_read(folder) for folder in folders]


def _read(folder: Path) -> Played:
    if not is_comparison(folder):
        raise InputError(f"{folder} is not the directory of a comparison: it has no {COMPARISON}")
    paths = sorted((folder / "cells").glob("*/cell.json"))
    found = [rundir.read_if_there(path, SystemCell, "a cell") for path in paths]
    cells = tuple(cell for cell in found if cell is not None)
    return Played(
        folder=folder,
        comparison=read_comparison(folder),
        cells=cells,
        corpora={cell.dataset: _corpus(cell.dataset, cell.resolved()) for cell in cells},
    )


def _corpus(dataset: str, config: Config) -> str:
    named = [corpus for corpus in CORPORA if corpus.lower() in dataset.lower()]
    return named[0] if named else config.data.goals.upper()


def fullest(played: Sequence[Played], corpus: str) -> list[Played]:
    """The comparison with most of the paper's rows of a corpus, the first of equals; nothing where none has any."""
    counts = [sum(row_of([one], system, corpus) is not None for system in SYSTEMS) for one in played]
    return [played[counts.index(max(counts))]] if any(counts) else []


def row_of(played: Sequence[Played], system: str, corpus: str) -> Row | None:
    """The row that stands for a system of the paper."""
    for one in played:
        for row in one.rows(corpus):
            if row.title.lower() == system.lower() and row.seeds:
                return row
    return None


def why_not(played: Sequence[Played], system: str, corpus: str) -> str:
    """Why a row of the paper has no numbers here, in a few words."""
    for one in played:
        for title, why in one.comparison.left_out.items():
            if title.lower() == system.lower():
                return f"not played: {why}"
    if not any(one.rows(corpus) for one in played):
        return f"not played: no comparison of {corpus} is given"
    lite = f"{system.lower()}-lite"
    if any(row.title.lower() == lite for one in played for row in one.rows(corpus)):
        return f"played as {lite}, on other models than the paper's: below the tables"
    failed = [
        why
        for one in played
        for row in one.rows(corpus)
        if row.title.lower() == system.lower()
        for why in row.failed_cells.values()
    ]
    return f"its cells failed: {failed[0]}" if failed else "not played, or not finished"
