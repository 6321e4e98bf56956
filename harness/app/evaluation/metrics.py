"""Measures of one finished episode, each a pure function; None means missing, which is never a number.

An episode that failed has no measures at all: it is counted beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from harness.core.log.episode import Episode
from harness.core.messages import Transition
from harness.domain.knowledge_graph import KnowledgeGraph
from learner.returns import Horizon, returns


def conversation_success(episode: Episode, threshold: float) -> float | None:
    """Conv-SR, headline (decision 9): the held-out evaluator's reading of the final state passes tau."""
    evaluation = episode.ended.evaluation if episode.ended else None
    if evaluation is None or evaluation.reward is None:
        return None
    return float(evaluation.reward > threshold)


def judge_success(episode: Episode) -> float | None:
    """Whether the training judge ended the conversation; the maximum of noisy readings, so it flatters.

    Missing where the judge read nothing in any turn.
    """
    if all(transition.score.reward is None for transition in episode.transitions):
        return None
    return float(episode.ended is not None and episode.ended.stop == "judge")


def acceptance(episode: Episode) -> float:
    """Whether the seeker accepted a recommendation in any turn."""
    return float(any(transition.reply.accepted for transition in episode.transitions))


def turns(episode: Episode) -> float:
    """Turns played."""
    return float(len(episode.transitions))


def recommendation_success(episode: Episode, graph: KnowledgeGraph) -> float | None:
    """Rec-SR (decision 16): an item *named* in the recommender's last message is in the target set.

    The text is read with the recommended ids in hand: a title such as ``Mom``, which no free text names alone, is then
    a film. None where the recommender said nothing.
    """
    matches = graph.kept(episode.started.scenario.goal.matches)
    return _names(episode.transitions[-1:], matches, graph)


def recommendation_success_any(episode: Episode, graph: KnowledgeGraph) -> float | None:
    """The same for all messages of the dialogue: an item of the target set was named at some time."""
    return _names(episode.transitions, graph.kept(episode.started.scenario.goal.matches), graph)


def target_success(episode: Episode, graph: KnowledgeGraph) -> float | None:
    """Rec-SR for the strict target item instead of the target set."""
    return _names(episode.transitions[-1:], graph.kept((episode.started.scenario.goal.target,)), graph)


def _names(transitions: Sequence[Transition], wanted: Iterable[str], graph: KnowledgeGraph) -> float | None:
    if not transitions:
        return None
    sought = set(wanted)
    return float(
        any(
            sought.intersection(graph.titles.named(t.response, pointed_at=frozenset(graph.kept(t.recommended))))
            for t in transitions
        )
    )


def recall(episode: Episode, k: int) -> float | None:
    """R@k (decision 15): an item covering all goal attributes is among the first k of the last turn's ranking.

    None for a system that ranks nothing.
    """
    return _ranked(episode.transitions, episode.transitions[-1:], episode.started.scenario.goal.matches, k)


def recall_any(episode: Episode, k: int) -> float | None:
    """The same for all rankings of the dialogue: such an item was among the first k at some time."""
    return _ranked(episode.transitions, episode.transitions, episode.started.scenario.goal.matches, k)


def target_recall(episode: Episode, k: int) -> float | None:
    """R@k for the strict target item instead of the target set."""
    return _ranked(episode.transitions, episode.transitions[-1:], (episode.started.scenario.goal.target,), k)


def _ranked(whole: Sequence[Transition], counted: Sequence[Transition], wanted: Iterable[str], k: int) -> float | None:
    if not any(transition.ranking for transition in whole):
        return None
    sought = set(wanted)
    return float(any(sought.intersection(transition.ranking[:k]) for transition in counted))


def named_recall(episode: Episode, graph: KnowledgeGraph, k: int) -> float | None:
    """R@k of the films that the last message names, in their order there: what a system says, not what it ranks."""
    if not episode.transitions:
        return None
    last = episode.transitions[-1]
    named = graph.titles.named(last.response, pointed_at=frozenset(graph.kept(last.recommended)))
    return float(not set(graph.kept(episode.started.scenario.goal.matches)).isdisjoint(named[:k]))


