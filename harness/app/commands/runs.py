"""`runs`: the run directories of a folder (or that folder, if it is one) with their headline, newest first.

The numbers are those of the summaries; each log is compared with its summary (about a gigabyte a second), since a log
may be damaged after its summary was written.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.evaluation.log_check import check_log
from harness.app.evaluation.measures import title_of
from harness.app.evaluation.statistics import Estimate
from harness.app.evaluation.summary import Summary
from harness.app.job.summaryfile import read_summary
from harness.core.errors import CheckFailed, DataError, InputError
from harness.core.log import rundir
from harness.core.sections import one_line

HEADLINE = {name: title_of(name) for name in ("mean_return", "conv_sr", "turns")}


def runs(folder: Path, console: Console) -> int:
    """Print the table; returns how many there are.

    Raises `InputError` where the folder is none and, at the end, `CheckFailed` where a log or a summary is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    there = [folder] if (folder / rundir.CONFIG).is_file() else list(folder.iterdir())
    found = [path for path in there if (path / rundir.CONFIG).is_file() and not path.name.startswith(".")]
    found.sort(key=lambda path: (path / rundir.CONFIG).stat().st_mtime, reverse=True)
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{len(found)} run director{'y' if len(found) == 1 else 'ies'} in {folder}",
        title_justify="left",
    )
    for heading in ("run", "state", "phase", *HEADLINE.values(), "n", "time", "world"):
        table.add_column(heading, justify="right" if heading in (*HEADLINE.values(), "n", "time") else "left")
    damage: list[str] = []
    for path in found:
        table.add_row(*(Text(one_line(cell)) for cell in _row(path, damage)))
    console.print(table)
    for sentence in damage:
        console.print(Text(one_line(sentence)), soft_wrap=True)
    if damage:
        raise CheckFailed(f"{len(damage)} of {len(found)} run directories are damaged")
    return len(found)


def _row(path: Path, damage: list[str]) -> list[str]:
    """The cells of one directory; what is wrong with its log is added to ``damage``."""
    if not (path / rundir.EPISODES).exists() and (path / "cells").is_dir():
        return [path.name, _collection(path), *[""] * (len(HEADLINE) + 4)]
    try:
        summary = read_summary(path)
    except DataError as error:
        damage.append(f"{path.name}: {error}")
        return [path.name, "SUMMARY CHANGED", *[""] * (len(HEADLINE) + 4)]
    except InputError:
        return [path.name, _checked(path, None, "unreadable summary", damage), *[""] * (len(HEADLINE) + 4)]
    if summary is None:
        return [path.name, _checked(path, None, "no summary yet", damage), *[""] * (len(HEADLINE) + 4)]
    state = "failed" if summary.failed else "complete" if summary.complete else "incomplete"
    state = _checked(path, summary, state, damage)
    if not summary.phases:
        return [path.name, state, *[""] * (len(HEADLINE) + 4)]
    last = summary.phases[-1]
    values = [_mean(last.metrics.get(metric)) for metric in HEADLINE]
    world = "scripted" if summary.world.startswith("scripted world") else summary.world
    return [path.name, state, last.name, *values, str(last.episodes - last.errors), f"{summary.seconds:.0f} s", world]


def _checked(path: Path, summary: Summary | None, state: str, damage: list[str]) -> str:
    try:
        whole = check_log(path, summary)
    except DataError as error:
        damage.append(f"{path.name}: {error}")
        return f"{state}, LOG DAMAGED"
    return state if whole else f"{state}, log not checked"


def _collection(path: Path) -> str:
    """A comparison or a study, and whether all of its cells are done; both keep results when they are stopped too."""
    for what, done in (
        ("comparison", lambda found: found.get("complete")),
        ("study", lambda found: not found["missing"]),
    ):
        with suppress(OSError, msgspec.DecodeError, KeyError):
            found = msgspec.json.decode((path / f"{what}.json").read_bytes(), type=dict[str, Any])
            return f"{what}, {'done' if done(found) else 'unfinished'}"
    return "comparison or study, unfinished"


def _mean(estimate: Estimate | None) -> str:
    return "–" if estimate is None or estimate.mean is None else f"{estimate.mean:.2f}"
