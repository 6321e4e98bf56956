"""Comparison directories -> one page laid out as the paper: Tables II to V, Figures 3 to 6, and what differs and why.

Rows and columns stand in the paper's order, our intervals below our means, and the paper's own figures in grey for
scale. What was not measured is an empty cell with its reason, never a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from harness.app.drawing import svg
from harness.app.drawing.palette import in_groups, series_colour, strategy_colours
from harness.app.evaluation.decisions import SCRIPTED
from harness.app.evaluation.measures import title_of
from harness.app.evaluation.shares import shares_over_progress
from harness.app.evaluation.statistics import Estimate, interval_text
from harness.app.grid.comparison.figures import of_several_sizes, size_of
from harness.app.grid.comparison.improvement import improvement_text
from harness.app.grid.comparison.parts import COLUMNS, cells
from harness.app.grid.comparison.results import Row
from harness.app.report.html import render
from harness.app.report.paper_record import Played, fullest, row_of, why_not
from harness.app.report.paper_settings import READ_SO, Differing, differing, other_goals, quantized
from harness.app.report.published import CORPORA, SOURCE, SYSTEMS, by_system, read
from harness.app.settings.config import Config
from harness.core.log import rundir
from harness.core.log.loggedepisodes import read_episodes
from harness.core.messages import Struct
from harness.domain.strategies import strategy_set

TABLE_IV = {"WI": "wi", "PRS": "prs_paper", "Cred": "cred", "Conv-SR": "conv_sr", "Dist-2": "dist_2"}
TABLE_V = {"Rec-SR": "rec_sr_last", "R@1": "recall_1", "R@5": "recall_5"}
"""The paper's heading -> our measure."""
IMPROVE = "Improve"
EXPERTS = {
    "fact_retriever": ("fact retriever", "Cred", "cred"),
    "planner": ("planner", "Conv-SR", "conv_sr"),
    "preference_reasoner": ("preference reasoner", "Conv-SR", "conv_sr"),
}
"""Fig. 5: expert -> its name, the paper's measure, ours."""
NO_VALUE, NOT_PLAYED = "no dialogue has a value", "not played"
FIG_6 = "What the paper's Fig. 6 shows is not known to this project, so nothing is drawn in its place."


class Value(Struct, frozen=True, kw_only=True):
    """One cell: ours or why there is none, and the paper's."""

    ours: Estimate | None = None
    text: str = ""
    """Ours where it is no estimate."""
    why: str = ""
    paper: str = ""


class Counts(Struct, frozen=True, kw_only=True):
    """A line of Table II; the numbers are None where ``why`` says why."""

    corpus: str
    dialogues: int | None = None
    utterances: int | None = None
    items: int | None = None
    why: str = ""


def paper_context(played: Sequence[Played], counts: Sequence[Counts]) -> dict[str, Any]:
    """All that the page shows. ``counts``: of the configured files, by corpus."""
    worlds = list(dict.fromkeys(one.comparison.world for one in played))
    return {
        "title": "The paper's tables and figures",
        "world": "; ".join(worlds),
        "scripted": SCRIPTED in worlds,
        "source": SOURCE,
        "folders": [(one.folder.resolve().name, _size(one)) for one in played],
        "incomplete": [one.folder.resolve().name for one in played if not one.comparison.complete],
        "ii": _marked(_data(counts)),
        "iii": _marked(_parts(played)),
        "headings_iii": [heading.replace("\n", " ") for heading in COLUMNS.values()],
        "iv": _marked(table(played, TABLE_IV, "table4")),
        "v": _marked(table(played, TABLE_V, "table5", improve=True)),
        "headings_iv": list(TABLE_IV),
        "headings_v": [*TABLE_V, IMPROVE + "."],
        "corpora": CORPORA,
        "beside": list(_beside(played)),
        "fig_3": list(_strategies(played)),
        "fig_4": list(_scale(played)),
        "fig_5": _marked(ablations(played)),
        "fig_6": FIG_6,
        "differs": list(_differs(played)),
        "read_so": READ_SO,
        "notes": list(dict.fromkeys(note for one in played for note in one.comparison.notes)),
    }


def render_paper(played: Sequence[Played], counts: Sequence[Counts]) -> str:
    return render("paper.html", paper_context(played, counts))


def table(
    played: Sequence[Played], columns: Mapping[str, str], published: str, *, improve: bool = False
) -> list[tuple[str, list[Value]]]:
    """Rows in the paper's order: (system, its cells of the first corpus, then of the second)."""
    printed, sources = by_system(published), {corpus: fullest(played, corpus) for corpus in CORPORA}
    found = []
    for system in SYSTEMS:
        values = []
        for corpus in CORPORA:
            row, line = row_of(sources[corpus], system, corpus), printed[system, corpus]
            why = "" if row is not None else why_not(played, system, corpus)
            values += [_value(row, measure, line[heading], why) for heading, measure in columns.items()]
            if improve:
                values.append(_improve(system, row, line[IMPROVE], why))
        found.append((system, values))
    return found


