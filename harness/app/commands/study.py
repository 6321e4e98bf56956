"""`study`: arms x seeds of one experiment on the same held-out scenarios; tables, figures, claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from harness.app.grid.play import describe, play
from harness.app.grid.study.findings import Findings
from harness.app.grid.study.plan import read_plan
from harness.app.grid.study.room import StudyRoom


def study(
    file: Path,
    run_dir: Path | None,
    overrides: list[str],
    console: Console,
    *,
    only: Sequence[str] = (),
    limit: int | None = None,
    accept_changes: bool = False,
    kept: Path | None = None,
    quiet: bool = False,
) -> Findings:
    """Play what is not finished, print the table and the claims, write `study.json`, `study.md` and figures.

    ``accept_changes``: texts and the scripted world may differ from those that cells were begun with.
    ``kept``: a `results.json.gz` of an earlier sitting, whose cells are finished.
    Raises `CellsFailed` after the tables where a cell failed, `Interrupted` where it was asked to stop.
    """
    room = StudyRoom(read_plan(file, overrides, only), console, limit=limit, kept=kept, accept_changes=accept_changes)
    room.check()
    return play(room, run_dir, console, accept_changes=accept_changes, quiet=quiet)


def dry_run(file: Path, overrides: list[str], console: Console, *, only: Sequence[str], limit: int | None) -> None:
    """Print what would be played; no model is called and nothing is written."""
    room = StudyRoom(read_plan(file, overrides, only), console, limit=limit)
    room.check()
    describe(room, console)
