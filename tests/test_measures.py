"""One list of measures: what is computed is in it, a new one opens old results as not measured, and each is shown."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from support.rundirs import write_run

from harness.app.commands.diff import diff
from harness.app.evaluation import measures
from harness.app.evaluation.answers import extra_measures
from harness.app.evaluation.floors import FLOOR_MEASURES
from harness.app.evaluation.measures import MEASURES, PARTS, entry_of, in_order, scale_of, title_of
from harness.app.evaluation.metrics import headline
from harness.app.evaluation.protocol import IEVALM_MEASURES
from harness.app.evaluation.scales import NUMBER, RATE
from harness.app.evaluation.statistics import NOT_MEASURED
from harness.app.evaluation.summary import EXTRA_ROWS, MAIN, summary_table
from harness.app.grid.comparison import figures, tables
from harness.app.grid.comparison.figures import comparison_figures
from harness.app.grid.comparison.tables import groups_csv, latex, main_tables, orderings, rows_csv
from harness.app.report import run_page
from harness.app.report.comparison_page import read_comparison, render_comparison
from harness.app.report.record import read_record
from harness.app.report.run_page import render_run
from harness.domain.knowledge_graph import KnowledgeGraph

OLD = Path(__file__).parent / "data" / "run_format_0"
NEW = "kindness"


@pytest.fixture
def another(monkeypatch):
    """A measure that no result has, in the list and in every table and figure."""
    entry = measures.Entry(title="kindness, new", scale=RATE, note="the recommender is kind")
    monkeypatch.setitem(MEASURES, NEW, entry)
    monkeypatch.setattr(tables, "TABLE_IV", (*tables.TABLE_IV, NEW))
    monkeypatch.setattr(tables, "TABLES", {**tables.TABLES, "Table IV, conversation": tables.TABLE_IV})
    monkeypatch.setattr(figures, "FIGURES", (*figures.FIGURES, NEW))
    monkeypatch.setattr("harness.app.report.comparison_page.FIGURES", figures.FIGURES)
    monkeypatch.setattr("harness.app.evaluation.summary.MAIN", (*MAIN, NEW))
    monkeypatch.setattr("harness.app.commands.diff.SHOWN", (NEW,))
    monkeypatch.setattr(run_page, "BESIDE", (*run_page.BESIDE, NEW))


def test_what_is_computed_is_in_the_list():
    computed = {
        *headline(graph=KnowledgeGraph([]), threshold=0.5, gamma=0.9, horizon="literal"),
        *extra_measures({}),
    }
    assert computed <= MEASURES.keys()
    shown = {
        *MAIN,
        *EXTRA_ROWS,
        *run_page.BESIDE,
        *figures.FIGURES,
        *(n for names in tables.TABLES.values() for n in names),
    }
    assert shown <= MEASURES.keys()
    assert not shown & PARTS
    assert {*FLOOR_MEASURES, *IEVALM_MEASURES} <= MEASURES.keys()


def test_titles_are_told_apart():
    titles = [entry.title for entry in MEASURES.values()]
    assert len(set(titles)) == len(titles)
    assert max(len(line) for name in (*MAIN, *EXTRA_ROWS) for line in entry_of(name).heading.split("\n")) <= 12


def test_ones_own_measure_has_its_name_and_any_number():
    assert (title_of("my_measure"), scale_of("my_measure")) == ("my measure", NUMBER)
    assert in_order({"my_measure": 1, "turns": 2, "conv_sr": 3}) == ("conv_sr", "turns", "my_measure")


@pytest.mark.usefixtures("another")
def test_an_old_run_does_not_have_a_new_measure(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    old = shutil.copytree(OLD, tmp_path / "old")
    page = render_run(read_record(old))
    row = page[page.index("kindness, new</th>") :]
    assert NOT_MEASURED in row[: row.index("</tr>")]
    out = io.StringIO()
    record = read_record(old)
    assert record.summary is not None
    Console(file=out, width=200).print(summary_table(record.summary))
    assert out.getvalue().count("measured") >= 6  # the new one and Rec-SR at the last turn, three phases each
    other = write_run(tmp_path / "other", persona="Kim")
    diff(other, write_run(tmp_path / "third"), Console(file=out, width=200))
    assert "kindness" in out.getvalue()


def old_comparison(folder: Path) -> Path:
    """A finished comparison as a version wrote it that knew fewer measures."""
    from test_report import write_comparison

    write_comparison(folder)
    tree = msgspec.json.decode((folder / "comparison.json").read_bytes())
    for row in tree["rows"]:
        for name in (NEW, "wi_all", "harmed", "rec_sr_last", "calls", "leaked"):
            row["metrics"].pop(name, None)
        for name in ("trained_without", "improve"):
            row.pop(name)
        for name in ("left_out", "harmed", "unrecommended"):
            row["persuasion"].pop(name)
    row = tree["rows"][0]
    metrics = {name: row["metrics"][name] for name in ("turns", "conv_sr")}
    tree["groups"] = [
        {"system": "rso", "model": "m-7B", "dataset": "synthetic", "by": "persona", "value": "p", "metrics": metrics}
    ]
    (folder / "comparison.json").write_bytes(msgspec.json.encode(tree))
    return folder


@pytest.mark.usefixtures("another")
def test_an_old_comparison_does_not_have_a_new_measure(tmp_path):
    folder = old_comparison(tmp_path / "old")
    page = render_comparison(folder)
    assert "kindness, new" in page
    assert page.count(NOT_MEASURED) > 6
    comparison = read_comparison(folder)
    out = io.StringIO()
    for table in main_tables(comparison, 160):
        Console(file=out, width=200).print(table)
    assert "kindness" in out.getvalue()
    assert NOT_MEASURED.split()[1] in out.getvalue()
    assert [name for name, _ in comparison_figures(comparison)] == ["ablations_synthetic", "systems_synthetic"]
    assert "--" in latex(comparison)
    assert NEW not in rows_csv(comparison)
    assert groups_csv(comparison)
    assert not any("kindness" in line for line in orderings(comparison.rows))
