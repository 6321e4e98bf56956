"""The Fact Retriever (C2, Eq. 4): items that fit the preferences and their facts in the knowledge graph.

Two rankings (``network.retriever``):

- ``embedding``: Eq. 4 as written. The wishes are embedded, and the nearest items of the entity index are the answer.
- ``attributes``: the nearest items and those that have an attribute (genre, person, decade) which the wishes name are
  ranked by

      share of the named attributes that the item has + closeness to films named as models + a little cosine
      - avoided attributes - offered before.

  The share counts most: cosine alone cannot tell a film with Al Pacino from one with a like name. Films that were
  recommended earlier and left behind come after fresh ones that fit as well. The item on the table (the latest
  recommendation) keeps its place, so that the actor can go on talking about it while it fits.

In both, films that the seeker has refused or seen come last of all: by the seeker's own words (``experts.refusals``,
the same for every system), or where the preferences name them under Avoids or Seen. What a query wishes for is read in
``experts.wishes``.

Each query is a pure function of state and preferences; a batch only shares the trip to the worker thread. Left out:
how vectors are made, stored and searched (``experts.entity_index``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experts.entity_index import Embed, EntityIndex, Vectors
from experts.wishes import QueryRule, RetrieverQuery, Wishes, WishReader
from harness.core.errors import ExpertError
from harness.core.messages import Attribute, Evidence, State
from harness.domain.knowledge_graph import KnowledgeGraph

Ranking = Literal["attributes", "embedding"]

RANKED = 10
_NEAREST = 50
# Items by embedding alone; a film that no named attribute links must be close to be worth ranking.
_CACHED_QUERIES = 4_096
# Wishes repeat across turns; 4,096 unit vectors are 6 MB.
_MANY_ITEMS = 2_000
# Up to here a batch of 64 with known texts takes 6 (200 items) to 25 ms (1,500).

_COSINE = 0.3
# Cosines of short texts differ by some tenths. With this factor that stays below the 1/3 of one attribute in three.
_MODEL_FILM = 0.5
_OFFERED = 0.3
_RULED_OUT = 100.0


class FactRetriever:
    """Searches one graph.

    Args:
        graph: the items and their facts.
        index: the vectors of the same items in the same order.
        embed: text -> unit vector (H,), by the encoder that the index was built with.
        candidates: K, the number of items offered to the actor.
        ranked: the number of items in a ranking, at least K.
        ranking: how the items are ranked.
        query: which words serve where a query has no preferences.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        index: EntityIndex,
        embed: Embed,
        *,
        candidates: int,
        ranked: int = RANKED,
        ranking: Ranking,
        query: QueryRule,
    ) -> None:
        if index.ids != tuple(item.id for item in graph.items):
            raise ValueError("the entity index and the knowledge graph hold different items")
        self._graph = graph
        self._index = index
        self._candidates = candidates
        self._length = max(ranked, candidates)
        self._ranked = self._by_embedding if ranking == "embedding" else self._by_attributes
        self._wishes = WishReader(graph, query)
        self._row = {item_id: row for row, item_id in enumerate(index.ids)}
        self._embed = embed
        # Every access is one atomic step of dict, so threads may share it; at worst a text is embedded twice.
        self._vectors: dict[str, Vectors] = {}
        self._rows_with = lru_cache(maxsize=None)(self._find_rows_with)

    def retrieve(self, batch: Sequence[RetrieverQuery]) -> tuple[Evidence | ExpertError, ...]:
        """Rank the items for each query (Eq. 4); call it in a worker thread where it `blocks`.

        Returns:
            For each query, in order, the ranking and the facts of the first K items, or the error of that query.
        """
        return tuple(self._retrieve(query) for query in batch)

    def blocks(self, batch: Sequence[RetrieverQuery]) -> bool:
        """Whether `retrieve` would block the event loop, by running the encoder or by scoring very many items."""
        many = len(self._index.ids) > _MANY_ITEMS
        return many or any(self._wishes.text(query) not in self._vectors for query in batch)

    def _retrieve(self, query: RetrieverQuery) -> Evidence | ExpertError:
        wishes = self._wishes.read(query)
        vector = self._embedded(wishes.text)
        if not np.isfinite(vector).all():
            return ExpertError(f"the encoder gives no finite vector for the query of turn {query.state.turn}")
        best = self._ranked(wishes, vector, query.state)[: self._length]

        ranking = tuple(self._index.ids[row] for row in best)
        candidates = tuple(self._graph.item(item_id) for item_id in ranking[: self._candidates])
        facts = tuple(fact for item in candidates for fact in self._graph.facts(item.id))
        return Evidence(ranking=ranking, candidates=candidates, facts=facts)

    def _by_embedding(self, wishes: Wishes, vector: Vectors, state: State) -> NDArray[np.intp]:
        """Rows by cosine alone, best first; those of films that are out come last."""
        nearest = self._index.nearest(vector, self._length + len(wishes.out))
        gone = np.isin(nearest, self._rows(wishes.out))
        return np.concatenate((nearest[~gone], nearest[gone]))

    def _by_attributes(self, wishes: Wishes, vector: Vectors, state: State) -> NDArray[np.intp]:
        """Rows by the sum of the module's docstring, best first."""
        named = self._graph.attributes_in(wishes.named)
        avoided = [a for a in self._graph.attributes_in(wishes.avoided) if a not in named]
        share = self._count(named) / max(len(named), 1)
        ranked = share > 0.0
        ranked[self._index.nearest(vector, _NEAREST)] = True
        rows = np.flatnonzero(ranked)
        scores = share
        for model in wishes.models:
            # The attributes of a film named as a model; its title in the wishes also moves the query's vector to it.
            alike = self._graph.attributes(model)
            scores = scores + _MODEL_FILM * self._count(alike) / max(len(alike), 1) / len(wishes.models)
        scores = scores - self._count(avoided)
        scores[self._rows(_left_behind(state))] -= _OFFERED
        scores[self._rows(wishes.out)] -= _RULED_OUT
        fitted = scores[rows] + _COSINE * self._index.cosines(vector, rows).astype(np.float64)
        return rows[np.argsort(-fitted, kind="stable")]

    def _embedded(self, text: str) -> Vectors:
        vector = self._vectors.get(text)
        if vector is None:
            vector = self._embed(text)
            if len(self._vectors) >= _CACHED_QUERIES:
                self._vectors.clear()
            self._vectors[text] = vector
        return vector

    def _count(self, attributes: Iterable[Attribute]) -> NDArray[np.float64]:
        """(N,): how many of the attributes each item has."""
        counts = np.zeros(len(self._index.ids))
        # The order of a set differs from process to process; a sum of ones does not depend on it.
        for attribute in attributes:
            counts[self._rows_with(attribute)] += 1.0
        return counts

    def _find_rows_with(self, attribute: Attribute) -> NDArray[np.intp]:
        return self._rows(self._graph.covering((attribute,)))

    def _rows(self, item_ids: Iterable[str]) -> NDArray[np.intp]:
        return np.array([self._row[item_id] for item_id in item_ids if item_id in self._row], dtype=np.intp)


def _left_behind(state: State) -> set[str]:
    """Items recommended in earlier turns that are no longer on the table."""
    return {item_id for turn in state.turns for item_id in turn.recommended} - state.discussed
