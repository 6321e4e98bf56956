"""Files of human dialogues and their film graph, as the recommendation commands take them: told apart by their names.

``.jsonl`` is ReDial, ``.tsv`` INSPIRED, ``.csv`` OpenDialKG. A dialogue that stands in two files is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.app.setup.sources import graph_in
from harness.core.errors import InputError
from harness.core.messages import Dialogue
from harness.domain.entities import Entities, LinkedTurn, linked_turns
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.splits import refuse_shared
from harness.domain.strategies import strategy_set
from simulator.datasets.inspired import InspiredDataset
from simulator.datasets.opendialkg import TRIPLES, OpenDialKGDataset, load_opendialkg_graph
from simulator.datasets.redial import RedialDataset, load_redial_graph


class Corpus(NamedTuple):
    """The linked recommendation turns of some files."""

    turns: tuple[LinkedTurn, ...]
    notes: tuple[str, ...]
    """What was read and what could not be linked, one sentence each."""


def graph_at(path: Path | None, files: Sequence[Path], skip_bad: int = 0) -> KnowledgeGraph:
    """The films: a JSON graph, INSPIRED's film table, or a folder of ReDial or OpenDialKG (default: the first file's).

    Raises:
        InputError: there is no graph, or it cannot be read.
    """
    folder = path or files[0].parent
    if folder.is_dir() and (folder / TRIPLES).is_file():
        return load_opendialkg_graph(folder)
    if folder.is_dir() and (folder / "kg.json").is_file():
        return load_redial_graph(folder)
    if path is None or path.is_dir():
        raise InputError(
            f"{folder} holds no film graph (neither kg.json nor {TRIPLES}): name one by --graph, a folder of ReDial or "
            "OpenDialKG, INSPIRED's movie_database.tsv, or a JSON file"
        )
    return graph_in(path, skip_bad)


def read_corpora(
    groups: Sequence[Sequence[Path]], graph: KnowledgeGraph, entities: Entities, skip_bad: int
) -> tuple[Corpus, ...]:
    """The turns of each group of files, such as those to train on and those to measure on.

    Raises:
        InputError: a file cannot be read, its kind is unknown, or its rows are bad beyond ``skip_bad`` a file.
        DataError: a dialogue stands in two files.
    """
    read: dict[str, Sequence[Dialogue]] = {}
    skipped: dict[str, int] = {}
    for path in (path for group in groups for path in group):
        if str(path) in read:
            raise InputError(f"{path} is named twice")
        corpus = _dataset(path, graph, skip_bad)
        read[str(path)] = corpus.dialogues()
        skipped[str(path)] = corpus.skipped
    refuse_shared(read)
    return tuple(
        _linked(
            [dialogue for path in group for dialogue in read[str(path)]],
            ", ".join(str(path) for path in group),
            sum(skipped[str(path)] for path in group),
            entities,
        )
        for group in groups
    )


def _dataset(path: Path, graph: KnowledgeGraph, skip_bad: int) -> RedialDataset | InspiredDataset | OpenDialKGDataset:
    if path.suffix == ".jsonl":
        return RedialDataset(path, skip_bad=skip_bad)
    if path.suffix == ".tsv":
        # The wider label set: labels do not matter here, but a foreign one is a damaged row.
        return InspiredDataset(path, strategies=strategy_set("inspired14"), skip_bad=skip_bad)
    if path.suffix == ".csv":
        return OpenDialKGDataset(path, films=graph.ids_by_name, skip_bad=skip_bad)
    raise InputError(f"{path}: dialogues end in .jsonl (ReDial), .tsv (INSPIRED) or .csv (OpenDialKG)")


def _linked(dialogues: Sequence[Dialogue], name: str, skipped: int, entities: Entities) -> Corpus:
    turns = linked_turns(dialogues, entities)
    said = [turn for dialogue in dialogues for turn in dialogue.recommendations]
    films = [film for turn in said for film in turn.items]
    strange = [film for film in films if entities.film(film) is None]
    targets = sum(len(turn.targets) for turn in turns)
    named = targets - sum(len(turn.new) for turn in turns)
    if not turns:
        raise InputError(
            f"{name}: none of its {len(said)} recommendation turns has a film and something named before that the "
            "graph knows"
        )
    notes = [
        f"{name}: {len(turns)} recommendation turns of {len({turn.dialogue for turn in turns})} dialogues, "
        f"{targets} targets, {named / targets:.1%} of them named before",
        f"left out: {len(said) - len(turns)} of {len(said)} turns, with no known film or nothing known before; "
        f"{len(strange)} of {len(films)} films have no exact name in the graph"
        + (f", such as {strange[0]!a}" if strange else ""),
    ]
    if skipped:
        notes.append(f"{skipped} bad rows were skipped with their dialogues")
    return Corpus(turns, tuple(notes))
