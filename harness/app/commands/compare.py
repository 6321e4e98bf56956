"""`compare`: every system of a comparison file on the same scenarios, and the paper's Tables IV and V from it.

The story is `_at_work`: for each set of models, bring their servers up once, train the planners that are needed, play
the cells. A cell that fails is reported and the others go on; what is finished is not played again when the command is
given the same directory. The tables are made from the cells' results alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import structlog
import trio
from rich.console import Console
from rich.text import Text

from harness.app.comparison import figures
from harness.app.comparison.cell import SPEC, TRAININGS, read_result, run_cell
from harness.app.comparison.measures import CellResult
from harness.app.comparison.plan import Cell, ComparisonFile, Plan, Training, read_plan
from harness.app.comparison.planners import SPEC as TRAINING
from harness.app.comparison.planners import checkpoint_of, train
from harness.app.comparison.rating_sheet import KEY, SHEET, Agreement, KeyEntry, agreement, draw_sheet, read_sheet
from harness.app.comparison.results import Comparison, summarize
from harness.app.comparison.specs import refuse_other_spec
from harness.app.comparison.tables import groups_csv, latex, main_tables, rows_csv
from harness.app.comparison.workshop import Workshop
from harness.app.console.logs import logging_to
from harness.app.console.progress import Progress
from harness.app.console.show import show_progress
from harness.app.evaluation.in_force import decisions_of, world_of
from harness.app.identity.sittings import mixed
from harness.app.settings.config import Config, Model
from harness.app.settings.configfile import config_from_tree
from harness.app.setup.servers import open_server
from harness.app.setup.wiring import check_models, secrets_of
from harness.core.errors import HarnessError, InputError, Interrupted, RunStopped, leaves
from harness.core.log import rundir
from harness.core.log.loggedepisodes import read_episodes
from harness.core.messages import Struct
from harness.core.scheduler import Stopping

COMPARISON, CELLS, SERVERS = "comparison.json", "cells", "servers"
WIDTH = 160
NOTE = (
    "95% intervals over seeds x scenarios (two-way); bold: better than {reference} at p < .05 after Holm's correction "
    "over the rows, †: worse. Numbers are means over dialogues that did not fail; [no interval]: all values alike, or "
    "too few to say. World: {world}."
)

log = structlog.get_logger()


class ServerKey(Struct, frozen=True, kw_only=True):
    """What tells servers apart; cells with equal keys share one."""

    name: str
    model: Model
    graph: str
    """SHA-256 of the films that a scripted server knows; empty for the others, which are told nothing."""


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
    Raises `RunStopped` after the tables where a cell failed, `Interrupted` where it was asked to stop.
    """
    plan = read_plan(file, overrides, only)
    workshop = Workshop()
    _check(plan, workshop)
    folder = run_dir or Path(plan.file.comparison.directory) / rundir.default_name(plan.file.comparison.name)
    described = msgspec.json.format(msgspec.json.encode(plan.file), indent=2)
    if folder.exists():
        _refuse_other_folders(folder)
        for cell in plan.cells:
            files = workshop.inputs(cell.resolved()).files
            refuse_other_spec(folder / CELLS / cell.name, SPEC, cell, files, accept_changes=accept_changes)
        for training in plan.trainings:
            files = workshop.inputs(config_from_tree(training.config)).files
            where = folder / TRAININGS / training.name
            refuse_other_spec(where, TRAINING, training, files, accept_changes=accept_changes)
    else:
        rundir.create(folder, described)
    progress = Progress(console, quiet=quiet)
    results: dict[str, CellResult] = {}
    failures: dict[str, str] = {}
    began = time.monotonic()
    secrets = {secret for cell in plan.cells for secret in secrets_of(cell.resolved())}
    with rundir.locked(folder), logging_to(folder / rundir.LOGS / "harness.jsonl", secrets):
        rundir.write_atomically(folder / rundir.CONFIG, described)
        progress.say(f"{len(plan.cells)} cells, {len(plan.trainings)} trainings; directory: {folder}")
        try:
            trio.run(_main, plan, folder, limit, workshop, progress, results, failures, accept_changes)
        except BaseException as error:
            _report(plan, folder, results, failures, began, console)
            if any(isinstance(leaf, Interrupted) for leaf in leaves(error)):
                how = f"the same command with --run-dir {folder}"
                raise Interrupted(f"stopped before the end; to go on: {how}") from None
            raise
        comparison = _report(plan, folder, results, failures, began, console)
        if rating_sheet is not None:
            _write_sheet(folder, plan, rating_sheet, console)
    if failures:
        first = next(iter(failures.items()))
        raise RunStopped(
            f"{len(failures)} of {len(plan.cells)} cells failed (the first: {first[0]}: {first[1]}); the same command "
            f"with --run-dir {folder} plays them again"
        )
    return comparison


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


