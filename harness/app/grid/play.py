"""Playing a grid: its directory, what is left to play, the engine's work, the servers that cells share, the report.

A directory can be given again: finished cells are not played a second time, stopped ones go on, and with every cell
finished the report alone is made anew. A cell that fails is named at the end; the others are played. A server that is
started for real models is started once here and shared, since one accelerator holds it once; a scripted one is started
by whoever plays the cell.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import structlog
import trio
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.console.logs import logging_to
from harness.app.console.progress import Progress, clock
from harness.app.console.show import show_progress
from harness.app.grid.axes import Axes
from harness.app.grid.cell import Cell, refuse_other_cell, refuse_other_pool, take_up
from harness.app.grid.engine import LocalEngine
from harness.app.grid.orders import Answer, Done, Engine, Order
from harness.app.identity.sittings import mixed
from harness.app.settings.config import Config, Model
from harness.app.settings.configfile import config_from_tree
from harness.app.setup.inputs import Inputs, pool_digest, read_inputs
from harness.app.setup.servers import open_server
from harness.app.setup.wiring import secrets_of
from harness.core.errors import CellsFailed, InputError, Interrupted
from harness.core.log import rundir
from harness.core.messages import Struct

SERVERS = "servers"

T_co = TypeVar("T_co", covariant=True)

log = structlog.get_logger()


class Room(Protocol[T_co]):
    """What is special about a kind of grid."""

    @property
    def what(self) -> str:
        """``study`` or ``comparison``: its table in the file, and its name in messages."""
        ...

    @property
    def axes(self) -> Axes: ...

    @property
    def file(self) -> Struct:
        """The whole file as it is played; it is kept in the directory."""
        ...

    @property
    def limit(self) -> int | None:
        """Only the first so many held-out scenarios of each cell; None: all."""
        ...

    @property
    def planned(self) -> Sequence[Cell]:
        """Every training and cell, as far as they are known before anything is searched or played."""
        ...

    def steps(self, folder: Path) -> Sequence[tuple[Cell, Order]]:
        """Every cell and training of the grid with its order, trainings first."""
        ...

    def finished(self, cell: Cell, order: Order) -> bool: ...

    def report(self, folder: Path, failures: dict[str, str], seconds: float, console: Console) -> T_co:
        """Write and print what the finished cells show. ``failures``: cell -> why it did not finish."""
        ...


def play(
    room: Room[T_co], run_dir: Path | None, console: Console, *, accept_changes: bool = False, quiet: bool
) -> T_co:
    """Play what is not finished, then report.

    ``accept_changes``: texts and the scripted world may differ from those that cells were begun with.
    Raises `CellsFailed` after the report where a cell failed, `Interrupted` where it was asked to stop.
    """
    began = time.monotonic()
    folder = run_dir or Path(room.axes.directory) / rundir.default_name(room.axes.name)
    described = msgspec.json.format(msgspec.json.encode(room.file), indent=2)
    if folder.exists():
        _refuse_other_folders(folder, room)
    else:
        rundir.create(folder, described)
    failures: dict[str, str] = {}
    again = f"the same command with --run-dir {folder}"
    with rundir.locked(folder):
        steps = room.steps(folder)
        _refuse_other_cells(steps, accept_changes=accept_changes)
        rundir.write_atomically(folder / rundir.CONFIG, described)
        for cell, order in steps:
            for said in take_up(Path(order.directory), cell, accept_changes=accept_changes):
                console.print(Text(said), soft_wrap=True)
        secrets = {secret for cell, _ in steps for secret in secrets_of(cell.resolved())}
        with logging_to(folder / rundir.LOGS / "harness.jsonl", secrets):
            try:
                _play_what_is_left(room, steps, folder, failures, Progress(console, quiet=quiet))
            except Interrupted:
                room.report(folder, failures, time.monotonic() - began, console)
                raise Interrupted(f"stopped before the end; to go on: {again}") from None
        found = room.report(folder, failures, time.monotonic() - began, console)
        for caution in mixed(Path(order.directory) for _, order in steps):
            console.print(Text(f"WARNING: {caution}"), soft_wrap=True)
    if failures:
        (name, why), cells = next(iter(failures.items())), sum(order.kind != "training" for _, order in steps)
        raise CellsFailed(
            f"{len(failures)} of {cells} cells failed (the first: {name}: {why}); {again} plays them again"
        )
    return found


def describe(room: Room[object], console: Console) -> None:
    """The cells and what they would play; nothing is written and no model is called."""
    axes, wanted = room.axes, min(room.limit or room.axes.scenarios, room.axes.scenarios)
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "seeds", "held-out dialogues", "training dialogues"):
        table.add_column(heading, justify="right" if heading else "left")
    rows: dict[str, list[tuple[int, int]]] = {}
    for cell in room.planned:
        rows.setdefault(cell.row, []).append(cell.dialogues(wanted))
    for name, counts in rows.items():
        table.add_row(name, str(len(counts)), *(f"{sum(column):,}" for column in zip(*counts, strict=True)))
    console.print(table)
    total = sum(sum(pair) for counts in rows.values() for pair in counts)
    seeds = ", ".join(map(str, axes.seeds))
    console.print(
        Text(
            f"{room.what} {axes.name}: seeds {seeds}; {wanted} held-out scenarios, the same for all; {total:,} "
            f"dialogues in all, {axes.processes} cells side by side. Finished ones of a --run-dir are not played again."
        ),
        soft_wrap=True,
    )


def _refuse_other_folders(folder: Path, room: Room[object]) -> None:
    try:
        msgspec.json.decode((folder / rundir.CONFIG).read_bytes(), type=type(room.file))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        raise InputError(f"{folder} exists and is not the directory of a {room.what}") from None


def _refuse_other_cells(steps: Sequence[tuple[Cell, Order]], *, accept_changes: bool) -> None:
    known: dict[bytes, Inputs] = {}
    for cell, order in steps:
        if (directory := Path(order.directory)).exists():
            config = cell.resolved()
            source = msgspec.json.encode((config.data, config.evaluation.dialogues))
            if source not in known:
                known[source] = read_inputs(config)
            refuse_other_cell(directory, cell, known[source].files, accept_changes=accept_changes)
            if order.kind != "training":
                refuse_other_pool(directory, pool_digest(known[source].held_out))


def _play_what_is_left(
    room: Room[object],
    steps: Sequence[tuple[Cell, Order]],
    folder: Path,
    failures: dict[str, str],
    progress: Progress,
) -> None:
    wanted = [order for cell, order in steps if not room.finished(cell, order)]
    needed = {order.after for order in wanted}
    waiting = [order for order in wanted if order.kind != "training" or order.name in needed]
    if not waiting:
        return
    trainings = sum(order.kind == "training" for order in waiting)
    first = f", {trainings} trainings first" if trainings else ""
    progress.say(f"{len(waiting) - trainings} cells to play{first}; directory: {folder}")
    progress.begin("playing", len(waiting), unit="cells")

    def done(order: Order, answer: Answer) -> None:
        if answer.interrupted:
            return
        if answer.error:
            if order.kind != "training":  # its cells are named in its place
                failures[order.name] = answer.error
            log.error("cell_failed", cell=order.name, error=answer.error)
        progress.ended(None, failed=bool(answer.error))
        what = f"FAILED: {answer.error}" if answer.error else f"done, {answer.seconds:.0f} s"
        left = "" if progress.eta_s is None else f"; about {clock(progress.eta_s)} left"
        progress.say(f"{order.name} {what} ({progress.done} of {len(waiting)}{left})")

    trio.run(_at_work, LocalEngine(room.axes.processes), waiting, folder, done, progress)


async def _at_work(engine: Engine, orders: Sequence[Order], folder: Path, done: Done, progress: Progress) -> None:
    starting = trio.CancelScope()
    stopped = False

    async def watch(task_status: trio.TaskStatus[None]) -> None:
        nonlocal stopped
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                stopped = True
                engine.stop(number)
                if not at_work:
                    starting.cancel()

    at_work = False
    async with trio.open_nursery() as nursery:
        await nursery.start(watch)
        nursery.start_soon(show_progress, progress)
        with starting:
            for number, (models, group) in enumerate(_by_servers(orders)):
                async with AsyncExitStack() as stack:
                    urls = await _open_servers(stack, models, group, folder / SERVERS / str(number), progress)
                    at_work = True
                    await engine.work([msgspec.structs.replace(order, base_urls=urls) for order in group], done)
                    at_work = False
                if stopped:
                    break
        nursery.cancel_scope.cancel()
    if stopped:
        raise Interrupted("interrupted")


def _by_servers(orders: Sequence[Order]) -> list[tuple[dict[str, Model], list[Order]]]:
    """Orders that share the servers which are started here, together; in their order."""
    groups: dict[bytes, tuple[dict[str, Model], list[Order]]] = {}
    for order in orders:
        models = shared_models(config_from_tree(order.cell["config"]))
        groups.setdefault(msgspec.json.encode(models, order="sorted"), (models, []))[1].append(order)
    return list(groups.values())


def shared_models(config: Config) -> dict[str, Model]:
    """The models of a cell whose servers are started once, for all cells that use just these."""
    used = {name: config.models[name] for name in config.models_in_use}
    return {name: model for name, model in used.items() if not model.base_url and model.backend != "scripted"}


async def _open_servers(
    stack: AsyncExitStack, models: dict[str, Model], group: Sequence[Order], folder: Path, progress: Progress
) -> dict[str, str]:
    """Model name -> base URL. Names of one model share its server."""
    by_model: dict[bytes, str] = {}
    if models:
        (folder / rundir.LOGS).mkdir(parents=True, exist_ok=True)
        inputs = await trio.to_thread.run_sync(read_inputs, config_from_tree(group[0].cell["config"]))
        for name, model in models.items():
            same = msgspec.json.encode(model)
            if same not in by_model:
                server = open_server(name, model, inputs.graph, folder, progress)
                by_model[same] = await stack.enter_async_context(server)
    return {name: by_model[msgspec.json.encode(model)] for name, model in models.items()}
