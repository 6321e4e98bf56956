"""A run's log as two flat tables, episodes and turns: the documented schema of `export` (docs/export.md is made of it).

One row an episode or a turn, in the order of the log's phases and indices; failed episodes are rows too (``stop`` is
``error``), and what is missing is null, never 0. Texts are as logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from harness.app.evaluation.metrics import first_return
from harness.app.report.record import RunRecord
from harness.core.log.episode import Episode
from harness.core.messages import Struct, Transition, Usage

Kind = Literal["string", "int64", "double", "bool", "list<string>", "list<int64>", "list<double>"]


class Column(Struct, frozen=True, kw_only=True):
    """One column."""

    name: str
    kind: Kind
    meaning: str


def _column(name: str, kind: Kind, meaning: str) -> Column:
    return Column(name=name, kind=kind, meaning=meaning)


EPISODES: tuple[Column, ...] = (
    _column("episode", "string", "unique id in the run"),
    _column("phase", "string", "`train`, or the evaluation: `before`, `warmup`, `rl`"),
    _column("index", "int64", "position in the phase, from 0"),
    _column("policy_version", "int64", "-1 untrained, 0 warmed up, u after update u"),
    _column("scenario", "string", "the same id means the same persona, goal and random streams"),
    _column("seed", "int64", "root of the conversation's random streams"),
    _column("persona", "string", "id of the persona"),
    _column("traits", "list<string>", "`trait: value`"),
    _column("goal", "list<string>", "`kind: value` of every wish"),
    _column("target", "string", "item id of the hidden target"),
    _column("matches", "list<string>", "ids of all items that cover the goal"),
    _column("opening", "string", "the seeker's first message"),
    _column("turns", "int64", "turns played"),
    _column("stop", "string", "`judge`, `user`, `quit`, `turns`, or `error` (censored, never scored)"),
    _column("failure", "string", "kind and sentence of the failure, null otherwise"),
    _column("return", "double", "R_1 of Eq. 8; null where a reward is missing or the episode failed"),
    _column("objective", "double", "R_1 under the run's horizon"),
    _column("evaluation", "double", "the held-out evaluator's reading of the final state in [0, 1]"),
    _column("prompt_tokens", "int64", "all roles together"),
    _column("completion_tokens", "int64", "all roles together"),
)

TURNS: tuple[Column, ...] = (
    _column("episode", "string", "key of `episodes`"),
    _column("turn", "int64", "from 1"),
    _column("strategy", "string", "the planner's choice; null for a system without a planner"),
    _column("probabilities", "list<double>", "the whole acting distribution, in the order of the strategies"),
    _column("policy_version", "int64", "that acted"),
    _column("preferences", "string", "what the reasoner inferred (C1)"),
    _column("facts", "list<string>", "`item | relation | value` of every retrieved fact (C2)"),
    _column("ranking", "list<string>", "item ids, best first"),
    _column("response", "string", "the recommender's message"),
    _column("recommended", "list<string>", "item ids named in it"),
    _column("feelings", "string", "the seeker's private feelings"),
    _column("reply", "string", "the seeker's answer"),
    _column("accepted", "bool", "whether the seeker accepted"),
    _column("quit", "bool", "whether the seeker left"),
    _column("scores", "list<int64>", "the judge's readable samples, 1..5"),
    _column("score_distribution", "list<double>", "p(1..5) where it was read"),
    _column("label_mass", "double", "probability of the five labels before normalising"),
    _column("reward", "double", "r_t in [0, 1]; null where it is missing"),
    _column("stop", "string", "why the conversation ended after this turn; null if it went on"),
    _column("seconds", "double", "of all roles together"),
)


def episode_rows(record: RunRecord) -> Iterator[dict[str, Any]]:
    """Rows of `EPISODES`."""
    for phase in record.phases:
        for episode in record.of(phase):
            yield _episode(record, episode)


def turn_rows(record: RunRecord) -> Iterator[dict[str, Any]]:
    """Rows of `TURNS`."""
    for phase in record.phases:
        for episode in record.of(phase):
            for transition in episode.transitions:
                yield _turn(episode, transition)


TABLES: dict[str, tuple[tuple[Column, ...], Callable[[RunRecord], Iterator[dict[str, Any]]]]] = {
    "episodes": (EPISODES, episode_rows),
    "turns": (TURNS, turn_rows),
}


def _episode(record: RunRecord, episode: Episode) -> dict[str, Any]:
    started, ended = episode.started, episode.ended
    scenario = started.scenario
    gamma = record.config.rl.gamma
    usage = Usage()
    for event in episode.steps:
        for used in event.usage.values():
            usage += used
    failure = ended.failure if ended is not None else None
    evaluation = ended.evaluation if ended is not None else None
    return {
        "episode": episode.id,
        "phase": started.phase,
        "index": started.index,
        "policy_version": started.policy_version,
        "scenario": scenario.id,
        "seed": started.seed,
        "persona": scenario.persona.id,
        "traits": [f"{trait}: {value}" for trait, value in scenario.persona.traits.items()],
        "goal": [f"{attribute.kind}: {attribute.value}" for attribute in scenario.goal.attributes],
        "target": scenario.goal.target,
        "matches": list(scenario.goal.matches),
        "opening": episode.opening.text if episode.opening is not None else None,
        "turns": len(episode.transitions),
        "stop": ended.stop if ended is not None else None,
        "failure": f"{failure.kind}: {failure.message}" if failure is not None else None,
        "return": None if episode.failed else first_return(episode, gamma, "literal"),
        "objective": None if episode.failed else first_return(episode, gamma, record.config.rl.horizon),
        "evaluation": evaluation.reward if evaluation is not None else None,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }


def _turn(episode: Episode, transition: Transition) -> dict[str, Any]:
    decision, reply, score = transition.decision, transition.reply, transition.score
    return {
        "episode": episode.id,
        "turn": transition.turn,
        "strategy": decision.strategy if decision is not None else None,
        "probabilities": list(decision.probabilities) if decision is not None else [],
        "policy_version": decision.policy_version if decision is not None else None,
        "preferences": transition.preferences,
        "facts": [f"{fact.item} | {fact.relation} | {fact.value}" for fact in transition.facts],
        "ranking": list(transition.ranking),
        "response": transition.response,
        "recommended": list(transition.recommended),
        "feelings": reply.feelings,
        "reply": reply.text,
        "accepted": reply.accepted,
        "quit": reply.quit,
        "scores": list(score.raw),
        "score_distribution": list(score.distribution),
        "label_mass": score.label_mass,
        "reward": score.reward,
        "stop": transition.stop,
        "seconds": sum(transition.timing.values()),
    }
