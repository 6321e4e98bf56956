"""`paper`: comparison directories as the paper's Tables II to V and Figures 3 to 6, one page and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.app.commands.data_table import DataTable, table_of
from harness.app.report.paper_page import Counts, latex, render_paper
from harness.app.report.paper_record import Played, read_played
from harness.app.report.published import CORPORA
from harness.app.settings.config import Config
from harness.app.setup.sources import Readings, read_graph
from harness.core.errors import HarnessError, InputError
from harness.core.log import rundir

PAGE, LATEX = "paper.html", "paper.tex"


def paper(folders: Sequence[Path], out: Path | None, console: Console) -> Path:
    """Write the page and the LaTeX into the first directory, or the page to ``out`` and the LaTeX beside it."""
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"--out: there is no folder {out.absolute().parent}")
    played = read_played(folders)
    path = out or folders[0] / PAGE
    beside = path.with_suffix(".tex") if out else folders[0] / LATEX
    rundir.write_atomically(path, render_paper(played, _counts(played)).encode("utf-8"))
    rundir.write_atomically(beside, latex(played).encode("utf-8"))
    console.print(Text(f"page {path}, LaTeX {beside}"), soft_wrap=True)
    return path


def _counts(played: Sequence[Played]) -> list[Counts]:
    """Table II of the files that the comparisons were configured with, as far as they are still there."""
    configs: dict[str, Config] = {}
    for one in played:
        for cell in one.cells:
            configs.setdefault(one.corpora[cell.dataset], cell.resolved())
    return [_counted(corpus, configs.get(corpus)) for corpus in CORPORA]


def _counted(corpus: str, config: Config | None) -> Counts:
    if config is None:
        return Counts(corpus=corpus, why=f"no comparison of {corpus} is given")
    try:
        found = table_of(config, Readings(config), read_graph(config))
    except HarnessError as error:
        return Counts(corpus=corpus, why=f"its files cannot be read any more: {error}")
    return _of_corpus(corpus, found)


def _of_corpus(corpus: str, found: DataTable) -> Counts:
    rows = [row for row in found.rows if row.corpus.lower() == corpus.lower()]
    if not rows:
        return Counts(corpus=corpus, why=f"its configured files are not {corpus}'s")
    row = next((row for row in rows if not row.uses), rows[0])
    return Counts(corpus=corpus, dialogues=row.dialogues, utterances=row.utterances, items=row.items)
