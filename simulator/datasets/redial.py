"""ReDial: human recommendation dialogues without strategy labels, and the film knowledge graph built on it.

Source: Li et al., "Towards Deep Conversational Recommendations", NeurIPS 2018 (dialogues; one JSON object a line), and
the knowledge graph that later work joined to it from IMDb records (``kg.json`` and four files of names and numbers).
Dialogues give film mentions for goals and nothing to learn strategies from. Of the graph's facts, ``scary`` is left
out, which this graph adds to every horror film and to no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec

from harness.core.errors import DataError, InputError
from harness.core.messages import Dialogue, Item
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.datasets.rows import BadRows, RowError, numbered_lines
from simulator.datasets.turns import Said, recommendation_turns

T = TypeVar("T")

_NAME = re.compile(r"(.+?)\s*\(([0-9]{4})\)\s*")
_MENTION = re.compile("@([0-9]+)")
_RELATIONS = ("genre", "director", "star", "writer")
_ABSENT = -1
_NOT_GENRES = frozenset({"scary"})


class _Answers(msgspec.Struct):
    suggested: int = 0
    liked: int = 0


class _Message(msgspec.Struct):
    text: str
    senderWorkerId: int | None = None
    item: list[str] | None = None
    """Names of the films in the text; None in the first release, where the numbers in the text tell them."""
    entity: list[str] = []
    """Names of persons and genres in the text; only later releases have them."""


class _Conversation(msgspec.Struct):
    """The used fields of one line; where nobody answered, the release writes an empty list for a mapping."""

    conversationId: str
    messages: list[_Message]
    movieMentions: dict[str, str | None] | list[None]
    initiatorQuestions: dict[str, _Answers] | list[None]
    respondentWorkerId: int | None = None


class RedialDataset:
    """A ReDial file as a `Dataset`; read on first use. Dialogues have no labelled turns.

    In ``mentions``, suggested films that the seeker (the initiator) liked come first, then the others; each group has
    the order in which the messages name the films.

    Args:
        path: the file of dialogues, one of train, valid or test.
        skip_bad: most bad rows to accept; each is one dialogue that is left out.
    """

    def __init__(self, path: Path, *, skip_bad: int = 0) -> None:
        self._path = path
        self._skip_bad = skip_bad

    def dialogues(self) -> Sequence[Dialogue]:
        """All dialogues in file order; `DataError` for bad rows beyond ``skip_bad`` or where none is left."""
        return self._read.dialogues

    @property
    def skipped(self) -> int:
        """Number of bad rows; each is one dialogue that is left out."""
        return self._read.skipped

    @cached_property
    def _read(self) -> _Reading:
        bad = BadRows(self._path, self._skip_bad)
        found: dict[str, Dialogue] = {}
        for number, line in numbered_lines(self._path):
            try:
                dialogue = _dialogue(line)
                if dialogue.id in found:
                    raise RowError("conversationId", f"conversation {dialogue.id!a} occurs twice")
                found[dialogue.id] = dialogue
            except RowError as error:
                bad.add(number, error)
        if not found:
            raise DataError(f"{self._path} holds no usable dialogue")
        return _Reading(tuple(found.values()), bad.count)


class _Reading(NamedTuple):
    dialogues: tuple[Dialogue, ...]
    skipped: int


def _dialogue(line: bytes) -> Dialogue:
    try:
        row = msgspec.json.decode(line, type=_Conversation)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at `$.")
        raise RowError(at.rstrip("`") or 1, what) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        byte = re.search(r"\(byte ([0-9]+)\)", str(error))
        raise RowError(int(byte[1]) + 1 if byte else 1, f"not JSON: {error}") from error
    mentions = row.movieMentions if isinstance(row.movieMentions, dict) else {}
    answers = row.initiatorQuestions if isinstance(row.initiatorQuestions, dict) else {}
    named = [key for message in row.messages for key in _MENTION.findall(message.text) if key in mentions]
    order = dict.fromkeys((*named, *mentions))
    nobody = _Answers()

    def liked(key: str) -> bool:
        answer = answers.get(key, nobody)
        return answer.suggested == 1 and answer.liked == 1

    first = sorted(order, key=lambda key: not liked(key))
    names = (_film_name(mentions[key]) for key in first)
    return Dialogue(
        id=row.conversationId,
        mentions=tuple(dict.fromkeys(name for name in names if name)),
        recommendations=recommendation_turns(row.conversationId, _said(row, mentions)),
        utterances=len(row.messages),
    )


def _said(row: _Conversation, mentions: Mapping[str, str | None]) -> Iterator[Said]:
    """The messages with films by name. The respondent recommends; without senders nobody is known to."""
    for message in row.messages:
        by_number = [mentions.get(key) for key in _MENTION.findall(message.text)]
        films = (_film_name(name) for name in (by_number if message.item is None else message.item))
        yield Said(
            speaker="recommender" if message.senderWorkerId == row.respondentWorkerId else "seeker",
            text=_MENTION.sub(lambda match: _film_name(mentions.get(match[1])) or match[0], message.text),
            items=tuple(name for name in films if name),
            entities=tuple(message.entity),
        )


def _film_name(written: str | None) -> str:
    # Some names are written as in a web address (%3F for a question mark), some with doubled blanks, some are null.
    return " ".join(unquote(written or "").split())


class _Record(msgspec.Struct):
    """The used fields of one film in ``id2info.json``: its plot, the order of genres and the billing of people."""

    name: str
    genre: list[str]
    director: list[str]
    star: list[str]
    writer: list[str] = []
    plot: str | None = None


def load_redial_graph(folder: Path) -> KnowledgeGraph:
    """The knowledge graph of ReDial: the films of ``item_ids.json`` with their facts in ``kg.json``.

    Ids are ReDial's entity numbers. A film that is there with and without its year becomes one record
    (`KnowledgeGraph.merged`).

    Args:
        folder: the folder that holds the five files.

    Raises:
        InputError: a file cannot be read.
        DataError: a file does not fit the others.
    """
    entities = _decode(folder / "entity2id.json", dict[str, int])
    relations = _decode(folder / "relation2id.json", dict[str, int])
    item_ids = _decode(folder / "item_ids.json", list[int])
    edges = _decode(folder / "kg.json", dict[str, list[tuple[int, int]]])
    records = _decode(folder / "id2info.json", dict[str, _Record])
    names = {number: name for name, number in entities.items()}
    if len(names) != len(entities):
        raise DataError(f"{folder / 'entity2id.json'} gives one number to two names")
    wanted = {}
    for relation in _RELATIONS:
        if relation not in relations and relation != "writer":  # graphs without writers are in use
            raise DataError(f"{folder / 'relation2id.json'} has no relation {relation!r}")
        wanted[relation] = relations.get(relation, _ABSENT)
    by_name = {record.name: record for record in records.values()}
    if len(set(item_ids)) != len(item_ids):
        raise DataError(f"{folder / 'item_ids.json'} names an item twice")
    items = []
    for number in item_ids:
        name = names.get(number)
        if name is None:
            raise DataError(f"{folder / 'entity2id.json'} has no name for item {number} of item_ids.json")
        if str(number) not in edges:
            raise DataError(f"{folder / 'kg.json'} has no entry for item {number} ({name!a})")
        facts: dict[int, list[str]] = {relation: [] for relation in wanted.values()}
        for relation_number, target in edges[str(number)]:
            if target not in names:
                raise DataError(f"{folder / 'kg.json'}: item {number} points at entity {target}, which has no name")
            facts.setdefault(relation_number, []).append(names[target])
        items.append(_item(number, name, {key: facts[at] for key, at in wanted.items()}, by_name.get(name)))
    if not items:
        raise DataError(f"{folder / 'item_ids.json'} names no item")
    return KnowledgeGraph.merged(items)


def _item(number: int, name: str, facts: Mapping[str, list[str]], record: _Record | None) -> Item:
    named = _NAME.fullmatch(name)
    listed = (record.genre, record.director, record.star, record.writer) if record else ([], [], [], [])
    genres, directors, stars, writers = (
        tuple(sorted(set(facts[key]) - _NOT_GENRES, key=lambda value: (_place(value, order), value)))
        for key, order in zip(_RELATIONS, listed, strict=True)
    )
    return Item(
        id=str(number),
        title=named[1] if named else name,
        year=int(named[2]) if named else None,
        genres=genres,
        directors=directors,
        stars=stars,
        writers=writers,
        plot=" ".join((record.plot or "").split()) if record else "",
    )


def _place(value: str, order: list[str]) -> int:
    return order.index(value) if value in order else len(order)


def _decode(path: Path, type_: type[T]) -> T:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return msgspec.json.decode(content, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not in ReDial's layout: {error}") from error
