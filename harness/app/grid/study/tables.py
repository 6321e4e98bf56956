"""A study's findings to read: for the terminal (rich) and as Markdown. Every table names its world, n and decisions."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.evaluation.measures import title_of
from harness.app.evaluation.statistics import estimate_text
from harness.app.evaluation.two_way import Difference
from harness.app.grid.study.findings import ArmRow, Claim, Findings
from harness.app.grid.study.plan import Plan

HEADINGS = (
    "arm", "seeds", "episodes", title_of("conv_sr"), "- base", title_of("absorbing"), "- base",
    *map(title_of, ("mean_return", "turns", "strategy_entropy")),
)  # fmt: skip
WIDE, NARROW = 160, (0, 3, 4, 5, 6)
"""Columns of a terminal that holds every heading, and the headings that a narrower one shows."""


def show(plan: Plan, findings: Findings, console: Console) -> None:
    """The arms, then the claims; into a pipe or a file at full width, in a narrow terminal without some columns."""
    paper = console if console.is_terminal else Console(file=console.file, width=WIDE)
    columns = range(len(HEADINGS)) if paper.width >= WIDE else NARROW
    shown = Table(title=f"World: {findings.world}", title_justify="left", box=box.SIMPLE_HEAD)
    for place in columns:
        shown.add_column(HEADINGS[place], justify="right" if place else "left", no_wrap=place > 0)
    for row in findings.rows:
        cells = _cells(row, "\n")
        shown.add_row(*(Text(cells[place]) for place in columns))
    paper.print(shown)
    claims = Table(title="Claims, written down before the cells were played", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("", "claim", "difference"):
        claims.add_column(heading)
    for claim in findings.claims:
        claims.add_row(*map(Text, (claim.verdict, claim.text, _said(claim))))
    paper.print(claims)
    for line in _lines(findings):
        console.print(Text(line), soft_wrap=True)


def markdown(plan: Plan, findings: Findings) -> str:
    """Both tables and the note."""
    head = "| " + " | ".join(HEADINGS) + " |\n|" + "---|" * len(HEADINGS)
    rows = "\n".join("| " + " | ".join(_cells(row, " ")) + " |" for row in findings.rows)
    claims = "\n".join(f"| {claim.verdict} | {claim.text} | {_said(claim)} |" for claim in findings.claims)
    lines = "\n\n".join(_lines(findings))
    return f"{head}\n{rows}\n\n| | claim | difference |\n|---|---|---|\n{claims}\n\n{lines}\n\n{note(plan, findings)}\n"


def note(plan: Plan, findings: Findings) -> str:
    """What a reader must know of the numbers."""
    missing = (
        f"INCOMPLETE: {len(findings.missing)} of {len(plan.cells)} cells are missing. " if findings.missing else ""
    )
    errors = sum(row.errors for row in findings.rows)
    base = plan.title(plan.file.study.base)
    return (
        f"{missing}{findings.cells} cells of {findings.scenarios} held-out scenarios each, the same for all; {errors} "
        f"dialogues failed. 95% intervals over seeds x scenarios (two-way cluster variance, Satterthwaite's t), "
        f'differences paired by both; "- base": minus {base}. Conv-SR: the held-out evaluator\'s reading. The absorbed '
        f"return is shown for every arm, whatever it optimised. World: {findings.world}. "
        f"Decisions of {plan.title(plan.file.study.tested)}: {findings.decisions}."
    )


def _lines(findings: Findings) -> list[str]:
    lines = [f"Gap: {findings.gap}"] if findings.gap else []
    if findings.budgets:
        short = [episodes for episodes, verdict in findings.budgets.items() if verdict != "holds"]
        enough = [episodes for episodes in findings.budgets if episodes > max(short, default=0)]
        tried = ", ".join(f"{episodes} ({verdict})" for episodes, verdict in findings.budgets.items())
        smallest = f"{min(enough)}" if enough else "none of them"
        what = "Training episodes from which on Conv-SR and absorbed return are clearly above base"
        lines.append(f"{what}: {smallest}; tried: {tried}")
    return lines


def _cells(row: ArmRow, line: str) -> list[str]:
    values = row.metrics
    return [
        row.title,
        str(len(row.seeds)),
        str(row.training_episodes or ""),
        estimate_text(values.get("conv_sr"), between=line),
        _difference(row.to_base.get("conv_sr"), line),
        estimate_text(values.get("absorbing"), between=line),
        _difference(row.to_base.get("absorbing"), line),
        estimate_text(values.get("mean_return"), between=line),
        estimate_text(values.get("turns"), between=line),
        estimate_text(values.get("strategy_entropy"), between=line),
    ]


def _difference(value: Difference | None, line: str) -> str:
    if value is None or value.mean is None:
        return ""
    return estimate_text(value, signed=True, between=line)


def _said(claim: Claim) -> str:
    return claim.note or _difference(claim.difference, " ")
