"""Rankings of films at recommendation turns: the protocol of a ranker, three floors, and where the targets stand.

The floors need no model: chance, popularity (how often the training turns recommend a film), and what was named before,
last first, then popularity. On human data the last one is strong, since people repeat titles; so every recall stands
beside them, and beside the same measure on targets that were not named before.

What it leaves out: intervals (``harness.app.evaluation.recommendation``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import DataError
from harness.core.messages import State
from harness.domain.entities import Entities, LinkedTurn
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.splits import Part

Scores = NDArray[np.floating]
Values = NDArray[np.float64]

CUTOFF = 50
"""MRR and NDCG count the first 50 places, as the literature does."""
RECALLS = (1, 5, 10, 50)
MEASURES = (*(f"recall_{k}" for k in RECALLS), "mrr", "ndcg")
"""Names of the measures of `gains`."""


class Query(NamedTuple):
    """What a ranker sees. The targets are no part of it."""

    state: State
    """The dialogue before the turn."""
    context: tuple[int, ...]
    """Nodes named in it, by first mention."""


class Ranker(Protocol):
    """Anything that ranks films."""

    def rank(self, queries: Sequence[Query]) -> Scores:
        """Score every film for every query; the scores of one query do not depend on the others.

        Args:
            queries: Q of them.

        Returns:
            (Q, films) scores in the order of `Entities.item_ids`; higher is better, equal ones are tied.
        """
        ...


class Chance:
    """All films are tied."""

    def __init__(self, entities: Entities) -> None:
        self._films = len(entities.item_ids)

    def rank(self, queries: Sequence[Query]) -> Scores:
        return np.zeros((len(queries), self._films), dtype=np.float32)


class Popularity:
    """How often each film is recommended in the training turns; the same ranking everywhere.

    Args:
        training: the turns to count. Turns that are measured must not be among them.
        entities: the graph's nodes.
    """

    def __init__(self, training: Iterable[LinkedTurn], entities: Entities) -> None:
        self.counts = np.zeros(len(entities.item_ids), dtype=np.float32)
        for turn in training:
            self.counts[list(turn.targets)] += 1.0

    def rank(self, queries: Sequence[Query]) -> Scores:
        return np.tile(self.counts, (len(queries), 1))


class RepeatThenPopularity(Popularity):
    """What was named before, last first; then the others by popularity."""

    def rank(self, queries: Sequence[Query]) -> Scores:
        scores = super().rank(queries)
        above = float(self.counts.max()) + 1.0
        for row, query in zip(scores, queries, strict=True):
            named = [node for node in query.context if node < len(self.counts)]
            row[named] = above + np.arange(len(named))
        return scores


Fit = Callable[[Part], Ranker]
"""A part's training turns (and its tuning turns, if wanted) -> a ranker."""


def floors(entities: Entities) -> dict[str, Fit]:
    """What needs no model, by the names that tables show."""
    return {
        "chance": lambda part: Chance(entities),
        "popularity": lambda part: Popularity(part.training, entities),
        "repeat, then popularity": lambda part: RepeatThenPopularity(part.training, entities),
    }


def query_of(state: State, graph: KnowledgeGraph, entities: Entities) -> Query:
    """What a ranker sees of a conversation that is played: the nodes that its texts name.

    Args:
        state: the dialogue so far.
        graph: reads the texts for films, genres, persons and decades.
        entities: the nodes of the same graph.
    """
    nodes: dict[int, None] = {}

    def hear(text: str, pointed_at: frozenset[str] = frozenset()) -> None:
        nodes.update(dict.fromkeys(entities.of_items(graph.titles.named(text, pointed_at=pointed_at))))
        nodes.update(dict.fromkeys(entities.of_attributes(graph.attributes_in(text))))

    hear(state.opening)
    for turn in state.turns:
        hear(turn.response, frozenset(graph.kept(turn.recommended)))
        hear(turn.reply)
    return Query(state, tuple(nodes))


class Placed(NamedTuple):
    """Where a ranker puts the targets: one entry a target, in the order of the turns."""

    above: NDArray[np.int64]
    """Films with a higher score."""
    tied: NDArray[np.int64]
    """Films with the same score, the target among them."""
    new: NDArray[np.bool_]
    """Whether the target was not named before."""
    dialogues: tuple[str, ...]
    films: int
    """Films that were ranked."""


def placed(ranker: Ranker, turns: Sequence[LinkedTurn], batch: int = 128) -> Placed:
    """Rank the films at each turn and look where its targets stand.

    Args:
        ranker: a model or a floor.
        turns: the turns to measure.
        batch: turns that are given to the ranker at once.

    Raises:
        DataError: a score is not a number.
    """
    above: list[int] = []
    tied: list[int] = []
    films = 0
    for start in range(0, len(turns), batch):
        some = turns[start : start + batch]
        scores = ranker.rank([Query(turn.turn.state, turn.context) for turn in some])
        if not np.isfinite(scores).all():
            raise DataError(f"{type(ranker).__name__} gives a score that is not a number: nothing is ranked by it")
        films = scores.shape[1]
        for turn, row in zip(some, scores, strict=True):
            for target in turn.targets:
                above.append(int((row > row[target]).sum()))
                tied.append(int((row == row[target]).sum()))
    return Placed(
        above=np.array(above, dtype=np.int64),
        tied=np.array(tied, dtype=np.int64),
        new=np.array([target not in turn.context for turn in turns for target in turn.targets], dtype=np.bool_),
        dialogues=tuple(turn.dialogue for turn in turns for _ in turn.targets),
        films=films,
    )


def placed_over(fit: Fit, parts: Sequence[Part]) -> Placed:
    """The targets of all test parts, each ranked by what was fitted to its own part."""
    return joined([placed(fit(part), part.test) for part in parts])


def joined(found: Sequence[Placed]) -> Placed:
    """The targets of several measurements over the same films as one."""
    return Placed(
        above=np.concatenate([one.above for one in found]),
        tied=np.concatenate([one.tied for one in found]),
        new=np.concatenate([one.new for one in found]),
        dialogues=tuple(name for one in found for name in one.dialogues),
        films=found[0].films,
    )


def gains(where: Placed, power: int = 1) -> dict[str, Values]:
    """R@1, R@5, R@10, R@50, MRR and NDCG of every target by itself, by the names in `MEASURES`.

    Each target is one example with one right film, as in the literature: NDCG is 1 / log2(1 + rank), MRR is 1 / rank,
    both 0 beyond place 50. Among tied films every order is as likely, and the expected value is taken.

    Args:
        where: the targets' places.
        power: 2 gives the expected squares.
    """
    places = np.arange(1, where.films + 1, dtype=np.float64)
    counted = places <= CUTOFF
    worth = {f"recall_{k}": (places <= k).astype(np.float64) for k in RECALLS}
    worth |= {"mrr": counted / places, "ndcg": counted / np.log2(1.0 + places)}
    found = {}
    for name, value in worth.items():
        sums = np.concatenate([[0.0], np.cumsum(value**power)])
        found[name] = (sums[where.above + where.tied] - sums[where.above]) / where.tied
    return found
