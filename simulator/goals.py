"""Goals and scenarios: what simulated seekers want, drawn from a dataset's films and the knowledge graph.

A goal is two genres and a person or a decade of a target film, such that at most ``max_matches`` films of the graph
cover all three: with one genre alone, recall would be high by chance (decision 15). Films are those that the dialogues
speak of, found in the graph by title and year, then by title; names that are not found are dropped and counted.
Everything drawn is a function of the seed and of names, never of call order. The style of goals (attributes to cover,
a target whose title stays hidden) follows PC-CRS (decision 20). What it leaves out: personas (``simulator.personas``),
and which goals train and which are held out (``simulator.goal_pools``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, combinations, islice
from itertools import count as naturals
from typing import NamedTuple, TypeVar

from harness.core.errors import InputError
from harness.core.messages import Attribute, Dialogue, Goal, Persona, Scenario, Struct
from harness.core.seeds import uniform
from harness.domain.knowledge_graph import KnowledgeGraph

T = TypeVar("T", Goal, Persona)


class GoalReport(Struct, frozen=True, kw_only=True):
    """How the goals were drawn; counts of distinct films unless a field says otherwise."""

    named: int
    """Distinct film names in the dialogues."""
    dropped: tuple[str, ...]
    """Names that the graph does not have, in order of appearance."""
    films: int
    """Films of the graph that the names match; where there are pools, only the pool's films count."""
    unsuitable: int
    """Films that were tried and gave no goal: they have one genre only, or too many films share their attributes."""
    first: int
    """Goals that are their film's first."""
    further: int
    """Goals with other attributes of a film that already has one."""
    beyond: int
    """Goals whose film no dialogue speaks of (graph order), drawn only where allowed and needed."""

    def __str__(self) -> str:
        text = (
            f"{self.named} film names in the dialogues, {len(self.dropped)} not in the graph, {self.films} films to "
            f"draw from, {self.unsuitable} unsuitable; {self.first + self.further} goals from them, {self.further} of "
            "these with other attributes of a film that already has a goal"
        )
        return f"{text}; {self.beyond} goals from other films of the graph" if self.beyond else text


class GoalDraw(NamedTuple):
    """The goals, and the report of how they were drawn."""

    goals: tuple[Goal, ...]
    report: GoalReport


def draw_goals(
    graph: KnowledgeGraph,
    dialogues: Iterable[Dialogue],
    *,
    count: int,
    seed: int,
    max_matches: int = 50,
    beyond: bool = False,
) -> GoalDraw:
    """Draw goals, no two with the same attributes.

    Each film that the dialogues mention gives one goal before any film gives a second, in a seeded order.

    Args:
        graph: the films and their attributes.
        dialogues: their mentions give the target films.
        count: number of goals.
        seed: the same seed gives the same goals.
        max_matches: most films of the graph that may cover the three attributes of a goal.
        beyond: whether further films of the graph, in its order, give goals once the mentioned films have no more.

    Returns:
        The goals in the order drawn, and the report.

    Raises:
        InputError: fewer than ``count`` goals can be drawn.
    """
    mentions = Mentions(graph, dialogues)
    drawing = Drawing(graph, mentions, seed=seed, max_matches=max_matches)
    drawing.fill(mentions.films, mentions.others if beyond else (), count)
    if len(drawing.goals) < count:
        raise InputError(
            f"only {len(drawing.goals)} goals of two genres and a person or a decade (at most {max_matches} matching "
            f"films) can be drawn from the {len(mentions.films)} films that the dialogues and the knowledge graph "
            f"share; asked for {count}"
        )
    return drawing.result


class Mentions:
    """The films that dialogues speak of, found in the graph."""

    def __init__(self, graph: KnowledgeGraph, dialogues: Iterable[Dialogue]) -> None:
        names = dict.fromkeys(name for dialogue in dialogues for name in dialogue.mentions)
        found = {name: graph.find(name) for name in names}
        known = {film for film in found.values() if film}
        self.named = len(names)
        self.dropped = tuple(name for name, film in found.items() if film is None)
        """Names that the graph does not have, in order of appearance."""
        self.films = tuple(sorted(known))
        self.others = tuple(item.id for item in graph.items if item.id not in known)
        """All other films of the graph, in its order."""


