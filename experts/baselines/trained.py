"""A recommender that was trained on human dialogues, at the table: UniCRS, BARCOR, or anything that ranks and writes.

It sees the dialogue and the nodes that its texts name, and nothing of the goal. The ranking is the system's own. The
message is, by choice, its own sentence with slots, filled from the ranking; what the run's actor says about the first
films; or one fixed sentence. A film that was recommended in this conversation is not put into a message again: the
ranking still holds it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import numpy as np

from experts.actor import Actor
from harness.core.messages import Item, RecommenderTurn, State, Struct
from harness.core.sections import one_line
from harness.domain.entities import Entities
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.ranking import Query, Scores, query_of
from harness.domain.titles import spoken_name

Text = Literal["template", "actor", "said"]
SAID = "I recommend {item}."
NOTHING = "What else do you like?"
"""Said where every film was recommended already."""


class Trained(Protocol):
    """What stands behind it."""

    def rank(self, queries: Sequence[Query]) -> Scores:
        """(Q, films) scores, higher is better."""
        ...

    def write(self, query: Query) -> str:
        """A message with slots in place of films."""
        ...


class Answer(Struct, frozen=True, kw_only=True):
    """A system's answer at one turn."""

    ranking: tuple[int, ...]
    """Film nodes, best first."""
    text: str = ""
    """With slots; empty where no text was asked for."""


def answer(system: Trained, query: Query, *, writes: bool) -> Answer:
    """Ask a system; it blocks. Equal scores stand in graph order."""
    order = np.argsort(-system.rank([query])[0], kind="stable")
    return Answer(ranking=tuple(int(node) for node in order), text=system.write(query) if writes else "")


class TrainedCRS:
    """A `Recommender`.

    Args:
        ask: `answer` of the system, in a worker.
        graph: the films.
        entities: the nodes of the same graph.
        slot: what stands for a film in the system's sentences.
        ranked: films of the ranking that a turn keeps.
        candidates: films that the actor may speak of.
        text: how messages are made.
        actor: of ``text = "actor"``.
    """

    def __init__(
        self,
        ask: Callable[[Query], Awaitable[Answer]],
        graph: KnowledgeGraph,
        entities: Entities,
        *,
        slot: str,
        ranked: int,
        candidates: int,
        text: Text = "template",
        actor: Actor | None = None,
    ) -> None:
        if (text == "actor") != (actor is not None):
            raise ValueError("an actor speaks exactly where the text is the actor's")
        self._ask = ask
        self._graph = graph
        self._entities = entities
        self._slot = slot
        self._ranked = ranked
        self._candidates = candidates
        self._text = text
        self._actor = actor

    async def respond(self, state: State) -> RecommenderTurn:
        found = await self._ask(query_of(state, self._graph, self._entities))
        ids = [self._entities.item_ids[node] for node in found.ranking]
        before = set(self._graph.kept(item for turn in state.turns for item in turn.recommended))
        fresh = [self._graph.item(item) for item in ids if item not in before]
        ranking = tuple(ids[: self._ranked])
        if self._actor is not None:
            spoken = await self._actor.speak(state, strategy=None, candidates=tuple(fresh[: self._candidates]))
            return RecommenderTurn(response=spoken.text, recommended=spoken.recommended, ranking=ranking)
        if self._text == "template":
            text, named = filled(found.text, self._slot, fresh)
        else:
            text, named = "", ()
        if not text:
            text, named = (SAID.format(item=spoken_name(fresh[0])), (fresh[0].id,)) if fresh else (NOTHING, ())
        return RecommenderTurn(response=text, recommended=named, ranking=ranking)


def filled(text: str, slot: str, films: Sequence[Item]) -> tuple[str, tuple[str, ...]]:
    """A sentence with films in its slots, in order, and their ids.

    "" for a text without a letter, and where there are more slots than films.
    """
    pieces = [one_line(piece).strip() for piece in text.split(slot)]
    count = len(pieces) - 1
    if count > len(films) or (not count and not any(character.isalpha() for character in text)):
        return "", ()
    names = [spoken_name(film) for film in films[:count]]
    joined = pieces[0]
    for name, piece in zip(names, pieces[1:], strict=True):
        # No blank before a mark that belongs to the name.
        joined = f"{joined} {name}".strip() + (piece if piece[:1] in (".", ",", "!", "?", "") else f" {piece}")
    return joined, tuple(film.id for film in films[:count])
