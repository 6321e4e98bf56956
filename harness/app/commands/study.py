"""`study`: arms x seeds of one experiment on the same held-out scenarios, in worker processes; tables, figures, claims.

The directory can be given again: finished cells are not played a second time, stopped ones go on, and with every cell
finished the tables and figures are made anew without playing anything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio
from rich.console import Console
from rich.text import Text

from harness.app.console.progress import clock
from harness.app.evaluation.in_force import decisions_of, world_of
from harness.app.identity.manifest import config_of, read_manifest, refuse_changes, refuse_other_files
from harness.app.identity.sittings import identity_of, mixed, refuse_other_texts, sit_down
from harness.app.settings.config import Config
from harness.app.setup.inputs import digests, read_inputs
from harness.app.setup.wiring import check_models, planner_of
from harness.app.study.cell import CellResult, read_result
from harness.app.study.crew import work
from harness.app.study.figures import draw
from harness.app.study.findings import Findings, find
from harness.app.study.plan import Plan, StudyFile, read_plan, with_schedule
from harness.app.study.search import search
from harness.app.study.tables import markdown, note, show
from harness.app.study.worker import Answer, Order
from harness.core.errors import InputError, Interrupted, RunStopped
from harness.core.log import rundir

CELLS, STUDY, SCHEDULES, TABLES = "cells", "study.json", "schedules.json", "study.md"


def study(
    file: Path,
    run_dir: Path | None,
    overrides: list[str],
    console: Console,
    *,
    only: Sequence[str] = (),
    accept_changes: bool = False,
    quiet: bool = False,
) -> Findings:
    """Play what is not finished, print the table and the claims, write `study.json`, `study.md` and figures.

    ``accept_changes``: texts and the scripted world may differ from those that cells were begun with.
    Raises `RunStopped` after the tables where a cell failed, `Interrupted` where it was asked to stop.
    """
    plan = read_plan(file, overrides, only)
    for config in {cell.arm: plan.config(cell.arm) for cell in plan.cells}.values():
        check_models(config)
        planner_of(config, read_inputs(config).strategies)
    folder = run_dir or Path(plan.file.study.directory) / rundir.default_name(plan.file.study.name)
    described = msgspec.json.format(msgspec.json.encode(plan.file), indent=2)
    if folder.exists():
        _refuse_other_folders(folder)
    else:
        rundir.create(folder, described)
    with rundir.locked(folder):
        rundir.write_atomically(folder / rundir.CONFIG, described)
        configs = _configs(plan, folder, console)
        _take_up(configs, folder, console, accept_changes=accept_changes)
        failures: dict[str, str] = {}
        stopped: Interrupted | None = None
        try:
            trio.run(_play, plan, configs, folder, failures, console, quiet)
        except* Interrupted:
            stopped = Interrupted(f"stopped before the end; to go on: the same command with --run-dir {folder}")
        findings = _report(plan, folder, console)
    if stopped is not None:
        raise stopped
    if failures:
        first = next(iter(failures.items()))
        raise RunStopped(
            f"{len(failures)} of {len(plan.cells)} cells failed (the first: {first[0]}: {first[1]}); the same command "
            f"with --run-dir {folder} plays them again"
        )
    return findings


async def _play(
    plan: Plan, configs: dict[str, Config], folder: Path, failures: dict[str, str], console: Console, quiet: bool
) -> None:
    orders = [
        Order(
            arm=cell.arm,
            seed=cell.seed,
            config=msgspec.to_builtins(configs[cell.name]),
            directory=str((folder / CELLS / cell.name).resolve()),
        )
        for cell in plan.cells
        if read_result(folder / CELLS / cell.name) is None
    ]
    if not orders:
        return
    began, ended = time.monotonic(), 0
    (folder / CELLS).mkdir(exist_ok=True)
    console.print(Text(f"{len(orders)} of {len(plan.cells)} cells to play; directory: {folder}"), soft_wrap=True)

    def done(order: Order, answer: Answer) -> None:
        nonlocal ended
        name = Path(order.directory).name
        if answer.interrupted:
            return
        ended += 1
        if answer.error:
            failures[name] = answer.error
        if not quiet or answer.error:
            spent = time.monotonic() - began
            what = f"FAILED: {answer.error}" if answer.error else f"done, {answer.seconds:.0f} s"
            left = clock(spent / ended * (len(orders) - ended))
            console.print(Text(f"{name} {what} ({ended} of {len(orders)}; about {left} left)"), soft_wrap=True)

    await work(orders, plan.file.study.processes, done)


def _configs(plan: Plan, folder: Path, console: Console) -> dict[str, Config]:
    """Cell -> config; schedules are searched for once and kept in the directory."""
    path, wanted = folder / SCHEDULES, {cell.search for cell in plan.cells if cell.search}
    known = msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[str, ...]]) if path.exists() else {}
    if wanted - known.keys():
        config = plan.config(plan.file.study.tested)

        def say(text: str) -> None:
            console.print(Text(text), soft_wrap=True)

        known |= search(read_inputs(config), wanted - known.keys(), config.conversation.max_turns, say)
        rundir.write_atomically(path, msgspec.json.encode(known))
    return {cell.name: with_schedule(cell, known) for cell in plan.cells}


def _refuse_other_folders(folder: Path) -> None:
    try:
        msgspec.json.decode((folder / rundir.CONFIG).read_bytes(), type=StudyFile)
    except (OSError, msgspec.DecodeError):
        raise InputError(f"{folder} exists and is not the directory of a study") from None


def _take_up(configs: dict[str, Config], folder: Path, console: Console, *, accept_changes: bool) -> None:
    """Refuse what was begun with other settings, files or texts, before any cell is touched; record what may differ."""
    there = {name: folder / CELLS / name for name in configs if (folder / CELLS / name).exists()}
    firsts = {}
    for name, directory in there.items():
        try:
            manifest = read_manifest(directory)
            refuse_changes(config_of(manifest, directory), configs[name])
            refuse_other_files(manifest, digests(configs[name]))
        except InputError as error:
            raise InputError(f"{directory}: {error}") from None
        refuse_other_texts(directory, manifest.identity, identity_of(configs[name]), accept_changes=accept_changes)
        firsts[name] = manifest.identity
    for name, directory in there.items():
        for said in sit_down(directory, firsts[name], identity_of(configs[name]), accept_changes=accept_changes):
            console.print(Text(f"{name}: {said}"), soft_wrap=True)


def _report(plan: Plan, folder: Path, console: Console) -> Findings:
    read = [read_result(folder / CELLS / cell.name) for cell in plan.cells]
    results: list[CellResult] = [result for result in read if result is not None]
    tested = plan.config(plan.file.study.tested)
    findings = find(plan, results, world=world_of(tested), decisions=decisions_of(tested))
    rundir.write_atomically(folder / STUDY, msgspec.json.format(msgspec.json.encode(findings), indent=1))
    if results:
        rundir.write_atomically(folder / TABLES, markdown(plan, findings).encode())
        draw(plan, results, read_inputs(tested).strategies, findings.world, folder)
        show(plan, findings, console)
        console.print(Text(note(plan, findings)), soft_wrap=True)
        for caution in mixed(folder / CELLS / cell.name for cell in plan.cells):
            console.print(Text(f"WARNING: {caution}"), soft_wrap=True)
        console.print(Text(f"{folder / STUDY}, {TABLES} and figures beside it"), soft_wrap=True)
    return findings
