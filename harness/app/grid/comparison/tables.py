"""The paper's Tables IV and V for one comparison: for the terminal (rich), as CSV and as LaTeX.

A value is bold where it is better than the reference's and the difference is significant after Holm's correction, and
marked with a dagger where it is significantly worse; nothing else is. Beside every table stand the number of dialogues
and of failed ones. The CSV holds everything, the tables what the paper shows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from rich import box
from rich.table import Table
from rich.text import Text

from harness.app.evaluation.floors import FLOORS, SHARED, floor_name
from harness.app.evaluation.measures import entry_of, title_of
from harness.app.evaluation.statistics import NOT_MEASURED, Estimate, interval_text
from harness.app.grid.comparison.improvement import improvement_text
from harness.app.grid.comparison.orderings import ordering_text
from harness.app.grid.comparison.parts import COLUMNS, cells, table_iii
from harness.app.grid.comparison.results import Comparison, Row

T = TypeVar("T")

TABLE_IV = ("wi", "prs", "cred", "conv_sr", "dist_2")
"""Conversation, as in the paper: watching intention, persuasiveness, credibility, success, diversity."""
BESIDE_IV = (
    "acceptance", "turns", "wi_all", "wi_coverage", "prs_paper", "oversold", "harmed", "cred_zero_filled",
    "cred_coverage", "corpus_dist_2",
)  # fmt: skip
TABLE_V = ("rec_sr_last", "recall_1", "recall_5")
"""Recommendation, as in the paper; the column *Improve.* where the file names a system to improve over."""
BESIDE_V = (
    "ievalm_sr",
    "rec_sr", "recall_any_1", "recall_any_5", "named_recall_1", "named_recall_5", "target_rec_sr", "target_recall_1",
    "target_recall_5",
)  # fmt: skip
TABLES = {
    "Table IV, conversation": TABLE_IV,
    "Beside Table IV": BESIDE_IV,
    "Table V, recommendation": TABLE_V,
    "Beside Table V": BESIDE_V,
}
"""Title -> measures; `IEVALM` only where cells were played by that protocol. A measure
that an older result does not have is *not measured* there."""
IMPROVE = "Improve."
IEVALM = "ievalm_sr"
_FRAME, _CELL = 32, 13
"""Columns of a terminal that names and counts take, and that a value with its interval takes."""
WORSE = "†"
MISSING = "–"


def verdict(row: Row, metric: str) -> str:
    """``better``, ``worse`` or nothing: how a row's value differs from the reference's."""
    difference = row.differences.get(metric)
    if difference is None or not difference.significant or difference.mean is None:
        return ""
    better = entry_of(metric).better
    return "" if not better else "better" if (difference.mean > 0) != (better == "less") else "worse"


def main_tables(comparison: Comparison, width: int) -> list[Table]:
    """Tables IV and V and what it cost, one of each for every dataset, cut into parts that a terminal's width holds."""
    per = max(1, (width - _FRAME) // _CELL)
    shown = []
    for dataset in dict.fromkeys(row.dataset for row in comparison.rows):
        rows = [row for row in comparison.rows if row.dataset == dataset]
        shown.append(table_iii([(name_of(row, rows), row.parts) for row in rows], dataset))
        for title, names in shown_tables(rows).items():
            for part, columns in _parts(dict.fromkeys(names), per):
                improve = names is TABLE_V and any(row.improve is not None for row in rows)
                table = _table(f"{title} ({dataset}){part}", rows, tuple(columns), improve=improve)
                for heading, found in levels(rows, tuple(columns)):
                    last = ("", "") if improve else ("",)
                    table.add_row(Text(heading, style="dim"), *map(_level, found), *last)
                shown.append(table)
        for part, costs in _parts(_costs(rows), per):
            shown.append(_plain_table(f"Cost and faults ({dataset}){part}", rows, costs))
    return shown


def shown_tables(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """`TABLES` for these rows."""
    known = by_ievalm(rows)
    return {
        title: tuple(name for name in names if name != IEVALM or known) if IEVALM in names else names
        for title, names in TABLES.items()
    }


def by_ievalm(rows: Iterable[Row]) -> bool:
    """Whether a row has numbers of iEvaLM's protocol."""
    return any(row.metrics[IEVALM].n for row in rows if IEVALM in row.metrics)


def levels(rows: Sequence[Row], names: Sequence[str]) -> list[tuple[str, list[Estimate | None]]]:
    """The floors that need no conversation (decision 15), where some of the measures have them.

    All systems have the same goals. A failed dialogue is in no mean, so the row with the most dialogues is taken.
    """
    fullest = max(rows, key=lambda row: row.dialogues - row.failed)
    found = [(FLOORS[one], [fullest.metrics.get(floor_name(one, name)) for name in names]) for one in SHARED]
    return [(words, cells) for words, cells in found if any(cells)]


def own_floor(row: Row, metric: str) -> Estimate | None:
    """What `FLOORS` "repeat" reaches in the row's own conversations; None for what is no recall."""
    return row.metrics.get(floor_name("repeat", metric))


def orderings(rows: Sequence[Row]) -> list[str]:
    """Who is first by each measure of the paper's tables, one line each; overlapping intervals are ties."""
    lines = [
        ordering_text(measure, [(name_of(row, rows), row.metrics.get(measure)) for row in rows])
        for measure in (*TABLE_IV, *TABLE_V)
    ]
    return [line for line in lines if line]


def _parts(columns: Mapping[str, T], per: int) -> list[tuple[str, dict[str, T]]]:
    """At most ``per`` columns each, with what to add to the title."""
    items = list(columns.items())
    return [(", continued" if start else "", dict(items[start : start + per])) for start in range(0, len(items), per)]


def _table(title: str, rows: Sequence[Row], columns: Sequence[str], *, improve: bool) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(entry_of(name).heading, justify="right", no_wrap=True)
    if improve:
        table.add_column(IMPROVE, justify="right", no_wrap=True)
    table.add_column("n\n(failed)", justify="right", no_wrap=True)
    for row in rows:
        more = (improvement_text(row.improve, between="\n"),) if improve else ()
        table.add_row(name_of(row, rows), *(_cell(row, metric) for metric in columns), *more, _counts(row))
    return table


def name_of(row: Row, rows: Iterable[Row]) -> str:
    """The system's title, with its model where the system has several."""
    models = {other.model for other in rows if other.system == row.system}
    return f"{row.title}, {row.model}" if len(models) > 1 else row.title


def _cell(row: Row, metric: str) -> Text:
    estimate, judged = row.metrics.get(metric), verdict(row, metric)
    if estimate is None:
        return Text(NOT_MEASURED.replace(" ", "\n"), style="dim")
    if estimate.mean is None:
        return Text(MISSING)
    text = Text(f"{estimate.mean:.2f}", style="bold" if judged == "better" else "")
    text.append(WORSE if judged == "worse" else "")
    if interval := interval_text(estimate):
        text.append(f"\n{interval.replace(', ', ',')}", style="dim")
    repeated = own_floor(row, metric)
    if repeated is not None and repeated.mean is not None:
        text.append(f"\nrepeat {repeated.mean:.2f}", style="dim")
    return text


def _level(estimate: Estimate | None) -> str:
    return MISSING if estimate is None or estimate.mean is None else f"{estimate.mean:.2f}"


def _counts(row: Row) -> str:
    failed = f"{row.dialogues - row.failed}\n({row.failed})"
    return failed + (f"\n{len(row.failed_cells)} cells!" if row.failed_cells else "")


def _costs(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Heading -> one cell a row."""
    columns: dict[str, list[str]] = {}
    for row in rows:
        said = row.persuasion
        asked = said.used + said.left_out + said.undefined
        cells = {
            "tokens a\ndialogue": _plain(row.metrics.get("tokens"), 0),
            "recom-\nmender's": _plain(row.metrics.get("recommender_tokens"), 0),
            "calls": _plain(row.metrics.get("calls"), 0),
            "cost": MISSING if row.cost_per_dialogue is None else f"{row.cost_per_dialogue:.4g}",
            "failed\ndialogues": "\n".join(
                (_share(row.failed, row.dialogues), *(f"{n} {kind}" for kind, n in row.faults.failed.items()))
            ),
            "missing\nrewards": _share(row.faults.missing_rewards, row.faults.rewarded_turns),
            "unread\nreadings": _share(row.faults.unreadable, row.faults.asked),
            "cut\nreplies": _share(row.faults.truncated, row.faults.calls),
            "oversold": _share(said.over_persuaded, asked),
            "harmed": _share(said.harmed, asked),
            "no film\nnamed": _share(said.unrecommended, asked + said.missing),
        }
        for heading, cell in cells.items():
            columns.setdefault(heading, []).append(cell)
    return columns


def _plain_table(title: str, rows: Sequence[Row], columns: Mapping[str, Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for place, row in enumerate(rows):
        table.add_row(name_of(row, rows), *(cells[place] for cells in columns.values()))
    return table


def _plain(estimate: Estimate | None, digits: int) -> str:
    return NOT_MEASURED if estimate is None else MISSING if estimate.mean is None else f"{estimate.mean:,.{digits}f}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else MISSING


def rows_csv(comparison: Comparison) -> str:
    """Every measure of every row, with interval and difference to the reference; one line a row and measure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ("dataset", "system", "model", "measure", "mean", "low", "high", "n", "failed", "difference", "difference_low",
         "difference_high", "pairs", "p", "p_holm")
    )  # fmt: skip
    for row in comparison.rows:
        for name, estimate in row.metrics.items():
            difference = row.differences.get(name)
            compared = (
                (difference.mean, difference.low, difference.high, difference.n, difference.p, difference.p_holm)
                if difference
                else ("",) * 6
            )
            writer.writerow(
                _blank((row.dataset, row.system, row.model, name, *_numbers(estimate), row.failed, *compared))
            )
    return out.getvalue()


def groups_csv(comparison: Comparison) -> str:
    """Results by persona, trait and goal; one line a row, part and measure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("dataset", "system", "model", "by", "value", "measure", "mean", "low", "high", "n"))
    for group in comparison.groups:
        for name, estimate in group.metrics.items():
            where = (group.dataset, group.system, group.model, group.by, group.value, name)
            writer.writerow(_blank((*where, *_numbers(estimate))))
    return out.getvalue()


def _numbers(estimate: Estimate) -> tuple[float | None, float | None, float | None, int]:
    return estimate.mean, estimate.low, estimate.high, estimate.n


def _blank(values: Iterable[object]) -> list[object]:
    return ["" if value is None else value for value in values]


def latex(comparison: Comparison) -> str:
    """Table III and the paper's columns of Tables IV and V as LaTeX (booktabs); bold and dagger as in the terminal."""
    parts = [f"% {_escape(comparison.world)}", "% bold / dagger: better / worse than the reference, p < .05 (Holm)"]
    for dataset in dict.fromkeys(row.dataset for row in comparison.rows):
        rows = [row for row in comparison.rows if row.dataset == dataset]
        for caption, columns in (("Conversation", TABLE_IV), ("Recommendation", TABLE_V)):
            parts.append(_latex_table(f"{caption}, {dataset}", rows, columns))
        parts.append(_latex_parts(rows, dataset))
    return "\n".join([*parts, *(f"% {_escape(note)}" for note in comparison.notes)]) + "\n"


def _latex_parts(rows: Sequence[Row], dataset: str) -> str:
    headings = " & ".join(("", *(heading.replace("\n", " ") for heading in COLUMNS.values())))
    lines = [" & ".join(_escape(text) for text in (name_of(row, rows), *cells(row.parts))) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{Parts at work, {_escape(dataset)}}}",
            rf"\begin{{tabular}}{{l{'r' * len(COLUMNS)}}}",
            r"\toprule",
            rf"{headings} \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _latex_table(caption: str, rows: Sequence[Row], columns: Sequence[str]) -> str:
    improve = columns is TABLE_V and any(row.improve is not None for row in rows)
    titles = [_escape(title_of(name)) for name in columns] + ([IMPROVE] if improve else [])
    headings = " & ".join(("", *titles, r"$n$ (failed)"))
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escape(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(titles) + 1)}}}",
        r"\toprule",
        rf"{headings} \\",
        r"\midrule",
    ]
    for row in rows:
        cells = [_escape(name_of(row, rows)), *(_latex_cell(row, metric) for metric in columns)]
        if improve:
            cells.append(_escape(improvement_text(row.improve)).replace("~", r"$\sim$"))
        cells.append(f"{row.dialogues - row.failed} ({row.failed})")
        lines.append(rf"{' & '.join(cells)} \\")
    for words, found in levels(rows, columns):
        known = [_level(one).replace(MISSING, "--") for one in found]
        lines.append(rf"{' & '.join([words, *known, *([''] if improve else []), ''])} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _latex_cell(row: Row, metric: str) -> str:
    estimate, judged = row.metrics.get(metric), verdict(row, metric)
    if estimate is None or estimate.mean is None:
        return "--"
    mean = f"{estimate.mean:.2f}"
    shown = rf"\textbf{{{mean}}}" if judged == "better" else rf"{mean}$^\dagger$" if judged == "worse" else mean
    interval = interval_text(estimate)
    return shown + (rf" {{\scriptsize{interval}}}" if interval else "")


def _escape(text: str) -> str:
    for special in "\\&%$#_{}":
        text = text.replace(special, r"\textbackslash{}" if special == "\\" else f"\\{special}")
    return text