class Drawing:
    """Goals, drawn one after the other; no two have the same attributes."""

    def __init__(
        self,
        graph: KnowledgeGraph,
        mentions: Mentions,
        *,
        seed: int,
        max_matches: int,
        prefix: str = "goal",
        allowed: Callable[[tuple[Attribute, ...], tuple[str, ...]], bool] = lambda wish, matches: True,
    ) -> None:
        """``allowed``: (attributes, films that cover them) -> whether they may be a goal at all."""
        self._graph = graph
        self._mentions = mentions
        self._seed = seed
        self._max_matches = max_matches
        self._prefix = prefix
        self._allowed = allowed
        self._taken: set[frozenset[Attribute]] = set()
        self._fertile: set[str] = set()
        self._unsuitable = 0
        self._films = 0
        self._spoken_of = 0
        self.goals: list[Goal] = []

    @property
    def result(self) -> GoalDraw:
        """What was drawn so far."""
        first = len({goal.target for goal in self.goals[: self._spoken_of]})
        report = GoalReport(
            named=self._mentions.named,
            dropped=self._mentions.dropped,
            films=self._films,
            unsuitable=self._unsuitable,
            first=first,
            further=self._spoken_of - first,
            beyond=len(self.goals) - self._spoken_of,
        )
        return GoalDraw(tuple(self.goals), report)

    def fill(self, films: Sequence[str], others: Sequence[str], count: int) -> None:
        """Draw until there are ``count`` goals, or as many as there are.

        First rounds over ``films`` in a seeded order, one goal a film and round; then rounds over ``others`` as given.
        """
        self._films = len(films)
        self._rounds(sorted(films, key=lambda film: uniform(self._seed, "goal film", film)), count)
        self._spoken_of = len(self.goals)
        self._rounds(others, count)

    def _rounds(self, films: Iterable[str], count: int) -> None:
        pending: Iterable[tuple[str, Iterator[tuple[Attribute, ...]]]] = ((film, self._wishes(film)) for film in films)
        while len(self.goals) < count:
            left = []
            for film, wishes in pending:
                if self._add(film, wishes):
                    left.append((film, wishes))
                if len(self.goals) >= count:
                    return
            if not left:
                return
            pending = iter(left)

    def _wishes(self, film: str) -> Iterator[tuple[Attribute, ...]]:
        """All triples of a film in a seeded order, persons and decades equally likely to come first."""
        attributes = sorted(self._graph.attributes(film), key=lambda a: (a.kind, a.value))
        pairs = list(combinations([a for a in attributes if a.kind == "genre"], 2))

        def order(*names: str) -> float:
            return uniform(self._seed, "goal wish", film, *names)

        def shuffled(kind: str) -> list[tuple[Attribute, ...]]:
            triples = [(*pair, third) for pair in pairs for third in attributes if third.kind == kind]
            return sorted(triples, key=lambda triple: order(*(a.value for a in triple)))

        kinds = sorted(("person", "decade"), key=order)
        return (triple for kind in kinds for triple in shuffled(kind))

    def _add(self, film: str, wishes: Iterator[tuple[Attribute, ...]]) -> bool:
        """Take the film's next wish that is new and narrow enough; False where none is left."""
        for wish in wishes:
            if frozenset(wish) in self._taken:
                continue
            matches = self._graph.covering(wish)
            if len(matches) <= self._max_matches and self._allowed(wish, matches):
                self._taken.add(frozenset(wish))
                self._fertile.add(film)
                name = f"{self._prefix}-{len(self.goals):04d}"
                self.goals.append(Goal(id=name, attributes=wish, target=film, matches=matches))
                return True
        self._unsuitable += film not in self._fertile
        return False


def draw_scenarios(
    goals: Sequence[Goal], personas: Sequence[Persona], *, seed: int, prefix: str, count: int
) -> tuple[Scenario, ...]:
    """Pair goals with personas.

    No goal or persona comes twice before all others came once, so the numbers of scenarios of two personas differ by at
    most one. The first n scenarios are the same for every ``count`` >= n, and for any longer list of goals that begins
    with these.

    Args:
        goals: the first round takes them in this order; later rounds are shuffled.
        personas: shuffled in every round.
        seed: of the shuffles.
        prefix: scenarios are named ``<prefix>-000000`` and so on.
        count: number of scenarios.
    """
    if not goals or not personas:
        raise InputError(f"scenarios {prefix!r} need at least one goal and one persona")
    again = islice(_deal(goals, seed, f"{prefix} goals"), len(goals), None)
    dealt = zip(chain(goals, again), _deal(personas, seed, f"{prefix} personas"), strict=True)
    return tuple(
        Scenario(id=f"{prefix}-{index:06d}", persona=persona, goal=goal)
        for index, (goal, persona) in enumerate(islice(dealt, count))
    )


def _deal(things: Sequence[T], seed: int, name: str) -> Iterator[T]:
    for round_ in naturals():
        order = sorted(range(len(things)), key=lambda at: uniform(seed, name, round_, things[at].id))
        yield from (things[at] for at in order)


def chance_recall(goal: Goal, graph: KnowledgeGraph, k: int) -> float:
    """Probability that at least one of k distinct random films covers the goal: 1 - C(N-m, k) / C(N, k).

    N is the number of films in the graph, m the number of them that cover the goal.
    """
    total = len(graph.items)
    k = min(k, total)
    return 1.0 - math.comb(total - len(goal.matches), k) / math.comb(total, k)
