"""What is special about a study: schedules that are searched for first, and claims, curves and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from harness.app.evaluation.decisions import decisions_of, world_of
from harness.app.grid.cell import Cell, finished
from harness.app.grid.orders import Order, order_for
from harness.app.grid.study.cell import ArmResult
from harness.app.grid.study.figures import draw
from harness.app.grid.study.findings import Findings, find
from harness.app.grid.study.kept import RESULTS, Kept, KeptCell, kept_cell, read_kept, settings_of, texts_of, write_kept
from harness.app.grid.study.plan import Plan, with_schedule
from harness.app.grid.study.search import search
from harness.app.grid.study.tables import markdown, note, show
from harness.app.identity.manifest import read_manifest
from harness.app.setup.inputs import Inputs, read_inputs
from harness.app.setup.wiring import check_models, planner_of
from harness.core.log import rundir

CELLS, STUDY, SCHEDULES, TABLES = "cells", "study.json", "schedules.json", "study.md"


class StudyRoom:
    """A `harness.app.grid.play.Room`."""

    what = "study"

    def __init__(
        self,
        plan: Plan,
        console: Console,
        *,
        limit: int | None = None,
        kept: Path | None = None,
        accept_changes: bool = False,
    ) -> None:
        """``kept``: a file of finished cells that are not played again (`harness.app.grid.study.kept`);
        ``accept_changes``: nor those that were played with other texts or another world."""
        self.plan, self.axes, self.file = plan, plan.file.study, plan.file
        self.limit = limit
        self._console = console
        self._kept = read_kept(kept) if kept is not None else Kept()
        self._accept_changes = accept_changes
        self._inputs: dict[bytes, Inputs] = {}

    @property
    def planned(self) -> Sequence[Cell]:
        return self.plan.cells

    def check(self) -> None:
        """Data, keys, ports and planners of every arm, before a directory is made or a model is called."""
        for config in {cell.arm: cell.resolved() for cell in self.plan.cells}.values():
            check_models(config)
            planner_of(config, read_inputs(config).strategies)

    def steps(self, folder: Path) -> Sequence[tuple[Cell, Order]]:
        schedules = self._schedules(folder / SCHEDULES)
        cells = [with_schedule(cell, schedules) for cell in self.plan.cells]
        return [(cell, order_for("study", cell, folder / CELLS / cell.name, limit=self.limit)) for cell in cells]

    def finished(self, cell: Cell, order: Order) -> bool:
        return self._result(cell, Path(order.directory)) is not None

    def report(self, folder: Path, failures: Mapping[str, str], seconds: float, console: Console) -> Findings:
        """Write `study.json`, `study.md` and figures; print the table and the claims."""
        schedules = self._schedules(folder / SCHEDULES)
        cells = [with_schedule(cell, schedules) for cell in self.plan.cells if cell.name not in failures]
        read = [(cell, self._result(cell, folder / CELLS / cell.name)) for cell in cells]
        results = [result for _, result in read if result is not None]
        tested = self.plan.config(self.axes.tested)
        findings = find(self.plan, results, world=world_of(tested), decisions=decisions_of(tested))
        rundir.write_atomically(folder / STUDY, msgspec.json.format(msgspec.json.encode(findings), indent=1))
        here = {
            cell.name: known
            if (known := self._known(cell, folder / CELLS / cell.name)) is not None
            else kept_cell(cell, self._files(cell), self._texts(cell, folder / CELLS / cell.name), result)
            for cell, result in read
            if result is not None
        }
        write_kept(folder / RESULTS, (self._kept.cells | here).items(), self._kept.schedules | schedules)
        if other := sum(here[cell.name].texts != texts_of(cell.identity()) for cell, _ in read if cell.name in here):
            console.print(
                Text(f"WARNING: {other} cells of {len(here)} were played with other texts or another world"),
                soft_wrap=True,
            )
        if results:
            rundir.write_atomically(folder / TABLES, markdown(self.plan, findings).encode())
            draw(self.plan, results, read_inputs(tested).strategies, findings.world, folder)
            show(self.plan, findings, console)
            console.print(Text(note(self.plan, findings)), soft_wrap=True)
            console.print(Text(f"{folder / STUDY}, {TABLES} and figures beside it"), soft_wrap=True)
        return findings

    def _result(self, cell: Cell, directory: Path) -> ArmResult | None:
        if (known := self._known(cell, directory)) is not None:
            return known.result
        return finished(directory, ArmResult, self.axes.scenarios, self.limit)

    def _known(self, cell: Cell, directory: Path) -> KeptCell | None:
        """The cell of the small file, where there is no run of it and it is what would be played now."""
        known = self._kept.cells.get(cell.name)
        if known is None or directory.exists() or known.settings != settings_of(cell, self._files(cell)):
            return None
        if len(known.result.scenarios) != min(self.limit or self.axes.scenarios, self.axes.scenarios):
            return None
        return known if self._accept_changes or known.texts == texts_of(cell.identity()) else None

    def _texts(self, cell: Cell, directory: Path) -> str:
        return texts_of(read_manifest(directory).identity or cell.identity())

    def _files(self, cell: Cell) -> Mapping[str, str]:
        config = cell.resolved()
        source = msgspec.json.encode((config.data, config.evaluation, config.rl, config.conversation))
        if source not in self._inputs:
            self._inputs[source] = read_inputs(config)
        return self._inputs[source].files

    def _schedules(self, path: Path) -> dict[str, tuple[str, ...]]:
        """Searched for once and kept in the directory."""
        wanted = {cell.search for cell in self.plan.cells if cell.search}
        read = rundir.read_if_there(path, dict[str, tuple[str, ...]], "a study's schedules")
        known = self._kept.schedules | (read or {})
        if wanted - known.keys():
            config = self.plan.config(self.axes.tested)

            def say(text: str) -> None:
                self._console.print(Text(text), soft_wrap=True)

            known |= search(read_inputs(config), wanted - known.keys(), config.conversation.max_turns, say)
            rundir.write_atomically(path, msgspec.json.encode(known))
        return known
