"""`report`: a run directory as one page, written beside its log (or where the user says), and opened if asked."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.app.report.page import render_run
from harness.app.report.record import read_record
from harness.core import rundir

REPORT = "report.html"


def report(folder: Path, out: Path | None, console: Console, *, show: bool) -> Path:
    """Write the page of a run; returns where."""
    page = render_run(read_record(folder))
    path = out or folder / REPORT
    rundir.write_atomically(path, page.encode("utf-8"))
    console.print(Text(f"report {path} ({path.stat().st_size / 1e6:.1f} MB)"), soft_wrap=True)
    if show:
        webbrowser.open(path.resolve().as_uri())
    return path