def _check(plan: Plan, workshop: Workshop) -> None:
    """Data, keys, ports and checkpoints, before a directory is made or a model is called."""
    for cell in {cell.dataset: cell for cell in plan.cells}.values():
        workshop.inputs(cell.resolved())
    for cell in plan.cells:
        check_models(cell.resolved())
        if cell.planner and Path(cell.planner).is_absolute():
            checkpoint_of(Path(cell.planner), cell.stage)


def _refuse_other_folders(folder: Path) -> None:
    try:
        msgspec.json.decode((folder / rundir.CONFIG).read_bytes(), type=ComparisonFile)
    except (OSError, msgspec.DecodeError):
        raise InputError(f"{folder} exists and is not the directory of a comparison") from None


async def _main(
    plan: Plan,
    folder: Path,
    limit: int | None,
    workshop: Workshop,
    progress: Progress,
    results: dict[str, CellResult],
    failures: dict[str, str],
    accept_changes: bool,
) -> None:
    stopping = Stopping(max(cell.resolved().scheduler.drain_s for cell in plan.cells))
    async with stopping.watching_signals(), trio.open_nursery() as nursery:
        nursery.start_soon(show_progress, progress)
        await _at_work(plan, folder, limit, workshop, progress, stopping, results, failures, accept_changes)
        nursery.cancel_scope.cancel()
        return
    raise Interrupted


async def _at_work(
    plan: Plan,
    folder: Path,
    limit: int | None,
    workshop: Workshop,
    progress: Progress,
    stopping: Stopping,
    results: dict[str, CellResult],
    failures: dict[str, str],
    accept_changes: bool,
) -> None:
    trainings = {training.name: training for training in plan.trainings}
    spoiled: dict[str, str] = {}
    for number, (keys, cells) in enumerate(_by_servers(plan.cells, workshop)):
        async with AsyncExitStack() as stack:
            base_urls = await _open_servers(stack, keys, cells, folder / SERVERS / str(number), workshop, progress)
            for cell in cells:
                training = trainings.get(cell.planner)
                if training is not None and training.name not in spoiled:
                    reason = await _train(training, folder, workshop, base_urls, progress, stopping, accept_changes)
                    del trainings[training.name]
                    if reason:
                        spoiled[training.name] = reason
                if cell.planner in spoiled:
                    failures[cell.name] = f"its planner was not trained: {spoiled[cell.planner]}"
                    progress.say(f"{cell.name} FAILED: {failures[cell.name]}")
                    continue
                try:
                    begun = time.monotonic()
                    results[cell.name] = await run_cell(
                        cell,
                        folder / CELLS / cell.name,
                        limit=limit,
                        workshop=workshop,
                        base_urls=base_urls,
                        progress=progress,
                        stopping=stopping,
                        accept_changes=accept_changes,
                    )
                    done = f"{len(results) + len(failures)} of {len(plan.cells)}"
                    progress.say(f"{cell.name} done ({done}), {time.monotonic() - begun:.0f} s")
                except Exception as error:
                    failures[cell.name] = _reason(error, cell.name, stopping)
                    progress.say(f"{cell.name} FAILED: {failures[cell.name]}")


async def _train(
    training: Training,
    folder: Path,
    workshop: Workshop,
    base_urls: Mapping[str, str],
    progress: Progress,
    stopping: Stopping,
    accept_changes: bool,
) -> str:
    """Why it failed; empty where it did not."""
    begun = time.monotonic()
    try:
        await train(
            training,
            folder / TRAININGS / training.name,
            workshop=workshop,
            base_urls=base_urls,
            progress=progress,
            stopping=stopping,
            accept_changes=accept_changes,
        )
    except Exception as error:
        return _reason(error, training.name, stopping)
    progress.say(f"planner {training.name} is trained, {time.monotonic() - begun:.0f} s")
    return ""


def _reason(error: Exception, name: str, stopping: Stopping) -> str:
    """One sentence for the tables; an interruption is no failure of a cell and passes through."""
    found = list(leaves(error))
    if stopping.requested or any(isinstance(leaf, Interrupted) for leaf in found):
        raise error
    log.error("cell_failed", cell=name, error=repr(error), exc_info=error)
    expected = [leaf for leaf in found if isinstance(leaf, HarnessError)]
    return str(expected[0]) if expected else f"{type(found[0]).__name__}: {found[0]}"


