"""Which goals train and which are held out: three pools, so that no setting changes whom a planner is judged on.

Films are dealt to the pools before any goal is drawn. *Training* goals train, *development* goals serve to choose
settings, and *final* goals judge. No film is a target in two pools. Attributes that films of several pools share belong
to one of these pools, so no two pools hold the same wish. The pools have the same size and the same distribution of
goals.

The pools' films and wishes, and the order of a held-out pool's goals, depend only on the graph, the dialogues that give
held-out goals and the seed. So runs of all budgets and planners meet the same seekers, and the first n goals are the
same for every longer draw. Other dialogues may give the training goals: they only say which films of the training pool
come first, so they move no held-out goal.

What it leaves out: how a goal is made (``simulator.goals``). A film that merely *covers* a held-out goal may be a
training target: a recommender may know all films.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from harness.core.errors import InputError
from harness.core.messages import Attribute, Dialogue
from harness.core.seeds import derive, uniform
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.goals import Drawing, GoalDraw, Mentions

Pool = Literal["final", "development", "training"]
HeldOutPool = Literal["final", "development"]
POOLS: tuple[Pool, ...] = ("final", "training", "development")
"""In the order in which films are dealt."""


class GoalPools:
    """The pools of one graph, dialogues and seed."""

    def __init__(
        self, graph: KnowledgeGraph, dialogues: Iterable[Dialogue], *, seed: int, max_matches: int = 50
    ) -> None:
        self._graph = graph
        self._seed = seed
        self._max_matches = max_matches
        self._mentions = Mentions(graph, dialogues)
        # Mentioned and other films are dealt separately, so every pool has its share of the mentioned ones.
        self._pool_of = self._dealt(self._mentions.films) | self._dealt(self._mentions.others)

    def held_out(self, pool: HeldOutPool, count: int) -> GoalDraw:
        """The first ``count`` goals of a held-out pool.

        Raises `InputError` where the pool has fewer.
        """
        found = self._draw(pool, count, derive(self._seed, "goal pool", pool))
        if len(found.goals) < count:
            raise InputError(
                f"the {pool} pool has only {len(found.goals)} goals of two genres and a person or a decade (at most "
                f"{self._max_matches} matching films), from {self._size(pool)}; asked for {count}"
            )
        return found

    def training(self, count: int, dialogues: Iterable[Dialogue] | None = None, *, seed: int) -> GoalDraw:
        """Up to ``count`` training goals.

        Args:
            count: number of goals.
            dialogues: the films that they speak of come first; without them, the pools' own dialogues say it.
            seed: orders films and wishes; it is not that of the pools.

        Raises:
            InputError: there is no goal at all.
        """
        found = self._draw("training", count, seed, None if dialogues is None else Mentions(self._graph, dialogues))
        if not found.goals:
            raise InputError(f"no goal is left to train on apart from held-out ones, from {self._size('training')}")
        return found

    def _draw(self, pool: Pool, count: int, seed: int, mentions: Mentions | None = None) -> GoalDraw:
        mentions = mentions or self._mentions
        drawing = Drawing(
            self._graph,
            mentions,
            seed=seed,
            max_matches=self._max_matches,
            prefix=f"{pool}-goal",
            allowed=lambda wish, matches: self._owner(wish, matches) == pool,
        )
        drawing.fill(self._of(pool, mentions.films), self._of(pool, mentions.others), count)
        return drawing.result

    def _owner(self, wish: Sequence[Attribute], matches: Sequence[str]) -> Pool:
        """The pool of one of the films that cover a wish, the same for whichever film it is asked."""
        dealt = [film for film in matches if film in self._pool_of]
        names = sorted(f"{attribute.kind} {attribute.value}" for attribute in wish)
        return self._pool_of[dealt[derive(self._seed, "pool of wish", *names) % len(dealt)]]

    def _dealt(self, films: Sequence[str]) -> dict[str, Pool]:
        """Film -> pool, of the films that may give a goal."""
        promising = [film for film in films if self._promising(film)]
        order = sorted(promising, key=lambda film: uniform(self._seed, "pool of film", film))
        return {film: POOLS[place % len(POOLS)] for place, film in enumerate(order)}

    def _promising(self, film: str) -> bool:
        kinds = [attribute.kind for attribute in self._graph.attributes(film)]
        return kinds.count("genre") >= 2 and len(kinds) > kinds.count("genre")

    def _of(self, pool: Pool, films: Sequence[str]) -> list[str]:
        return [film for film in films if self._pool_of.get(film) == pool]

    def _size(self, pool: Pool) -> str:
        spoken, others = len(self._of(pool, self._mentions.films)), len(self._of(pool, self._mentions.others))
        return (
            f"{spoken} films that the dialogues and the knowledge graph share and {others} other films of the graph, "
            "a third of each"
        )
