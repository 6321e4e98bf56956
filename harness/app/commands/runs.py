"""`runs`: the run directories of a folder (or that folder, if it is one) with their headline, newest first.

It reads summaries only.
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

from harness.app.evaluation.statistics import Estimate
from harness.app.evaluation.summary import Summary
from harness.core.errors import InputError
from harness.core.log import rundir
from harness.core.sections import one_line

HEADLINE = {"mean_return": "R_1", "conv_sr": "Conv-SR", "turns": "turns"}


def runs(folder: Path, console: Console) -> int:
    """Print the table; returns how many there are. `InputError` where the folder is none."""
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
    for path in found:
        table.add_row(*(Text(one_line(cell)) for cell in _row(path)))
    console.print(table)
    return len(found)


def _row(path: Path) -> list[str]:
    if not (path / rundir.EPISODES).exists() and (path / "cells").is_dir():
        return [path.name, _collection(path), *[""] * (len(HEADLINE) + 4)]
    try:
        summary = msgspec.json.decode((path / rundir.SUMMARY).read_bytes(), type=Summary)
    except FileNotFoundError:
        return [path.name, "no summary yet", *[""] * (len(HEADLINE) + 4)]
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return [path.name, "unreadable summary", *[""] * (len(HEADLINE) + 4)]
    state = "complete" if summary.complete else "incomplete"
    if not summary.phases:
        return [path.name, state, *[""] * (len(HEADLINE) + 4)]
    last = summary.phases[-1]
    values = [_mean(last.metrics.get(metric)) for metric in HEADLINE]
    world = "scripted" if summary.world.startswith("scripted world") else summary.world
    return [path.name, state, last.name, *values, str(last.episodes - last.errors), f"{summary.seconds:.0f} s", world]


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
