"""Who decides that an evaluation's conversation is a success: judge and seeker, or the harness (``ievalm``).

``ievalm`` is the protocol of Wang et al., "Rethinking the Evaluation for Conversational Recommendation in the Era of
Large Language Models", EMNLP 2023, as its repository plays it: at most five turns; a conversation is a success as soon
as its target stands among the first 50 of the system's ranking; until then every reply begins with words that say so
(theirs "Sorry,"; ours `STILL_LOOKING`). Different here: the conversation begins anew and not within a human one, there
is one target, and the seeker does not know its title. Training is never played by it.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.app.evaluation.floors import IEVALM_FLOORS, named_before, repeated
from harness.app.evaluation.metrics import Measure
from harness.app.settings.config import IEVALM_DEPTH, IEVALM_TURNS, Config
from harness.core.conversation import STILL_LOOKING
from harness.core.log.episode import Episode
from harness.core.messages import TRAIN
from harness.domain.knowledge_graph import KnowledgeGraph

IEVALM_MEASURES = ("ievalm_sr", *IEVALM_FLOORS)
BIASES = (
    "iEvaLM's protocol is biased in three ways. (1) Every turn is another try and nobody leaves: a random list "
    "succeeds, too (the row chance). (2) The harness decides by 50 ranked films: no message need name the target, and "
    "nobody is asked whether they want it. (3) The harness knows the target and says at every turn that it was not "
    f'found ("{STILL_LOOKING}"), which no person could; in the source the simulator knows the title, too, and lets it '
    "slip."
)
"""Stands beside every table of its numbers."""


def within(config: Config, phase: str) -> int:
    """`harness.core.conversation.converse`'s ``within`` for a phase: 0 where judge and seeker decide."""
    return IEVALM_DEPTH if config.evaluation.protocol == "ievalm" and phase != TRAIN else 0


def turn_limit(config: Config, phase: str) -> int:
    """T_max of a phase's conversations."""
    return min(IEVALM_TURNS, config.conversation.max_turns) if within(config, phase) else config.conversation.max_turns


def protocol_measures(config: Config, graph: KnowledgeGraph, popular: Sequence[str]) -> dict[str, Measure]:
    """Success by ``ievalm`` and its floors, by `IEVALM_MEASURES`; nothing under the other protocol.

    None in a dialogue whose system ranks nothing: there the harness has nothing to decide by.
    """
    if config.evaluation.protocol != "ievalm":
        return {}

    def ranked(episode: Episode) -> bool:
        return any(transition.ranking for transition in episode.transitions)

    def success(episode: Episode) -> float | None:
        return float(episode.ended is not None and episode.ended.stop == "target") if ranked(episode) else None

    def chance(episode: Episode) -> float | None:
        missed = 1.0 - min(1.0, IEVALM_DEPTH / len(graph.items))
        return 1.0 - missed**episode.started.max_turns if ranked(episode) else None

    def by_popularity(episode: Episode) -> float | None:
        return float(episode.started.scenario.goal.target in popular[:IEVALM_DEPTH]) if ranked(episode) else None

    def by_repeating(episode: Episode) -> float | None:
        target = episode.started.scenario.goal.target
        tries = (repeated(named, popular, IEVALM_DEPTH) for named in named_before(episode, graph))
        return float(any(target in ranking for ranking in tries)) if ranked(episode) else None

    return dict(zip(IEVALM_MEASURES, (success, chance, by_popularity, by_repeating), strict=True))
