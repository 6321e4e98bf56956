"""`data table`: what a config's data hold (the paper's Table II), which film names the graph knows, floors of recall.

One row a file: an utterance is one row or message of it. *Mentions* are dialogue and film pairs, *items* distinct film
names. Matched names are found in the graph by title and year (`KnowledgeGraph.find`); a dropped name gives no goal. The
paper's last column counts items for INSPIRED; for ReDial its number is the release's count of mentions. The floors are
those of `recommend-eval`: fitted to the file of training goals, measured on the file of held-out goals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.commands.recommend_eval import floors_table
from harness.app.evaluation.recommendation import BY_DIALOGUE, Ranking, measured
from harness.app.settings.config import Config
from harness.app.settings.configfile import load_config
from harness.app.setup.sources import Readings, Source, Use, read_graph, refuse_dialogues_on_both_sides, sources
from harness.core.errors import ConfigError, DataError
from harness.core.messages import Dialogue, Struct
from harness.domain.entities import Entities, linked_turns
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.ranking import floors, placed_over
from harness.domain.splits import Part, in_parts

PAPER = {"INSPIRED": (1001, 35_811, 1783), "ReDial": (10_006, 182_150, 51_699)}
"""Dialogues, utterances and "unique items" as the paper's Table II prints them, of whole releases."""
_CORPORA = {"inspired": "INSPIRED", "redial": "ReDial"}
_SHOWN = 8
"""Dropped names a table shows; ``--json`` has all."""


class FileRow(Struct, frozen=True, kw_only=True):
    """The statistics of one file, or of all files of a corpus together."""

    corpus: str
    file: str
    uses: tuple[str, ...]
    """Config keys without ``data.``; empty for a corpus as a whole."""
    dialogues: int
    utterances: int
    labelled_turns: int
    recommendations: int
    """Recommender's turns that name films."""
    mentions: int
    items: int
    matched: int
    dropped: tuple[tuple[str, int], ...]
    """Names that the graph does not have, with the number of dialogues that say them, most first."""


class DataTable(Struct, frozen=True, kw_only=True):
    """All that is printed."""

    rows: tuple[FileRow, ...]
    films: int
    with_plot: int
    with_writers: int
    floors: dict[str, Ranking] = {}
    split: str
    """What the floors were fitted to and measured on, or why there are none."""


def data_table(file: Path, overrides: list[str], console: Console, *, as_json: bool) -> None:
    """Print the tables; with ``as_json`` one object."""
    config = load_config(file, overrides)
    files, graph = Readings(config), read_graph(config)
    refuse_dialogues_on_both_sides(config, files.of)
    found = table_of(config, files, graph)
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    for note in (*files.notes, *graph.notes):
        console.print(Text(note), soft_wrap=True)
    console.print(_statistics(found))
    for row in found.rows:
        if row.uses and row.dropped:
            shown = ", ".join(f"{name} ({count})" for name, count in row.dropped[:_SHOWN])
            more = f" and {len(row.dropped) - _SHOWN} more (--json has all)" if len(row.dropped) > _SHOWN else ""
            console.print(Text(f"dropped of {row.file}: {shown}{more}"), soft_wrap=True)
    console.print(
        Text(f"graph: {found.films} films, {found.with_plot} with a plot, {found.with_writers} with writers"),
        soft_wrap=True,
    )
    console.print(Text(f"floors: {found.split}"), soft_wrap=True)
    if found.floors:
        for new in (False, True):
            console.print(floors_table(found.floors, new))
        console.print(Text(BY_DIALOGUE), soft_wrap=True)


