"""OpenDialKG: human dialogues whose messages are tied to paths in a knowledge graph, and that graph's films.

Source: Moon et al., "OpenDialKG: Explainable Conversational Reasoning with Attention-based Walks over Knowledge
Graphs", ACL 2019; the files of its release. ``opendialkg.csv`` has one dialogue a row: a JSON list of chat messages and
of actions. An action's path leads from an entity of the message before to an entity of the sender's next message.
``opendialkg_triples.txt`` has one edge a line: subject, relation, object, divided by tabs.

The release tells no domain and no ids. A film is what somebody directed or starred in; a dialogue's id is the digest of
its row, so one dialogue has one id in whatever file it stands. The release has no split.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from harness.core.errors import DataError, InputError
from harness.core.messages import Dialogue, Item
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.datasets.rows import BadRows, RowError, numbered_lines
from simulator.datasets.turns import Said, recommendation_turns

TRIPLES = "opendialkg_triples.txt"
_MESSAGES = "Messages"
_GENRE, _DIRECTOR, _STAR, _YEAR = "has_genre", "directed_by", "starred_actors", "release_year"


class _Metadata(msgspec.Struct):
    path: tuple[float, list[tuple[str, str, str]], str] | None = None
    """Score, triples, the triples as a sentence."""


class _Step(msgspec.Struct):
    type: Literal["chat", "action"]
    sender: Literal["user", "assistant"]
    message: str = ""
    metadata: _Metadata | None = None


class OpenDialKGDataset:
    """``opendialkg.csv``, or a part of its rows, as a `Dataset`; read on first use. Dialogues have no labelled turns.

    The assistant recommends. A row that stands twice is one dialogue. Only dialogues that name a film are kept, since
    the release also speaks of books, music and sports.

    Args:
        path: the file.
        films: exact names of films, such as `KnowledgeGraph.ids_by_name`.
        skip_bad: most bad rows to accept; each is one dialogue that is left out.
    """

    def __init__(self, path: Path, *, films: Collection[str], skip_bad: int = 0) -> None:
        self._path = path
        self._films = films
        self._skip_bad = skip_bad

    def dialogues(self) -> Sequence[Dialogue]:
        """All dialogues about films in file order; `DataError` for bad rows beyond ``skip_bad`` or if none is left."""
        return self._read.dialogues

    @property
    def skipped(self) -> int:
        """Number of bad rows; each is one dialogue that is left out."""
        return self._read.skipped

    @cached_property
    def _read(self) -> _Reading:
        bad = BadRows(self._path, self._skip_bad)
        found: dict[str, Dialogue] = {}
        for number, cell in _cells(self._path):
            try:
                dialogue = self._dialogue(cell)
            except RowError as error:
                bad.add(number, error)
                continue
            if dialogue.mentions:
                found.setdefault(dialogue.id, dialogue)
        if not found:
            raise DataError(f"{self._path} holds no usable dialogue about films")
        return _Reading(tuple(found.values()), bad.count)

    def _dialogue(self, cell: str) -> Dialogue:
        try:
            steps = msgspec.json.decode(cell.encode("utf-8"), type=list[_Step])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise RowError(_MESSAGES, f"not a list of messages and actions: {error}") from error
        name = hashlib.sha256(cell.encode("utf-8")).hexdigest()[:16]
        said = self._said(steps)
        films = dict.fromkeys(film for message in said for film in message.items)
        return Dialogue(
            id=name, mentions=tuple(films), recommendations=recommendation_turns(name, said), utterances=len(said)
        )

    def _said(self, steps: list[_Step]) -> list[Said]:
        said: list[Said] = []
        coming: dict[str, list[str]] = defaultdict(list)
        for step in steps:
            if step.type == "action":
                triples = step.metadata.path[1] if step.metadata and step.metadata.path else []
                if triples:
                    if said:
                        said[-1] = self._with(said[-1], [triples[0][0]])
                    coming[step.sender].append(triples[-1][2])
            elif step.message.strip():
                speaker: Literal["recommender", "seeker"] = "recommender" if step.sender == "assistant" else "seeker"
                said.append(self._with(Said(speaker=speaker, text=step.message.strip()), coming.pop(step.sender, [])))
        return said

    def _with(self, message: Said, names: list[str]) -> Said:
        return message._replace(
            items=message.items + tuple(name for name in names if name in self._films),
            entities=message.entities + tuple(name for name in names if name not in self._films),
        )


class _Reading(NamedTuple):
    dialogues: tuple[Dialogue, ...]
    skipped: int


def load_opendialkg_graph(folder: Path) -> KnowledgeGraph:
    """The films of ``opendialkg_triples.txt``: what has a director or stars, with genres, people and year.

    An id is the name that the release gives. A film with several years has none here.

    Raises:
        InputError: the file cannot be read.
        DataError: a line is no triple, or there is no film.
    """
    path = folder / TRIPLES
    facts: dict[str, dict[str, dict[str, None]]] = {
        name: defaultdict(dict) for name in (_GENRE, _DIRECTOR, _STAR, _YEAR)
    }
    for number, line in numbered_lines(path):
        try:
            cells = line.decode("utf-8").split("\t")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{number}: not UTF-8 (byte {error.start + 1} of the line)") from error
        if len(cells) != 3:
            raise DataError(f"{path}:{number}: the line has {len(cells)} cells, a triple has 3")
        subject, relation, value = (cell.strip() for cell in cells)
        if relation in facts and subject and value:
            facts[relation][subject][value] = None
    films = dict.fromkeys((*facts[_DIRECTOR], *facts[_STAR]))
    if not films:
        raise DataError(f"{path} names no film: no line has the relation {_DIRECTOR} or {_STAR}")
    return KnowledgeGraph.merged(
        (
            Item(
                id=film,
                title=film,
                year=_year(facts[_YEAR].get(film, {})),
                genres=tuple(facts[_GENRE].get(film, ())),
                directors=tuple(facts[_DIRECTOR].get(film, ())),
                stars=tuple(facts[_STAR].get(film, ())),
            )
            for film in films
        ),
        names={film: film for film in films},
    )


def _year(written: Collection[str]) -> int | None:
    years = {int(year) for year in written if year.isascii() and year.isdigit() and len(year) == 4}
    return years.pop() if len(years) == 1 else None


def _cells(path: Path) -> Iterator[tuple[int, str]]:
    """The cells with dialogues, with the line on which each row ends."""
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise DataError(f"{path}: not UTF-8 (byte {error.start + 1})") from error
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    rows = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        header = next(rows, [])
        if _MESSAGES not in header:
            raise DataError(f"{path}:1:{_MESSAGES}: the column is missing")
        at = header.index(_MESSAGES)
        for row in rows:
            yield rows.line_num, row[at] if at < len(row) else ""
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: not CSV: {error}") from error
