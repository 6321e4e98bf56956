"""What R@k is without a recommender, for the conversations that were really played (decision 15).

Each floor ranks the same films at the same turns for the same goals as the system:

- *chance*: a random list; a new one at every turn;
- *popular*: films by how many human dialogues speak of them, those that training goals are drawn from;
- *repeat*: the films that were named in this conversation before the turn, last first; then the popular ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.app.evaluation.metrics import Measure
from harness.core.log.episode import Episode
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.goals import chance_recall

FLOORS = {"chance": "a random list", "popular": "the most popular", "repeat": "named, then popular"}
"""Prefix of a floor's measures -> its title."""
NOTE = (
    "Under R@k, what needs no recommender reaches at the same turns: chance, a random list; popular, the films of most "
    "human dialogues; repeat, the films that the conversation named before, last first, then the popular ones."
)
SHARED = ("chance", "popular")
"""Floors that are the same for all systems on the same goals; the third depends on what was said."""
DEPTHS = (1, 5)


def floor_name(floor: str, recall: str) -> str:
    """The name of a floor's measure under a recall's: ``popular``, ``target_recall_1`` -> ``popular_target_1``."""
    return f"{floor}_{recall.replace('target_recall', 'target')}"


FLOOR_MEASURES = tuple(
    floor_name(floor, f"{recall}_{k}")
    for floor in FLOORS
    for recall in ("recall", "recall_any", "target_recall")
    for k in DEPTHS
)
"""Those that `floor_measures` gives."""
IEVALM_FLOORS = tuple(floor_name(floor, "ievalm_sr") for floor in FLOORS)
"""Under success by iEvaLM's protocol (`harness.app.evaluation.protocol`)."""


def with_floors(names: Iterable[str]) -> tuple[str, ...]:
    """Measures, with the floors under each recall."""
    known, found = (*FLOOR_MEASURES, *IEVALM_FLOORS), list[str]()
    for name in names:
        under = (floor_name(floor, name) for floor in FLOORS)
        found += (name, *(floor for floor in under if floor in known))
    return tuple(found)


def floor_of(measure: str) -> str:
    """Which floor a measure is; empty where it is none."""
    return measure.partition("_")[0] if measure in (*FLOOR_MEASURES, *IEVALM_FLOORS) else ""


def floor_measures(graph: KnowledgeGraph, popular: Sequence[str]) -> dict[str, Measure]:
    """All floors as measures of an episode, by `FLOOR_MEASURES`; None where no turn was played.

    Args:
        graph: the films that are ranked.
        popular: their ids, most popular first.
    """
    held = _Held(graph, popular)

    def measure(name: str) -> Measure:
        return lambda episode: held.of(episode).get(name)

    return {name: measure(name) for name in FLOOR_MEASURES}


class _Held:
    """The floors of the episode that was asked last: all of them come from one reading of its texts."""

    def __init__(self, graph: KnowledgeGraph, popular: Sequence[str]) -> None:
        self._graph = graph
        self._popular = popular
        self._episode: Episode | None = None
        self._found: dict[str, float] = {}

    def of(self, episode: Episode) -> dict[str, float]:
        if self._episode is not episode:
            self._episode, self._found = episode, _floors(episode, self._graph, self._popular)
        return self._found


def _floors(episode: Episode, graph: KnowledgeGraph, popular: Sequence[str]) -> dict[str, float]:
    turns = len(episode.transitions)
    if not turns:
        return {}
    goal = episode.started.scenario.goal
    matches, target = frozenset(graph.kept(goal.matches)), frozenset(graph.kept((goal.target,)))
    named = list(named_before(episode, graph))
    found: dict[str, float] = {}
    for k in DEPTHS:
        rankings = [repeated(films, popular, k) for films in named]
        by_chance = chance_recall(goal, graph, k)
        found[f"chance_recall_{k}"] = by_chance
        found[f"chance_recall_any_{k}"] = 1.0 - (1.0 - by_chance) ** turns
        found[f"chance_target_{k}"] = min(1.0, k / len(graph.items))
        found[f"popular_recall_{k}"] = found[f"popular_recall_any_{k}"] = float(not matches.isdisjoint(popular[:k]))
        found[f"popular_target_{k}"] = float(not target.isdisjoint(popular[:k]))
        found[f"repeat_recall_{k}"] = float(not matches.isdisjoint(rankings[-1]))
        found[f"repeat_recall_any_{k}"] = float(any(not matches.isdisjoint(ranking) for ranking in rankings))
        found[f"repeat_target_{k}"] = float(not target.isdisjoint(rankings[-1]))
    return found


def named_before(episode: Episode, graph: KnowledgeGraph) -> Iterator[tuple[str, ...]]:
    """Films named before each turn, by first mention."""
    named = dict.fromkeys(graph.titles_in(episode.opening.text) if episode.opening else ())
    for transition in episode.transitions:
        yield tuple(named)
        recommended = frozenset(graph.kept(transition.recommended))
        named |= dict.fromkeys(graph.titles.named(transition.response, pointed_at=recommended))
        named |= dict.fromkeys(graph.titles_in(transition.reply.text))


def repeated(named: Sequence[str], popular: Sequence[str], k: int) -> list[str]:
    """The first k of the ranking; among the first k + n popular films, k were not named."""
    rest = (film for film in popular[: k + len(named)] if film not in named)
    return [*reversed(named), *rest][:k]