def table_of(config: Config, files: Readings, graph: KnowledgeGraph) -> DataTable:
    """The statistics of all configured files; `ConfigError` where no file of dialogues is named."""
    named = sources(config)
    used: dict[Path, list[Use]] = {}
    for use, source in named.items():
        used.setdefault(source.path, []).append(use)
    if not used:
        raise ConfigError("data.inspired: no file of dialogues is named here or in a key of its own")
    first = {path: named[uses[0]] for path, uses in used.items()}
    rows = [
        _row(_CORPORA[source.layout], path.name, tuple(used[path]), files.of(source), graph)
        for path, source in first.items()
    ]
    for layout, corpus in _CORPORA.items():
        together = [files.of(source) for source in first.values() if source.layout == layout]
        if len(together) > 1:
            rows.append(_row(corpus, "together", (), _distinct(together), graph))
    split, part = _part(named, files, graph)
    return DataTable(
        rows=tuple(sorted(rows, key=lambda row: row.corpus)),
        films=len(graph.items),
        with_plot=sum(bool(item.plot) for item in graph.items),
        with_writers=sum(bool(item.writers) for item in graph.items),
        floors={name: measured(placed_over(fit, [part])) for name, fit in floors(Entities(graph)).items()}
        if part
        else {},
        split=split,
    )


def _distinct(parts: Iterable[tuple[Dialogue, ...]]) -> tuple[Dialogue, ...]:
    return tuple({dialogue.id: dialogue for part in parts for dialogue in part}.values())


def _row(
    corpus: str, file: str, uses: tuple[str, ...], dialogues: tuple[Dialogue, ...], graph: KnowledgeGraph
) -> FileRow:
    names = Counter(name for dialogue in dialogues for name in dialogue.mentions)
    dropped = [(name, count) for name, count in names.most_common() if graph.find(name) is None]
    return FileRow(
        corpus=corpus,
        file=file,
        uses=uses,
        dialogues=len(dialogues),
        utterances=sum(dialogue.utterances for dialogue in dialogues),
        labelled_turns=sum(len(dialogue.labelled_turns) for dialogue in dialogues),
        recommendations=sum(len(dialogue.recommendations) for dialogue in dialogues),
        mentions=names.total(),
        items=len(names),
        matched=len(names) - len(dropped),
        dropped=tuple(dropped),
    )


def _part(named: Mapping[Use, Source], files: Readings, graph: KnowledgeGraph) -> tuple[str, Part | None]:
    """What the floors are fitted to and measured on, in words and as turns."""
    learnt, judged = named.get("training_goals_file"), named.get("held_out_goals_file")
    if learnt is None or judged is None:
        return "none, as no file of goals is named", None
    entities = Entities(graph)
    test = linked_turns(files.of(judged), entities)
    try:
        if learnt.path == judged.path:
            part = in_parts(test, 0)
            words = f"split by dialogue of {judged.path.name}, seed 0"
        else:
            part = Part(linked_turns(files.of(learnt), entities), (), test)
            words = f"fitted to {learnt.path.name}, measured on {judged.path.name}"
    except DataError as error:
        return f"none: {error}", None
    if not part.test:
        return f"none, as the graph knows no film that {judged.path.name} recommends", None
    return f"{words}; {len(part.test)} turns, {sum(len(turn.targets) for turn in part.test)} targets", part


def _statistics(found: DataTable) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    columns: list[list[str]] = []
    for row in found.rows:
        table.add_column(f"{row.corpus}\n{row.file}", justify="right")
        counts = (row.dialogues, row.utterances, row.labelled_turns, row.recommendations, row.mentions, row.items)
        uses = "\n".join(use.removesuffix("_file").replace("_", " ") for use in row.uses)
        columns.append([uses, *(f"{count:,}" for count in (*counts, row.matched, len(row.dropped)))])
    for corpus, (dialogues, utterances, items) in PAPER.items():
        if any(row.corpus == corpus for row in found.rows):
            table.add_column(f"{corpus}\nin the paper", justify="right", style="dim")
            films = (f"{items:,}", "") if corpus == "ReDial" else ("", f"{items:,}")
            columns.append(["Table II", f"{dialogues:,}", f"{utterances:,}", "", "", *films, "", ""])
    headings = (
        "used as", "dialogues", "utterances", "labelled turns", "recommending turns", "mentions", "items", "matched",
        "dropped",
    )  # fmt: skip
    for heading, cells in zip(headings, zip(*columns, strict=True), strict=True):
        table.add_row(heading, *cells)
    return table
