"""`compare`: every system of a comparison file on the same scenarios, and the paper's Tables IV and V from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from harness.app.grid.comparison.plan import read_plan
from harness.app.grid.comparison.rating_sheet import KEY, Agreement, KeyEntry, agreement, read_sheet
from harness.app.grid.comparison.results import Comparison
from harness.app.grid.comparison.room import ComparisonRoom
from harness.app.grid.play import describe, play
from harness.core.errors import InputError


def compare(
    file: Path,
    run_dir: Path | None,
    overrides: list[str],
    console: Console,
    *,
    only: Sequence[str] = (),
    limit: int | None = None,
    rating_sheet: int | None = None,
    accept_changes: bool = False,
    quiet: bool = False,
) -> Comparison:
    """Play what is not finished, print the tables, write `comparison.json`, CSV, LaTeX and figures.

    ``accept_changes``: texts and the scripted world may differ from those that cells were begun with.
    Raises `CellsFailed` after the tables where a cell failed, `Interrupted` where it was asked to stop.
    """
    room = ComparisonRoom(read_plan(file, overrides, only), limit=limit, rating_sheet=rating_sheet)
    room.check()
    return play(room, run_dir, console, accept_changes=accept_changes, quiet=quiet)


def dry_run(file: Path, overrides: list[str], console: Console, *, only: Sequence[str], limit: int | None) -> None:
    """Print what would be played; no model is called and nothing is written."""
    room = ComparisonRoom(read_plan(file, overrides, only), limit=limit)
    room.check()
    describe(room, console)


def agree(sheet: Path, folder: Path, console: Console) -> dict[str, Agreement]:
    """Print how far evaluator and training judge agree with a filled-in rating sheet of a comparison."""
    try:
        key = msgspec.json.decode((folder / KEY).read_bytes(), type=tuple[KeyEntry, ...])
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{folder} holds no readable {KEY}, the key of a rating sheet: {error}") from None
    ratings = read_sheet(sheet)
    unknown = ratings.keys() - {entry.number for entry in key}
    if unknown:
        raise InputError(f"{sheet} rates dialogue {min(unknown)}, which the sheet of {folder} does not have")
    if not ratings:
        raise InputError(f"{sheet} holds no rating yet")
    judged = {
        "evaluator": {entry.number: entry.evaluator for entry in key},
        "training judge": {entry.number: entry.judge for entry in key},
    }
    found = {name: agreement(ratings, values) for name, values in judged.items()}
    for name, agreed in found.items():
        figures_ = [
            f"{label} {value:.2f}" if value is not None else f"{label} not defined"
            for label, value in (
                ("weighted kappa", agreed.weighted_kappa),
                ("kappa", agreed.kappa),
                ("exact agreement", agreed.exact),
            )
        ]
        console.print(Text(f"{name} and people, {agreed.n} dialogues: {', '.join(figures_)}"), soft_wrap=True)
    return found