def _by_servers(cells: Iterable[Cell], workshop: Workshop) -> list[tuple[tuple[ServerKey, ...], list[Cell]]]:
    """Cells that can share their servers, together; groups and cells in the order of the plan."""
    groups: dict[bytes, tuple[tuple[ServerKey, ...], list[Cell]]] = {}
    for cell in cells:
        config = cell.resolved()
        keys = tuple(
            ServerKey(
                name=name,
                model=config.models[name],
                graph=workshop.inputs(config).graph.sha256 if config.models[name].backend == "scripted" else "",
            )
            for name in sorted({getattr(config.roles, role) for role in config.roles.__struct_fields__})
        )
        groups.setdefault(msgspec.json.encode(keys), (keys, []))[1].append(cell)
    return list(groups.values())


async def _open_servers(
    stack: AsyncExitStack,
    keys: Sequence[ServerKey],
    cells: Sequence[Cell],
    folder: Path,
    workshop: Workshop,
    progress: Progress,
) -> dict[str, str]:
    """Model name -> base URL. Names of one model share its server."""
    (folder / rundir.LOGS).mkdir(parents=True, exist_ok=True)
    config: Config = cells[0].resolved()
    graph = workshop.inputs(config).graph
    by_model: dict[bytes, str] = {}
    for key in keys:
        same = msgspec.json.encode((key.model, key.graph))
        if same not in by_model:
            by_model[same] = await stack.enter_async_context(open_server(key.name, key.model, graph, folder, progress))
    return {key.name: by_model[msgspec.json.encode((key.model, key.graph))] for key in keys}


def _report(
    plan: Plan,
    folder: Path,
    results: Mapping[str, CellResult],
    failures: Mapping[str, str],
    began: float,
    console: Console,
) -> Comparison:
    comparison = summarize(
        plan, results, failures, world=world_of(plan.cells[0].resolved()), seconds=time.monotonic() - began
    )
    encoded = msgspec.json.format(msgspec.json.encode(comparison), indent=1)
    rundir.write_atomically(folder / COMPARISON, encoded)
    rundir.write_atomically(folder / "results.csv", rows_csv(comparison).encode())
    rundir.write_atomically(folder / "groups.csv", groups_csv(comparison).encode())
    rundir.write_atomically(folder / "tables.tex", latex(comparison).encode())
    for dataset in plan.file.datasets:
        for name, draw in (("ablations", figures.ablations), ("scale", figures.scale)):
            picture = draw(comparison, dataset)
            if picture is not None:
                rundir.write_atomically(folder / f"{name}_{dataset}.svg", picture)
    if results:
        # Into a pipe or a file the tables go at their full width.
        paper = console if console.is_terminal else Console(file=console.file, width=WIDTH)
        for table in main_tables(comparison, paper.width):
            paper.print(table)
        note = NOTE.format(reference=plan.title(comparison.reference), world=comparison.world)
        incomplete = "" if comparison.complete else "INCOMPLETE: some cells are missing. "
        seeds = "" if len(comparison.seeds) > 1 else "ONE SEED: intervals speak of the scenarios only. "
        console.print(Text(incomplete + seeds + note), soft_wrap=True)
        played = ", ".join(str(seed) for seed in comparison.seeds)
        yardstick = next(cell for cell in plan.cells if cell.system == comparison.reference)
        console.print(
            Text(f"Seeds {played}. Decisions of the reference: {decisions_of(yardstick.resolved())}."), soft_wrap=True
        )
        there = [*(folder / CELLS / c.name for c in plan.cells), *(folder / TRAININGS / t.name for t in plan.trainings)]
        for caution in mixed(there):
            console.print(Text(f"WARNING: {caution}"), soft_wrap=True)
        console.print(Text(f"{comparison.seconds:.0f} s; {folder / COMPARISON}"), soft_wrap=True)
    return comparison


def _write_sheet(folder: Path, plan: Plan, count: int, console: Console) -> None:
    done = [cell for cell in plan.cells if read_result(folder / CELLS / cell.name) is not None]
    episodes = {cell.name: read_episodes(folder / CELLS / cell.name / rundir.EPISODES) for cell in done}
    sheet, key = draw_sheet(episodes, {cell.name: cell.system for cell in done}, count)
    if (folder / SHEET).exists():
        raise InputError(f"{folder / SHEET} exists; a second sheet would lose the key of the first")
    rundir.write_atomically(folder / KEY, msgspec.json.format(msgspec.json.encode(key), indent=1))
    rundir.write_atomically(folder / SHEET, sheet.encode())
    console.print(Text(f"{count} dialogues to rate: {folder / SHEET}; read back with --read-sheet"), soft_wrap=True)
