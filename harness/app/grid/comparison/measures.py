"""Finished dialogues and the evaluator's readings -> the values of every measure, by scenario; pure.

A dialogue that failed has no values: it is counted with the kind of its failure. A measure that does not apply to a
dialogue is None in it, never 0. Means, intervals and tests over cells are `results`' part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.app.evaluation.answers import Reading, extra_measures
from harness.app.evaluation.diversity import corpus_distinct_2
from harness.app.evaluation.floors import floor_measures
from harness.app.evaluation.metrics import Measure, all_by_scenario, headline
from harness.app.evaluation.persuasion import PersuasionCounts, count_persuasion
from harness.app.evaluation.protocol import protocol_measures
from harness.app.evaluation.summary import added, tokens_by_role
from harness.app.grid.cell import CellResult
from harness.app.grid.comparison.parts import Parts, parts_of
from harness.app.grid.comparison.plan import SystemCell
from harness.app.settings.config import Config
from harness.core.log.episode import Episode
from harness.core.log.rundigest import run_digest
from harness.core.messages import Struct, Usage
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.seeker import leaks_target, speaks_as_recommender

USER_ROLES = frozenset(("seeker", "reward", "evaluator", "intention", "credibility"))
"""Roles of the experiment; the costs of all other roles are the recommender's."""


class Faults(Struct, frozen=True, kw_only=True):
    """What is missing or could not be read; shown beside the numbers that are made without it."""

    failed: dict[str, int]
    """Kind of failure -> dialogues that failed by it."""
    missing_rewards: int
    """Turns whose reward is missing: too few samples could be read."""
    rewarded_turns: int
    invalid_samples: int
    """Judge's samples that were no rating."""
    missing_evaluations: int
    """Dialogues whose final state the evaluator did not read."""
    unreadable: int
    """The examiner's questions without a readable answer."""
    asked: int
    truncated: int
    """Replies cut at the token limit."""
    calls: int


class SystemResult(CellResult, frozen=True, kw_only=True):
    """``result.json``."""

    system: str
    model: str
    dataset: str
    groups: dict[str, dict[str, str]]
    """Scenario -> persona, its traits, number of goal attributes."""
    corpus_dist_2: float | None
    persuasion: PersuasionCounts
    faults: Faults
    usage: dict[str, Usage]
    """By role, over all dialogues and readings."""
    models: dict[str, str]
    """Role -> name of its model, for prices."""
    parts: Parts = Parts()
    """Which parts were at work (Table III)."""


def measure_cell(
    cell: SystemCell,
    config: Config,
    graph: KnowledgeGraph,
    popular: Sequence[str],
    episodes: Sequence[Episode],
    readings: Mapping[str, Reading],
    pool: str = "",
) -> SystemResult:
    """All values of one cell. ``popular``: item ids, most popular first, for the floors."""
    whole = [episode for episode in episodes if not episode.failed]
    measures = {
        **headline(graph=graph, threshold=config.reward.threshold, gamma=config.rl.gamma, horizon=config.rl.horizon),
        **extra_measures(readings),
        **_costs_and_slips(graph),
        **floor_measures(graph, popular),
        **protocol_measures(config, graph, popular),
    }
    asked = [readings[episode.id].usage for episode in episodes if episode.id in readings]
    usage = added(tokens_by_role(episodes), *asked)
    own_roles = {role: _model_of(role, config) for role in usage}
    return SystemResult(
        system=cell.system,
        model=cell.model,
        dataset=cell.dataset,
        seed=cell.seed,
        digest=run_digest(episodes),
        scenarios=tuple(episode.started.scenario.id for episode in episodes),
        groups={episode.started.scenario.id: _groups(episode) for episode in episodes},
        values=all_by_scenario(whole, measures),
        corpus_dist_2=corpus_distinct_2(t.response for episode in whole for t in episode.transitions),
        persuasion=count_persuasion(readings[episode.id].intentions for episode in whole if episode.id in readings),
        faults=_faults(episodes, whole, readings, usage),
        parts=parts_of(episodes),
        usage=usage,
        models=own_roles,
        pool=pool,
    )


def _costs_and_slips(graph: KnowledgeGraph) -> dict[str, Measure]:
    def used(episode: Episode, *, left_out: frozenset[str] = frozenset()) -> Usage:
        return sum((u for role, u in tokens_by_role([episode]).items() if role not in left_out), Usage())

    def tokens(usage: Usage) -> float:
        return float(usage.prompt_tokens + usage.completion_tokens)

    return {
        "tokens": lambda e: tokens(used(e)),
        "recommender_tokens": lambda e: tokens(used(e, left_out=USER_ROLES)),
        "calls": lambda e: float(used(e).calls),
        "leaked": lambda e: float(
            any(leaks_target(text, graph.item(e.started.scenario.goal.target)) for text in _spoken(e))
        ),
        "role_slips": lambda e: sum(map(speaks_as_recommender, _spoken(e))) / len(_spoken(e)),
    }


def _spoken(episode: Episode) -> list[str]:
    """The seeker's messages."""
    return [episode.opening.text if episode.opening else "", *(turn.reply.text for turn in episode.transitions)]


def _groups(episode: Episode) -> dict[str, str]:
    scenario = episode.started.scenario
    third = next((a.kind for a in scenario.goal.attributes if a.kind != "genre"), "genre")
    return {
        "persona": scenario.persona.id,
        **scenario.persona.traits,
        "goal_attributes": str(len(scenario.goal.attributes)),
        "goal_kind": third,
    }


def _faults(
    episodes: Sequence[Episode],
    whole: Sequence[Episode],
    readings: Mapping[str, Reading],
    usage: Mapping[str, Usage],
) -> Faults:
    failures = Counter(
        episode.ended.failure.kind if episode.ended.failure else "unknown"
        for episode in episodes
        if episode.ended is not None and episode.failed
    )
    scores = [transition.score for episode in episodes for transition in episode.transitions]
    read = [readings[episode.id] for episode in whole if episode.id in readings]
    return Faults(
        failed=dict(sorted(failures.items())),
        missing_rewards=sum(score.reward is None for score in scores),
        rewarded_turns=len(scores),
        invalid_samples=sum(score.invalid for score in scores),
        missing_evaluations=sum(
            episode.ended is None or episode.ended.evaluation is None or episode.ended.evaluation.reward is None
            for episode in whole
        ),
        unreadable=sum(reading.unreadable for reading in read),
        asked=sum(reading.asked for reading in read),
        truncated=sum(used.truncated for used in usage.values()),
        calls=sum(used.calls for used in usage.values()),
    )


def _model_of(role: str, config: Config) -> str:
    """The model that played a role; a baseline's own roles are the actor's, the examiner's the evaluator's."""
    if role in config.roles.__struct_fields__:
        return str(getattr(config.roles, role))
    return config.roles.evaluator if role in USER_ROLES else config.roles.actor
