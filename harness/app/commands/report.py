"""`report`: a run or comparison directory as one page, written into it or where the user says."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.app.report.comparison_page import is_comparison, render_comparison
from harness.app.report.record import read_record
from harness.app.report.run_page import render_run
from harness.core.errors import InputError
from harness.core.log import rundir

REPORT = "report.html"


def report(folder: Path, out: Path | None, console: Console, *, show: bool) -> Path:
    """Write the page of a run or a comparison; returns where."""
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"--out: there is no folder {out.absolute().parent}")
    page = render_comparison(folder) if is_comparison(folder) else render_run(read_record(folder))
    path = out or folder / REPORT
    rundir.write_atomically(path, page.encode("utf-8"))
    console.print(Text(f"report {path} ({path.stat().st_size / 1e6:.1f} MB)"), soft_wrap=True)
    if show:
        webbrowser.open(path.resolve().as_uri())
    return path
