"""Goals and scenarios: what simulated seekers want, drawn from a dataset's films and the knowledge graph.

A goal is two genres and a person or a decade of a target film, such that at most ``max_matches`` films of the graph
cover all three: with one genre alone, recall would be high by chance (decision 15). Films are those that the dialogues
speak of, found in the graph by title and year, then by title; names that are not found are dropped and counted.
Everything drawn is a function of the seed and of names, never of call order. The style of goals (attributes to cover,
a target whose title stays hidden) follows PC-CRS (decision 20). What it leaves out: personas (``simulator.personas``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, islice
from itertools import count as naturals
from typing import NamedTuple, TypeVar

from harness.core.errors import InputError
from harness.core.messages import Attribute, Dialogue, Goal, Persona, Scenario, Struct
from harness.core.seeds import uniform
from harness.domain.knowledge_graph import KnowledgeGraph

T = TypeVar("T", Goal, Persona)


class GoalReport(Struct, frozen=True, kw_only=True):
    """How the goals were come by; counts of distinct films unless said otherwise."""

    named: int
    """Distinct film names in the dialogues."""
    dropped: tuple[str, ...]
    """Names that the graph does not have, in order of appearance."""
    films: int
    """Films of the graph that the names were matched to."""
    unsuitable: int
    """Films that were tried and gave no goal, for want of a second genre or of narrow enough attributes."""
    first: int
    """Goals that are their film's first."""
    further: int
    """Goals with other attributes of a film that already has one."""
    beyond: int
    """Goals whose film no dialogue speaks of (graph order), drawn only where allowed and needed."""

    def __str__(self) -> str:
        text = (
            f"{self.named} film names in the dialogues, {len(self.dropped)} not in the graph, {self.films} films "
            f"matched, {self.unsuitable} unsuitable; {self.first + self.further} goals from them, {self.further} of "
            "these with other attributes of a film that already has a goal"
        )
        return f"{text}; {self.beyond} goals from other films of the graph" if self.beyond else text


class GoalDraw(NamedTuple):
    """The goals, and how they were come by."""

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
    """``count`` goals, no two with the same attributes.

    Each film that the dialogues speak of gives one goal before any gives a second, in a seeded order. Where these
    films have no more goals to give, ``beyond`` allows further films in graph order (the most popular first, in this
    project's fixture). `InputError` where the goals do not suffice.
    """
    names = dict.fromkeys(name for dialogue in dialogues for name in dialogue.mentions)
    found = {name: graph.find(name) for name in names}
    films = sorted({film for film in found.values() if film}, key=lambda film: uniform(seed, "goal film", film))
    drawn = _Drawn(graph, seed, max_matches)
    pending = [(film, drawn.wishes(film)) for film in films]
    while pending and len(drawn.goals) < count:
        pending = [(film, wishes) for film, wishes in pending if len(drawn.goals) < count and drawn.add(film, wishes)]
    spoken_of = len(drawn.goals)
    known = set(films)
    others = (item.id for item in graph.items if beyond and item.id not in known)
    while len(drawn.goals) < count and (film := next(others, None)) is not None:
        drawn.add(film, drawn.wishes(film))
    if len(drawn.goals) < count:
        raise InputError(
            f"only {len(drawn.goals)} goals of two genres and a person or a decade (at most {max_matches} matching "
            f"films) can be drawn from the {len(films)} films that the dialogues and the knowledge graph share; "
            f"asked for {count}"
        )
    first = len({goal.target for goal in drawn.goals[:spoken_of]})
    report = GoalReport(
        named=len(names),
        dropped=tuple(name for name, film in found.items() if film is None),
        films=len(films),
        unsuitable=drawn.unsuitable,
        first=first,
        further=spoken_of - first,
        beyond=len(drawn.goals) - spoken_of,
    )
    return GoalDraw(tuple(drawn.goals), report)


class _Drawn:
    """The goals so far."""

    def __init__(self, graph: KnowledgeGraph, seed: int, max_matches: int) -> None:
        self._graph = graph
        self._seed = seed
        self._max_matches = max_matches
        self._taken: set[frozenset[Attribute]] = set()
        self._fertile: set[str] = set()
        self.goals: list[Goal] = []
        self.unsuitable = 0

    def wishes(self, film: str) -> Iterator[tuple[Attribute, ...]]:
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

    def add(self, film: str, wishes: Iterator[tuple[Attribute, ...]]) -> bool:
        """Take the film's next wish that is new and narrow enough; False where none is left."""
        for wish in wishes:
            if frozenset(wish) in self._taken:
                continue
            matches = self._graph.covering(wish)
            if len(matches) <= self._max_matches:
                self._taken.add(frozenset(wish))
                self._fertile.add(film)
                name = f"goal-{len(self.goals):04d}"
                self.goals.append(Goal(id=name, attributes=wish, target=film, matches=matches))
                return True
        self.unsuitable += film not in self._fertile
        return False


def split_goals(goals: Sequence[Goal], *, held_out: int, seed: int) -> tuple[tuple[Goal, ...], tuple[Goal, ...]]:
    """(training goals, ``held_out`` held-out goals); no film is the target of goals on both sides.

    Films are held out whole, in a seeded order, until their goals suffice; surplus goals of the last one are left out.
    `InputError` where nothing would be left to train on.
    """
    by_film: dict[str, list[Goal]] = {}
    for goal in goals:
        by_film.setdefault(goal.target, []).append(goal)
    kept: list[Goal] = []
    films = sorted(by_film, key=lambda film: uniform(seed, "held-out film", film))
    apart: set[str] = set()
    for film in films:
        if len(kept) >= held_out:
            break
        kept.extend(by_film[film])
        apart.add(film)
    training = tuple(goal for goal in goals if goal.target not in apart)
    if len(kept) < held_out or not training:
        raise InputError(
            f"{len(goals)} goals of {len(by_film)} films are too few to hold {held_out} out and train on others"
        )
    return training, tuple(kept[:held_out])


def draw_scenarios(
    goals: Sequence[Goal], personas: Sequence[Persona], *, seed: int, prefix: str, count: int
) -> tuple[Scenario, ...]:
    """``count`` scenarios named ``<prefix>-000000`` and on; the first n are the same for every ``count`` >= n.

    Goals and personas are dealt out in seeded rounds, so that no goal or persona comes again before all others came:
    the numbers of scenarios of any two personas differ by at most one.
    """
    if not goals or not personas:
        raise InputError(f"scenarios {prefix!r} need at least one goal and one persona")
    dealt = zip(_deal(goals, seed, f"{prefix} goals"), _deal(personas, seed, f"{prefix} personas"), strict=True)
    return tuple(
        Scenario(id=f"{prefix}-{index:06d}", persona=persona, goal=goal)
        for index, (goal, persona) in enumerate(islice(dealt, count))
    )


def _deal(things: Sequence[T], seed: int, name: str) -> Iterator[T]:
    for round_ in naturals():
        order = sorted(range(len(things)), key=lambda at: uniform(seed, name, round_, things[at].id))
        yield from (things[at] for at in order)


def chance_recall(goal: Goal, graph: KnowledgeGraph, k: int) -> float:
    """Probability that k distinct films drawn at random hold one that covers the goal: 1 - C(N-m, k)/C(N, k)."""
    total = len(graph.items)
    k = min(k, total)
    return 1.0 - math.comb(total - len(goal.matches), k) / math.comb(total, k)
