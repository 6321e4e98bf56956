"""What is special about a comparison: trainings that systems share; its tables, figures and rating sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from harness.app.drawing.figures import write
from harness.app.evaluation import floors
from harness.app.evaluation.decisions import decisions_of, world_of
from harness.app.evaluation.protocol import BIASES
from harness.app.grid.cell import Cell, finished
from harness.app.grid.comparison.cell import TRAININGS
from harness.app.grid.comparison.figures import comparison_figures
from harness.app.grid.comparison.measures import SystemResult
from harness.app.grid.comparison.plan import RSO, Plan, Training
from harness.app.grid.comparison.planners import checkpoint_of, trained
from harness.app.grid.comparison.rating_sheet import KEY, SHEET, draw_sheet
from harness.app.grid.comparison.results import Comparison, summarize
from harness.app.grid.comparison.tables import by_ievalm, groups_csv, latex, main_tables, orderings, rows_csv
from harness.app.grid.orders import Order, order_for
from harness.app.setup.gpu import refuse_overfull
from harness.app.setup.inputs import read_inputs
from harness.app.setup.wiring import check_models
from harness.core.errors import InputError
from harness.core.log import rundir
from harness.core.log.loggedepisodes import read_episodes

COMPARISON, CELLS = "comparison.json", "cells"
WIDTH = 160
NOTE = (
    "95% intervals over seeds x scenarios (two-way); bold: better than {reference} at p < .05 after Holm's correction "
    "over the rows, †: worse. Numbers are means over dialogues that did not fail; [too few]: an interval "
    "would leave the measure's scale; [all alike]: nothing varies. {floors} World: {world}."
)
TIES = "= : the 95% intervals overlap, so the order of these systems says nothing. "
IMPROVED_OVER = (
    "Improve.: mean relative change of Rec-SR, R@1 and R@5 over {base}, with its range over that system's own "
    "intervals; ~: unstable, one of the rates that it divides by is uncertain by a factor of two or more. "
)


class ComparisonRoom:
    """A `harness.app.grid.play.Room`."""

    what = "comparison"

    def __init__(self, plan: Plan, *, limit: int | None = None, rating_sheet: int | None = None) -> None:
        self.plan, self.axes, self.file = plan, plan.file.comparison, plan.file
        self.limit = limit
        self._rating_sheet = rating_sheet

    @property
    def planned(self) -> Sequence[Cell]:
        return (*self.plan.trainings, *self.plan.cells)

    def check(self) -> None:
        """Data, shares of the GPU, keys, ports and checkpoints, before a directory is made or a model is called."""
        self.check_shares()
        for cell in {cell.dataset: cell for cell in self.plan.cells}.values():
            read_inputs(cell.resolved())
        for cell in self.plan.cells:
            check_models(cell.resolved())
            if cell.planner and Path(cell.planner).is_absolute() and cell.kind == RSO:
                checkpoint_of(Path(cell.planner), cell.stage)

    def check_shares(self) -> None:
        """`InputError` where the servers of one cell do not fit one GPU beside the planners of all processes."""
        for cell in self.plan.cells:
            refuse_overfull(cell.resolved(), planners=self.axes.processes)

    def steps(self, folder: Path) -> Sequence[tuple[Cell, Order]]:
        names = {training.name for training in self.plan.trainings}
        steps: list[tuple[Cell, Order]] = [
            (training, order_for("training", training, folder / TRAININGS / training.name, limit=None))
            for training in self.plan.trainings
        ]
        for cell in self.plan.cells:
            after = cell.planner if cell.planner in names else ""
            place = folder / CELLS / cell.name
            steps.append((cell, order_for("comparison", cell, place, limit=self.limit, after=after)))
        return steps

    def finished(self, cell: Cell, order: Order) -> bool:
        if isinstance(cell, Training):
            return trained(cell, Path(order.directory))
        return self._result(Path(order.directory)) is not None

    def report(self, folder: Path, failures: Mapping[str, str], seconds: float, console: Console) -> Comparison:
        """Write `comparison.json`, CSV, LaTeX and figures; print the tables."""
        plan, over = self.plan, self.axes.improve_over
        over = "" if over and plan.file.systems[over].left_out else over
        read = {cell.name: self._result(folder / CELLS / cell.name) for cell in plan.cells if cell.name not in failures}
        results = {name: result for name, result in read.items() if result is not None}
        comparison = summarize(plan, results, failures, world=world_of(plan.cells[0].resolved()), seconds=seconds)
        encoded = msgspec.json.format(msgspec.json.encode(comparison), indent=1)
        rundir.write_atomically(folder / COMPARISON, encoded)
        rundir.write_atomically(folder / "results.csv", rows_csv(comparison).encode())
        rundir.write_atomically(folder / "groups.csv", groups_csv(comparison).encode())
        rundir.write_atomically(folder / "tables.tex", latex(comparison).encode())
        for name, figure in comparison_figures(comparison):
            write(figure, folder, name)
        if results:
            # Into a pipe or a file the tables go at their full width.
            paper = console if console.is_terminal else Console(file=console.file, width=WIDTH)
            for table in main_tables(comparison, paper.width):
                paper.print(table)
            for dataset in plan.file.datasets:
                for line in orderings([row for row in comparison.rows if row.dataset == dataset]):
                    console.print(Text(f"{dataset}, {line}"), soft_wrap=True)
            console.print(Text(TIES + (IMPROVED_OVER.format(base=plan.title(over)) if over else "")), soft_wrap=True)
            note = NOTE.format(reference=plan.title(comparison.reference), floors=floors.NOTE, world=comparison.world)
            note += f" {BIASES}" if by_ievalm(comparison.rows) else ""
            incomplete = "" if comparison.complete else "INCOMPLETE: some cells are missing. "
            seeds = "" if len(comparison.seeds) > 1 else "ONE SEED: intervals speak of the scenarios only. "
            console.print(Text(incomplete + seeds + note), soft_wrap=True)
            for line in comparison.notes:
                console.print(Text(line), soft_wrap=True)
            played = ", ".join(str(seed) for seed in comparison.seeds)
            yardstick = next(cell for cell in plan.cells if cell.system == comparison.reference)
            console.print(
                Text(f"Seeds {played}. Decisions of the reference: {decisions_of(yardstick.resolved())}."),
                soft_wrap=True,
            )
            console.print(Text(f"{comparison.seconds:.0f} s; {folder / COMPARISON}"), soft_wrap=True)
        if self._rating_sheet is not None:
            self._write_sheet(folder, results, self._rating_sheet, console)
        return comparison

    def _result(self, directory: Path) -> SystemResult | None:
        return finished(directory, SystemResult, self.axes.scenarios, self.limit)

    def _write_sheet(self, folder: Path, results: Mapping[str, SystemResult], count: int, console: Console) -> None:
        episodes = {name: read_episodes(folder / CELLS / name / rundir.EPISODES) for name in results}
        sheet, key = draw_sheet(episodes, {name: result.system for name, result in results.items()}, count)
        if (folder / SHEET).exists():
            raise InputError(f"{folder / SHEET} exists; a second sheet would lose the key of the first")
        rundir.write_atomically(folder / KEY, msgspec.json.format(msgspec.json.encode(key), indent=1))
        rundir.write_atomically(folder / SHEET, sheet.encode())
        console.print(Text(f"{count} dialogues to rate: {folder / SHEET}; read back with --read-sheet"), soft_wrap=True)