def _improve(system: str, row: Row | None, paper: str, why: str) -> Value:
    if system == SYSTEMS[0]:
        return Value(why=why, paper=paper)
    if row is None or row.improve is None:
        return Value(why=why or "the row to improve over has no numbers", paper=paper)
    return Value(text=improvement_text(row.improve), paper=paper)


def _value(row: Row | None, measure: str, paper: str, why: str = "") -> Value:
    """``why``: the reason where there is no row."""
    if row is None:
        return Value(why=why, paper=paper)
    estimate = row.metrics.get(measure)
    if estimate is None:
        return Value(why="not measured", paper=paper)
    return Value(ours=estimate, paper=paper) if estimate.mean is not None else Value(why=NO_VALUE, paper=paper)


def _size(one: Played) -> str:
    seeds = ", ".join(str(seed) for seed in one.comparison.seeds)
    return f"seeds {seeds}, {one.comparison.scenarios} scenarios a cell"


def _data(counts: Sequence[Counts]) -> list[tuple[str, list[Value]]]:
    """Table II."""
    found = []
    for line in counts:
        printed = next((one for one in read("table2") if one["dataset"] == line.corpus), {})
        ours = {"dialogues": line.dialogues, "utterances": line.utterances, "unique_items": line.items}.items()
        shown = [
            Value(text="" if n is None else f"{n:,}", why=line.why, paper=printed.get(name, "")) for name, n in ours
        ]
        found.append((line.corpus, shown))
    return found


def _parts(played: Sequence[Played]) -> list[tuple[str, list[Value]]]:
    """Table III."""
    printed, found = by_system("table3"), []
    sources = {corpus: fullest(played, corpus) for corpus in CORPORA}
    for system in SYSTEMS:
        row = next((row for corpus in CORPORA if (row := row_of(sources[corpus], system, corpus)) is not None), None)
        why = "" if row is not None else why_not(played, system, _given(played))
        ours = cells(row.parts) if row is not None else [""] * len(COLUMNS)
        paper = printed.get((system, ""), {})
        found.append(
            (system, [Value(text=o, why=why, paper=paper.get(n, "")) for n, o in zip(COLUMNS, ours, strict=True)])
        )
    return found


def _given(played: Sequence[Played]) -> str:
    """A corpus that some comparison has."""
    return next((corpus for corpus in CORPORA if any(one.rows(corpus) for one in played)), CORPORA[0])


def _marked(rows: Sequence[tuple[Any, list[Value]]]) -> dict[str, Any]:
    """Rows, and the reasons of their empty cells, which are numbered in them."""
    reasons = list(dict.fromkeys(value.why for _, values in rows for value in values if value.why))
    return {"rows": rows, "reasons": reasons}


def _beside(played: Sequence[Played]) -> Iterator[tuple[str, str, list[Estimate | None]]]:
    """Rows that the paper does not have: (title, corpus, values of Tables IV and V)."""
    for one in played:
        for row in one.comparison.rows:
            known = row.title.lower() in {system.lower() for system in SYSTEMS}
            if not known and row.group == "system" and row.seeds:
                values = [row.metrics.get(measure) for measure in (*TABLE_IV.values(), *TABLE_V.values())]
                yield row.title, one.corpora.get(row.dataset, row.dataset), values


def _strategies(played: Sequence[Played]) -> Iterator[tuple[str, int, Markup, list[tuple[str, str]]]]:
    """Fig. 3 of the reference on each corpus: (corpus, dialogues, chart, legend)."""
    for corpus in CORPORA:
        for one in played:
            rows = [row for row in one.rows(corpus) if row.system == one.comparison.reference and row.seeds]
            config = one.config_of(rows[0]) if rows else None
            if config is None:
                continue
            strategies = strategy_set(config.data.labels)
            logs = [cell / rundir.EPISODES for cell in one.cells_of(rows[0])]
            episodes = [episode for log in logs if log.exists() for episode in read_episodes(log)]
            parts = shares_over_progress([e for e in episodes if not e.failed], strategies)
            if not any(parts):
                continue
            colours, order = strategy_colours(strategies), in_groups(strategies)
            bars = [
                (
                    f"{(place + 1) * 100 // len(parts)}%",
                    [svg.Bar(name=s.name, colour=colours[s.key], value=part.get(s.key, 0.0)) for s in order],
                )
                for place, part in enumerate(parts)
            ]
            chart = svg.stacks(bars, x_label="conversation progress", y_label="share of decisions")
            yield f"{rows[0].title}, {corpus}", len(episodes), chart, [(s.name, colours[s.key]) for s in order]
            break


