"""The knowledge graph of films: facts by item, items by attribute, and what a text names.

A graph is a set of `Item` records; its edges are (item, relation, value) with the relations genre, director, writer,
star, year and plot. The same graph serves the fact retriever (Eq. 4), the drawing of goals, the metrics, and the
scripted world's reading of texts. It never changes after it was built. Writers and plots are facts, but no attributes:
no goal asks for them. What it leaves out: when a text names a film (``harness.domain.titles``), embeddings and ranking
(``experts.fact_retriever``), the layout of dataset files (``simulator.datasets``).
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from harness.core.errors import DataError, InputError
from harness.core.messages import Attribute, Fact, Item, Struct
from harness.domain.same_films import merge_same_films
from harness.domain.titles import TitleIndex

T = TypeVar("T")

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_DECADE = re.compile(r"\b(?:19|20)?([0-9])0['’]?s\b")
_GENRE_WORDS = {
    "sci-fi": ("science fiction", "scifi"),
    "romance": ("romantic", "romances", "love story", "love stories"),
    "comedy": ("comedies", "comedic"),
    "animation": ("animated", "animations", "cartoon"),
    "mystery": ("mysteries",),
    "biography": ("biographies", "biopic", "biographical"),
    "documentary": ("documentaries",),
    "history": ("historical",),
    "musical": ("musicals",),
    "film-noir": ("noir",),
}
"""How people write genres beyond the word itself and its plural."""


PLOT_CHARACTERS = 240
"""Most characters of a plot in a fact or a prompt; nine of ten plots of ReDial's graph have fewer."""


class GraphFile(Struct, frozen=True, kw_only=True):
    """The JSON layout of a graph on disk."""

    items: tuple[Item, ...]


def decade(year: int) -> str:
    """1994 -> ``1990s``."""
    return f"{year // 10 * 10}s"


def shortened_plot(item: Item) -> str:
    """The plot in at most `PLOT_CHARACTERS` on one line, cut after a whole word; empty without one."""
    plot = " ".join(item.plot.split())
    if len(plot) <= PLOT_CHARACTERS:
        return plot
    return plot[: PLOT_CHARACTERS - 3].rsplit(" ", 1)[0].rstrip(" .,;:") + "..."


