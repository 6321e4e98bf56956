"""`compare`: every system of a comparison file on the same scenarios, and the paper's Tables IV and V from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from harness.app.grid.comparison.estimate import ASSUMED, NO_RATE, RATE, stages, stages_table
from harness.app.grid.comparison.plan import read_plan
from harness.app.grid.comparison.rating_sheet import KEY, Agreement, KeyEntry, agreement, read_sheet
from harness.app.grid.comparison.results import Comparison
from harness.app.grid.comparison.room import ComparisonRoom
from harness.app.grid.play import describe, play
from harness.app.settings.configfile import missing_data
from harness.app.setup.inputs import read_inputs
from harness.core.errors import InputError

MISSING = (
    "These data are not here; the comparison needs them in these places, or others by --set KEY=PATH. The estimate is "
    "made with films of usual length."
)


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
    """Print what would be played, and what it asks for; no model is called and nothing is written.

    Where files of data are missing it says which, and estimates with made-up films.
    """
    plan = read_plan(file, overrides, only)
    room = ComparisonRoom(plan, limit=limit)
    configs = {cell.dataset: cell.resolved() for cell in reversed(plan.cells)}
    missing = dict.fromkeys(pair for config in configs.values() for pair in missing_data(config))
    room.check_shares()
    if not missing:
        room.check()
    describe(room, console)
    for title, why in plan.left_out.items():
        console.print(Text(f"not played: {title} ({why})"), soft_wrap=True)
    inputs = {name: None if missing else read_inputs(config) for name, config in configs.items()}
    scenarios, rate = min(limit or room.axes.scenarios, room.axes.scenarios), room.axes.tokens_per_s
    console.print(stages_table(stages(plan, scenarios, inputs), rate))
    console.print(Text(f"{ASSUMED} {RATE.format(rate=rate) if rate else NO_RATE}"), soft_wrap=True)
    if missing:
        console.print(Text(MISSING), soft_wrap=True)
        for key, path in missing:
            console.print(Text(f"  {key}: {path}"), soft_wrap=True)


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
