"""Finished dialogues and the evaluator's readings -> the values of every measure, by scenario; pure.

A dialogue that failed has no values: it is counted with the kind of its failure. A measure that does not apply to a
dialogue is None in it, never 0. Means, intervals and tests over cells are `results`' part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.app.evaluation.credibility import credibility, credibility_coverage, credibility_zero_filled
from harness.app.evaluation.diversity import corpus_distinct_2, mean_distinct_2
from harness.app.evaluation.examiner import Reading
from harness.app.evaluation.floors import FLOOR_MEASURES, floor_measures
from harness.app.evaluation.metrics import headline
from harness.app.evaluation.persuasion import PersuasionCounts, count_persuasion, persuasiveness
from harness.app.evaluation.protocol import IEVALM_MEASURES, protocol_measures
from harness.app.evaluation.summary import tokens_by_role
from harness.app.grid.cell import CellResult
from harness.app.grid.comparison.parts import Parts, parts_of
from harness.app.grid.comparison.plan import SystemCell
from harness.app.settings.config import Config
from harness.core.log.episode import Episode
from harness.core.log.rundigest import run_digest
from harness.core.messages import Struct, Usage
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.seeker import leaks_target, speaks_as_recommender

MEASURES = (
    "conv_sr",
    "judge_sr",
    "acceptance",
    "wi",
    "prs_gain",
    "prs_room",
    "prs_clipped",
    "prs_unclipped",
    "cred",
    "cred_zero_filled",
    "cred_coverage",
    "dist_2",
    "turns",
    "mean_return",
    "rec_sr_last",
    "rec_sr",
    "target_rec_sr",
    "recall_1",
    "recall_5",
    "recall_any_1",
    "recall_any_5",
    "target_recall_1",
    "target_recall_5",
    *FLOOR_MEASURES,
    *IEVALM_MEASURES,
    "strategy_entropy",
    "tokens",
    "recommender_tokens",
    "calls",
    "leaked",
    "role_slips",
)
"""What a cell has a value of for each dialogue; on which scale: `harness.app.evaluation.scales`."""
PARTS = ("prs_gain", "prs_room")
"""Shown as their ratio only."""

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
    measures = headline(
        graph=graph, threshold=config.reward.threshold, gamma=config.rl.gamma, horizon=config.rl.horizon
    ) | {**floor_measures(graph, popular), **protocol_measures(config, graph, popular)}
    values: dict[str, dict[str, float | None]] = {name: {} for name in MEASURES}
    for episode in whole:
        found = {name: measure(episode) for name, measure in measures.items()}
        found |= _own(episode, readings.get(episode.id), graph)
        for name in MEASURES:
            values[name][episode.started.scenario.id] = found.get(name)
    usage = tokens_by_role(episodes)
    for episode in episodes:
        if episode.id in readings:
            for role, used in readings[episode.id].usage.items():
                usage[role] = usage.get(role, Usage()) + used
    own_roles = {role: _model_of(role, config) for role in usage}
    return SystemResult(
        system=cell.system,
        model=cell.model,
        dataset=cell.dataset,
        seed=cell.seed,
        digest=run_digest(episodes),
        scenarios=tuple(episode.started.scenario.id for episode in episodes),
        groups={episode.started.scenario.id: _groups(episode) for episode in episodes},
        values=values,
        corpus_dist_2=corpus_distinct_2(t.response for episode in whole for t in episode.transitions),
        persuasion=count_persuasion(readings[episode.id].intentions for episode in whole if episode.id in readings),
        faults=_faults(episodes, whole, readings, usage),
        parts=parts_of(episodes),
        usage=usage,
        models=own_roles,
        pool=pool,
    )


def _own(episode: Episode, reading: Reading | None, graph: KnowledgeGraph) -> dict[str, float | None]:
    goal = episode.started.scenario.goal
    usage = tokens_by_role([episode])
    recommender = [used for role, used in usage.items() if role not in USER_ROLES]
    replies = [transition.reply.text for transition in episode.transitions]
    spoken = [episode.opening.text if episode.opening else "", *replies]
    found: dict[str, float | None] = {
        "dist_2": mean_distinct_2([transition.response for transition in episode.transitions]),
        "tokens": float(sum(used.prompt_tokens + used.completion_tokens for used in usage.values())),
        "recommender_tokens": float(sum(used.prompt_tokens + used.completion_tokens for used in recommender)),
        "calls": float(sum(used.calls for used in usage.values())),
        "leaked": float(any(leaks_target(text, graph.item(goal.target)) for text in spoken)),
        "role_slips": sum(speaks_as_recommender(text) for text in spoken) / len(spoken),
    }
    asked = ("wi", "prs_gain", "prs_room", "prs_clipped", "prs_unclipped")
    if reading is None:
        return found | dict.fromkeys((*asked, "cred", "cred_zero_filled", "cred_coverage"))
    said = reading.intentions
    return found | {
        "wi": said.post,
        "prs_gain": said.gain,
        "prs_room": said.room,
        "prs_clipped": persuasiveness(said),
        "prs_unclipped": persuasiveness(said, clipped=False),
        "cred": credibility(reading.credibility),
        "cred_zero_filled": credibility_zero_filled(reading.credibility),
        "cred_coverage": credibility_coverage(reading.credibility),
    }


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
