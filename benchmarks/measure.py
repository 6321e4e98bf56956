"""What every benchmark hands back, and how it is shown: one JSON line, one table for a terminal, one for RESULTS.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from harness.core.messages import Struct

Cell = str | float | int | None


class Goal(Struct, frozen=True, kw_only=True):
    """A figure and what it should be."""

    what: str
    figure: float
    bound: float
    kind: Literal["at least", "at most"]

    @property
    def met(self) -> bool:
        return self.figure >= self.bound if self.kind == "at least" else self.figure <= self.bound


class Result(Struct, frozen=True, kw_only=True):
    """One benchmark's figures."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    goals: tuple[Goal, ...]
    limit: str
    """One sentence: what these figures do not say."""
    notes: tuple[str, ...] = ()
    """Further findings, one sentence each."""
    seconds: float = 0.0


class Bench(Struct, frozen=True, kw_only=True):
    """How much is measured: ``full``, or so little that it only shows that the code runs."""

    tiny: bool = False

    def rounds(self, full: int = 5) -> int:
        return 1 if self.tiny else full


def median(values: Sequence[float]) -> float:
    """Of at least one value."""
    return statistics.median(values)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """``0.95 (0.93 to 0.97, n 5)``."""
    shown = f"{median(values):.{digits}f}"
    if len(values) < 2:
        return shown
    return f"{shown} ({min(values):.{digits}f} to {max(values):.{digits}f}, n {len(values)})"


def json_line(result: Result) -> str:
    """The whole result, with ``met`` beside each goal."""
    tree = msgspec.to_builtins(result)
    for goal, shown in zip(result.goals, tree["goals"], strict=True):
        shown["met"] = goal.met
    return json.dumps({"benchmark": tree.pop("name"), **tree})


def cell(value: Cell) -> str:
    """As tables show it."""
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def goal_line(goal: Goal) -> str:
    """``efficiency at ...: 0.97, goal at least 0.95: met``."""
    verdict = "met" if goal.met else "MISSED"
    return f"{goal.what}: {goal.figure:.3g}, goal {goal.kind} {goal.bound:g}: {verdict}"


def text_table(result: Result) -> str:
    """For a terminal."""
    rows = [result.columns, *(tuple(cell(value) for value in row) for row in result.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(result.columns))]
    lines = [result.title]
    lines += ["  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    lines += [goal_line(goal) for goal in result.goals]
    lines += [*result.notes, f"Limit: {result.limit}"]
    return "\n".join(line.rstrip() for line in lines)


def markdown(result: Result) -> str:
    """One section of RESULTS.md."""
    head = [f"## {result.title}", "", f"`python -m harness bench {result.name}`, {result.seconds:.0f} s.", ""]
    table = ["| " + " | ".join(result.columns) + " |", "|" + " --- |" * len(result.columns)]
    table += ["| " + " | ".join(cell(value) for value in row) + " |" for row in result.rows]
    goals = [f"- {goal_line(goal)}" for goal in result.goals]
    notes = [f"- {note}" for note in result.notes]
    return "\n".join([*head, *table, "", *goals, *notes, f"- Limit: {result.limit}", ""])


def main(run: Callable[[Bench], Result]) -> None:
    """A benchmark as a program: its JSON line and its table."""
    result = run(Bench())
    print(json_line(result))
    print(text_table(result))
