"""The knowledge graph as numbers: nodes 0, 1, ... and typed edges, for models that embed entities.

Nodes are the films in graph order, then genres, persons and decades in order of first appearance. An edge goes from a
film to a value. A name is linked if it is exactly a name of the graph, and never by likeness: a wrong link teaches a
wrong film, a missing one only costs an example.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from harness.core.messages import Attribute, Dialogue, Item, RecommendationTurn
from harness.domain.knowledge_graph import KnowledgeGraph, decade

RELATIONS = ("genre", "director", "star", "decade")
"""Edge types, film -> value."""


class Entities:
    """Integer nodes of a graph and their typed edges; immutable.

    A genre, a person and a decade of one name are three nodes. A film's name is looked up before them.
    """

    def __init__(self, graph: KnowledgeGraph) -> None:
        self.item_ids = tuple(item.id for item in graph.items)
        """Ids of the films; a film's node is its place here."""
        nodes: dict[Attribute, int] = {}
        edges: dict[str, list[tuple[int, int]]] = {relation: [] for relation in RELATIONS}
        for film, item in enumerate(graph.items):
            for relation, attribute in _edges(item):
                value = nodes.setdefault(attribute, len(self.item_ids) + len(nodes))
                edges[relation].append((film, value))
        self.attributes = tuple(nodes)
        """What the nodes after the films stand for: node ``len(item_ids) + i`` is ``attributes[i]``."""
        self.edges = {relation: tuple(pairs) for relation, pairs in edges.items()}
        """Relation -> (film node, value node) pairs in graph order."""
        self._of_item = {item_id: node for node, item_id in enumerate(self.item_ids)}
        self._of_item |= {old: self._of_item[kept] for old, kept in graph.aliases.items()}
        self._of_attribute = nodes
        self._films = {name: self._of_item[item_id] for name, item_id in graph.ids_by_name.items()}
        self._values: dict[str, int] = {}
        for attribute, node in nodes.items():
            self._values.setdefault(attribute.value, node)

    def __len__(self) -> int:
        return len(self.item_ids) + len(self.attributes)

    def film(self, name: str) -> int | None:
        """The film node with exactly this name; None where the graph has no such film."""
        return self._films.get(name)

    def node(self, name: str) -> int | None:
        """The node with exactly this name, a film first; None where the graph has none."""
        found = self._films.get(name)
        return self._values.get(name) if found is None else found

    def of_items(self, item_ids: Iterable[str]) -> tuple[int, ...]:
        """Nodes of film ids (merged ones too) in order, without repeats; unknown ids are left out."""
        return tuple(dict.fromkeys(self._of_item[item_id] for item_id in item_ids if item_id in self._of_item))

    def of_attributes(self, attributes: Iterable[Attribute]) -> tuple[int, ...]:
        """Nodes of attributes in order, without repeats; unknown ones are left out."""
        return tuple(dict.fromkeys(self._of_attribute[a] for a in attributes if a in self._of_attribute))


class LinkedTurn(NamedTuple):
    """A recommendation turn with nodes in place of names."""

    dialogue: str
    turn: RecommendationTurn
    context: tuple[int, ...]
    """Nodes named before the turn, by first mention; never empty."""
    targets: tuple[int, ...]
    """Film nodes that the turn names; never empty."""

    @property
    def new(self) -> tuple[int, ...]:
        """The targets that were not named before."""
        return tuple(target for target in self.targets if target not in self.context)


def linked_turns(dialogues: Iterable[Dialogue], entities: Entities) -> tuple[LinkedTurn, ...]:
    """The recommendation turns whose context and targets the graph knows.

    A turn is left out where the graph knows none of its films, or nothing that was named before: there a ranking has
    nothing to rest on (so counts the literature, too: Zhou et al., "Improving Conversational Recommender Systems via
    Knowledge Graph based Semantic Fusion", KDD 2020, and its successors).
    """
    found = []
    for dialogue in dialogues:
        for turn in dialogue.recommendations:
            context = _known(entities.node(name) for name in turn.named)
            targets = _known(entities.film(name) for name in turn.items)
            if context and targets:
                found.append(LinkedTurn(dialogue.id, turn, context, targets))
    return tuple(found)


def _known(nodes: Iterable[int | None]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(node for node in nodes if node is not None))


def _edges(item: Item) -> Iterable[tuple[str, Attribute]]:
    for genre in item.genres:
        yield "genre", Attribute(kind="genre", value=genre)
    for director in item.directors:
        yield "director", Attribute(kind="person", value=director)
    for star in item.stars:
        yield "star", Attribute(kind="person", value=star)
    if item.year is not None:
        yield "decade", Attribute(kind="decade", value=decade(item.year))