def _scale(played: Sequence[Played]) -> Iterator[tuple[str, list[tuple[str, Markup]]]]:
    """Fig. 4 on each corpus: a panel a measure."""
    for corpus in CORPORA:
        for one in played:
            shown = of_several_sizes(one.rows(corpus), one.comparison.reference)
            if not shown:
                continue
            panels = []
            for measure in (*TABLE_IV.values(), *TABLE_V.values()):
                lines = [
                    (_sized(row), svg.Dot(name=row.title, colour=series_colour(n), mean=e.mean, low=e.low, high=e.high))
                    for n, row in enumerate(shown)
                    if (e := row.metrics.get(measure)) is not None
                ]
                if chart := svg.forest(lines, x_label=title_of(measure)):
                    panels.append((title_of(measure), chart))
            yield corpus, panels
            break


def _sized(row: Row) -> str:
    size = size_of(row.served or row.model)
    return f"{row.title}, {size / 1e9:g}B" if size else f"{row.title}, {row.model}"


def ablations(played: Sequence[Played]) -> list[tuple[tuple[str, str, str], list[Value]]]:
    """Fig. 5: (expert, corpus, measure), [with, taken from the trained system, missing in training too]."""
    printed = {(line["ablation"], line["dataset"]): line for line in read("ablations")}
    found = []
    for expert, (name, heading, measure) in EXPERTS.items():
        for corpus in CORPORA:
            line = printed[name, corpus]
            whole = row_of([one for one in played if _has_ablation(one, corpus)] or played, "RSO", corpus)
            none = NOT_PLAYED if whole is not None else why_not(played, "RSO", corpus)
            taken, never = (_without(played, expert, corpus, trained) for trained in (False, True))
            values = [
                _value(whole, measure, line["with"], none),
                _value(taken, measure, line["without"], none),
                _value(never, measure, "", "without a planner there is no training" if expert == "planner" else none),
            ]
            found.append(((name, corpus, heading), values))
    return found


def _has_ablation(one: Played, corpus: str) -> bool:
    return any(row.group == "ablation" for row in one.rows(corpus))


def _without(played: Sequence[Played], expert: str, corpus: str, trained_without: bool) -> Row | None:
    for one in played:
        for row in one.rows(corpus):
            asked = row.group == "ablation" and row.seeds and row.trained_without == trained_without
            config = one.config_of(row) if asked else None
            if config is not None and config.network.without == (expert,):
                return row
    return None


def _differs(played: Sequence[Played]) -> Iterator[tuple[str, Differing]]:
    """(directory, setting), each setting once: of the references' cells, and weights of fewer bits in any cell."""
    said: set[Differing] = set()
    for one in played:
        for row in one.comparison.rows:
            if (config := one.config_of(row)) is None:
                continue
            found = list(quantized(config))
            if row.system == one.comparison.reference:
                found = [
                    *other_goals(row.dataset, config, one.comparison.scenarios),
                    *differing(config, _served(config)),
                    *found,
                ]
            for differs in found:
                if differs not in said:
                    said.add(differs)
                    yield one.folder.resolve().name, differs


def _served(config: Config) -> dict[str, str]:
    """Role -> the model behind it."""
    models = {role: config.models[getattr(config.roles, role)] for role in config.roles_in_use}
    scripted = "the scripted world, no language model"
    return {role: scripted if model.backend == "scripted" else model.model for role, model in models.items()}


def latex(played: Sequence[Played]) -> str:
    """Tables IV and V in the paper's order (booktabs, xcolor); the paper's figures in grey."""
    parts = [f"% {SOURCE}; grey: as printed there", *(f"% World: {one.comparison.world}" for one in played)]
    for caption, columns, published, improve in (
        ("Conversation (Table IV)", TABLE_IV, "table4", False),
        ("Recommendation (Table V)", TABLE_V, "table5", True),
    ):
        headings = [*columns, *([IMPROVE + "."] if improve else [])]
        shape = "l" + "r" * (len(headings) * len(CORPORA))
        over = " & ".join(rf"\multicolumn{{{len(headings)}}}{{c}}{{{corpus}}}" for corpus in CORPORA)
        parts += [
            r"\begin{table}", rf"\caption{{{caption}}}", rf"\begin{{tabular}}{{{shape}}}", r"\toprule",
            rf" & {over} \\", " & ".join(["", *headings * len(CORPORA)]) + r" \\", r"\midrule",
        ]  # fmt: skip
        for system, values in table(played, columns, published, improve=improve):
            parts.append(" & ".join([system, *map(_latex_cell, values)]) + r" \\")
        parts += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(parts) + "\n"


def _latex_cell(value: Value) -> str:
    ours = value.text or "--"
    if value.ours is not None and value.ours.mean is not None:
        interval = interval_text(value.ours)
        ours = f"{value.ours.mean:.2f}" + (rf" {{\scriptsize{interval}}}" if interval else "")
    grey = rf" {{\scriptsize\color{{gray}}{value.paper}}}" if value.paper else ""
    return (ours + grey).replace("%", r"\%").replace("~", r"$\sim$")