class KnowledgeGraph:
    """Facts about films. Immutable; look-ups are dictionary reads, text scans are linear in the text."""

    def __init__(self, items: Iterable[Item], aliases: Mapping[str, str] | None = None) -> None:
        self.items = tuple(items)
        self._by_id = {item.id: item for item in self.items}
        if len(self._by_id) != len(self.items):
            raise DataError("the knowledge graph has two items with one id")
        self.aliases = dict(aliases or {})
        """Ids of records that were merged into another of the same film -> its id; both name the film everywhere."""
        self.by_id = self._by_id | {old: self._by_id[kept] for old, kept in self.aliases.items()}
        """Every known id, merged ones too -> the film."""
        self.ids_by_name = {item.name: item.id for item in reversed(self.items)}
        """Exact name (`Item.name`) -> id of the film, the first of two; names of merged records too."""
        self.titles = TitleIndex(self.items)
        """Reads texts for the films that they name."""
        self.notes: tuple[str, ...] = ()
        """What was mended when the records were read, one sentence each."""
        self._attributes = {item.id: frozenset(_attributes(item)) for item in self.items}
        self._facts: dict[str, tuple[Fact, ...]] = {}  # filled on request: most items are never asked for
        self._covered_by: dict[Attribute, set[str]] = defaultdict(set)
        for item in self.items:
            for attribute in self._attributes[item.id]:
                self._covered_by[attribute].add(item.id)
        self._entities = _Phrases[Attribute]()
        for attribute in self._covered_by:
            for phrase in _phrases(attribute):
                self._entities.add(phrase, attribute)

    @classmethod
    def from_items(cls, items: Iterable[Item]) -> KnowledgeGraph:
        """A graph of these items, in this order."""
        return cls(items)

    @classmethod
    def merged(cls, items: Iterable[Item], names: Mapping[str, str] | None = None) -> KnowledgeGraph:
        """A graph with one record for each film (`merge_same_films`); ids of merged records still find their film.

        Args:
            items: the records.
            names: exact names beyond `Item.name`, such as a corpus writes them -> ids.
        """
        items = tuple(items)
        found = merge_same_films(items)
        graph = cls(found.items, found.aliases)
        for item in items:
            graph.ids_by_name.setdefault(item.name, graph.by_id[item.id].id)
        for name, item_id in (names or {}).items():
            graph.ids_by_name.setdefault(name, graph.by_id[item_id].id)
        if found.aliases or found.apart:
            graph.notes = (
                f"{len(found.aliases)} records were merged into others of the same films (same title, year equal or "
                f"missing, same people); {len(found.apart)} without a year were kept apart from films of their title",
            )
        return graph

    @classmethod
    def load(cls, path: Path) -> KnowledgeGraph:
        """Read ``{"items": [...]}``; `InputError` where the file is missing, `DataError` where it is no graph."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read the knowledge graph {path}: {error.strerror}") from error
        try:
            graph = cls.merged(msgspec.json.decode(content, type=GraphFile).items)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{path} is not a knowledge graph: {error}") from error
        if not graph.items:
            raise DataError(f"the knowledge graph {path} holds no items")
        return graph

    @property
    def sha256(self) -> str:
        """Digest of all facts, by which caches of this graph are keyed."""
        return hashlib.sha256(msgspec.json.encode(GraphFile(items=self.items))).hexdigest()

    def item(self, item_id: str) -> Item:
        """The item with this id, or the item into which that record was merged; KeyError for an unknown id."""
        return self.by_id[item_id]

    def __contains__(self, item_id: object) -> bool:
        return item_id in self.by_id

    def kept(self, item_ids: Iterable[str]) -> tuple[str, ...]:
        """The ids without repeats. The id of a merged record is replaced by its film's; unknown ids stay."""
        return tuple(dict.fromkeys(self.aliases.get(item_id, item_id) for item_id in item_ids))

    def attributes(self, item_id: str) -> frozenset[Attribute]:
        """Genres, persons (directors and stars) and decade of an item."""
        return self._attributes[self.aliases.get(item_id, item_id)]

    def covering(self, attributes: Iterable[Attribute]) -> tuple[str, ...]:
        """Ids of all items that have every one of the attributes, in graph order; all items for none."""
        sets = [self._covered_by.get(attribute, set()) for attribute in attributes]
        if not sets:
            return tuple(self._by_id)
        found = set.intersection(*sets)
        return tuple(item_id for item_id in self._by_id if item_id in found)

    def facts(self, item_id: str) -> tuple[Fact, ...]:
        """All edges of an item."""
        known = self._facts.get(item_id)
        if known is None:
            known = self._facts[item_id] = tuple(_facts(self.by_id[item_id]))
        return known

    def find(self, name: str) -> str | None:
        """The id of the item that a reference outside of running text names, such as a dataset's column.

        None where no item fits; the rule is `TitleIndex.find`.
        """
        item = self.titles.find(name)
        return item.id if item else None

    def listed(self, entries: Iterable[str]) -> tuple[str, ...]:
        """Ids of the items in a list: an entry is a film's whole name, or else gives the films that its words name."""
        found: list[str] = []
        for entry in entries:
            item_id = self.find(entry)
            found += self.titles.named(entry) if item_id is None else (item_id,)
        return tuple(dict.fromkeys(found))

    def titles_in(self, text: str) -> tuple[str, ...]:
        """Ids of the items that a text names by the rule of ``harness.domain.titles``, in order, without repeats."""
        return self.titles.named(text)

    def attributes_in(self, text: str) -> tuple[Attribute, ...]:
        """Genres, full names of persons and decades that a text names, in order, without repeats."""
        words = list(_WORD.finditer(text))
        hits: list[tuple[int, Attribute]] = []
        at = 0
        while at < len(words):
            attribute, length = self._entities.longest(words, at)
            if attribute is not None:
                hits.append((words[at].start(), attribute))
            at += max(length, 1)
        for match in _DECADE.finditer(text):
            century = match[0][:2] if match[0][:2] in ("19", "20") and len(match[0]) > 4 else None
            century = century or ("20" if match[1] in "01" else "19")
            hits.append((match.start(), Attribute(kind="decade", value=f"{century}{match[1]}0s")))
        ordered = (attribute for _, attribute in sorted(hits, key=lambda hit: hit[0]) if attribute in self._covered_by)
        return tuple(dict.fromkeys(ordered))


def _facts(item: Item) -> Iterator[Fact]:
    edges = (
        ("year", () if item.year is None else (str(item.year),)),
        ("genre", item.genres),
        ("director", item.directors),
        ("writer", item.writers),
        ("star", item.stars),
        ("plot", tuple(filter(None, (shortened_plot(item),)))),
    )
    for name, values in edges:
        for value in values:
            yield Fact(item=item.id, relation=name, value=value)


def _attributes(item: Item) -> Iterator[Attribute]:
    for genre in item.genres:
        yield Attribute(kind="genre", value=genre)
    for person in (*item.directors, *item.stars):
        yield Attribute(kind="person", value=person)
    if item.year is not None:
        yield Attribute(kind="decade", value=decade(item.year))


def _phrases(attribute: Attribute) -> Iterator[str]:
    if attribute.kind == "decade":
        return  # people write decades in too many ways for a dictionary: _DECADE finds them
    yield attribute.value
    if attribute.kind == "genre":
        yield f"{attribute.value}s"
        yield from _GENRE_WORDS.get(attribute.value, ())


def _key(text: str) -> str:
    return " ".join(word.lower() for word in _WORD.findall(text))


class _Phrases(Generic[T]):
    """Phrases -> values, found in running text by longest match."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, ...], T] = {}
        self._lengths: dict[str, int] = {}

    def add(self, phrase: str, value: T) -> None:
        words = tuple(_key(phrase).split())
        if words:
            self._values.setdefault(words, value)
            self._lengths[words[0]] = max(self._lengths.get(words[0], 0), len(words))

    def longest(self, words: list[re.Match[str]], at: int) -> tuple[T | None, int]:
        """The value of the longest phrase that starts at a word, and its number of words; (None, 1) if none."""
        longest = self._lengths.get(words[at][0].lower(), 0)
        key = tuple(word[0].lower() for word in words[at : at + longest])
        for length in range(len(key), 0, -1):
            value = self._values.get(key[:length])
            if value is not None:
                return value, length
        return None, 1