def strategy_entropy(episode: Episode) -> float | None:
    """Mean over turns of H(pi(.|s_t)), in nats."""
    entropies = [transition.decision.entropy for transition in episode.transitions if transition.decision]
    return sum(entropies) / len(entropies) if entropies else None


def first_return(episode: Episode, gamma: float, horizon: Horizon) -> float | None:
    """R_1 of the episode (Eq. 8 for ``literal``; decision 22 otherwise), None unless every reward exists."""
    if episode.ended is None or not episode.transitions:
        return None
    return returns(
        episode.rewards,
        gamma=gamma,
        horizon=horizon,
        stop=episode.ended.stop,
        max_turns=episode.started.max_turns,
    )[0]


Measure = Callable[[Episode], float | None]


def label_mass(episode: Episode) -> float | None:
    """Mean probability, over the turns, that the judge's next token is a label; None where it was not read."""
    masses = [t.score.label_mass for t in episode.transitions if t.score.label_mass is not None]
    return math.fsum(masses) / len(masses) if masses else None


def planner_label_mass(episode: Episode) -> float | None:
    """The same of a prompted planner's letters; None for other planners and where it was sampled."""
    masses = [t.decision.label_mass for t in episode.transitions if t.decision and t.decision.label_mass is not None]
    return math.fsum(masses) / len(masses) if masses else None


def judge_final(episode: Episode) -> float | None:
    """The training judge's reading of the final state, in [0, 1]: the last reward."""
    return episode.transitions[-1].score.reward if episode.transitions else None


def evaluator_final(episode: Episode) -> float | None:
    """The held-out evaluator's reading of the same state, in [0, 1]."""
    return episode.ended.evaluation.reward if episode.ended and episode.ended.evaluation else None


def judge_gap(episode: Episode) -> float | None:
    """By how much the training judge's reading of the final state is above the evaluator's."""
    judge, evaluator = judge_final(episode), evaluator_final(episode)
    return None if judge is None or evaluator is None else judge - evaluator


def headline(*, graph: KnowledgeGraph | None, threshold: float, gamma: float, horizon: Horizon) -> dict[str, Measure]:
    """The measures that a log alone gives, by name; `measures` says what they are called.

    Without a graph those that read texts for films are left out.
    """
    return {
        "mean_return": lambda e: first_return(e, gamma, "literal"),
        "mean_objective": lambda e: first_return(e, gamma, horizon),
        "conv_sr": lambda e: conversation_success(e, threshold),
        "judge_sr": judge_success,
        "acceptance": acceptance,
        "turns": turns,
        **(_of_named_films(graph) if graph is not None else {}),
        "recall_1": lambda e: recall(e, 1),
        "recall_5": lambda e: recall(e, 5),
        "recall_any_1": lambda e: recall_any(e, 1),
        "recall_any_5": lambda e: recall_any(e, 5),
        "target_recall_1": lambda e: target_recall(e, 1),
        "target_recall_5": lambda e: target_recall(e, 5),
        "strategy_entropy": strategy_entropy,
        "judge_final": judge_final,
        "evaluator_final": evaluator_final,
        "judge_gap": judge_gap,
        "label_mass": label_mass,
        "planner_label_mass": planner_label_mass,
    }


def _of_named_films(graph: KnowledgeGraph) -> dict[str, Measure]:
    return {
        "rec_sr_last": lambda e: recommendation_success(e, graph),
        "rec_sr": lambda e: recommendation_success_any(e, graph),
        "target_rec_sr": lambda e: target_success(e, graph),
        "named_recall_1": lambda e: named_recall(e, graph, 1),
        "named_recall_5": lambda e: named_recall(e, graph, 5),
    }


def all_by_scenario(episodes: Iterable[Episode], measures: Mapping[str, Measure]) -> dict[str, dict[str, float | None]]:
    """`by_scenario` for several measures, by name; the episodes are gone through once and not kept."""
    found: dict[str, dict[str, float | None]] = {name: {} for name in measures}
    for episode in episodes:
        for name, measure in measures.items():
            found[name] |= by_scenario([episode], measure)
    return found


def by_scenario(episodes: Iterable[Episode], measure: Measure) -> dict[str, float | None]:
    """A measure of every episode that did not fail, by scenario id."""
    return {episode.started.scenario.id: measure(episode) for episode in episodes if not episode.failed}
