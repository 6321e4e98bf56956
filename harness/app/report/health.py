"""Whether the models behave: leaks, early acceptance, role confusion, repetition, unread judgements; counts; pure.

None of these is repaired or scored anywhere; they say how far a phase's numbers may be believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.app.evaluation.readings import scores_of
from harness.core.log.episode import Episode
from harness.core.messages import Item, Struct
from harness.core.sections import one_line
from simulator.seeker import leaks_target, speaks_as_recommender

TITLES = {
    "leaks": "the seeker names the hidden target before the recommender did",
    "early": "the seeker accepts before any film was recommended",
    "confused": "the seeker speaks like a recommender",
    "seeker_repeats": "the seeker says the same thing twice",
    "recommender_repeats": "the recommender says the same thing twice",
    "truncated": "a reply was cut at its token limit",
    "thoughts": "a model wrote down its thoughts (taken out before anything read them)",
    "unread": "the judge or the evaluator could not be read",
}


class Health(Struct, frozen=True, kw_only=True):
    """Dialogues of one phase with each flaw; ``examples`` are ids of the first of them."""

    dialogues: int
    counts: dict[str, int | None]
    """None where it cannot be told (the target's title is not known)."""
    examples: dict[str, tuple[str, ...]]


def simulator_health(episodes: Iterable[Episode], items: Mapping[str, Item]) -> Health:
    """Over all dialogues of a phase, failed ones among them."""
    dialogues = 0
    found: dict[str, list[str]] = {name: [] for name in TITLES}
    for episode in episodes:
        dialogues += 1
        for name in flaws(episode, items):
            found[name].append(episode.id)
    return Health(
        dialogues=dialogues,
        counts={name: None if name == "leaks" and not items else len(ids) for name, ids in found.items()},
        examples={name: tuple(ids[:5]) for name, ids in found.items()},
    )


def flaws(episode: Episode, items: Mapping[str, Item]) -> list[str]:
    """Names of the flaws of one dialogue, of `TITLES`."""
    found: list[str] = []
    target = items.get(episode.started.scenario.goal.target)
    said = [episode.opening.text] if episode.opening is not None else []
    named = recommended = False
    leaks = target is not None and any(leaks_target(text, target) for text in said)
    early = False
    for transition in episode.transitions:
        named = named or (target is not None and leaks_target(transition.response, target))
        recommended = recommended or bool(transition.recommended)
        said.append(transition.reply.text)
        leaks = leaks or (target is not None and not named and leaks_target(transition.reply.text, target))
        early = early or (transition.reply.accepted and not recommended)
    if leaks:
        found.append("leaks")
    if early:
        found.append("early")
    if any(speaks_as_recommender(text) for text in said):
        found.append("confused")
    if _repeats(said):
        found.append("seeker_repeats")
    if _repeats(transition.response for transition in episode.transitions):
        found.append("recommender_repeats")
    if any(usage.truncated for event in episode.steps for usage in event.usage.values()):
        found.append("truncated")
    if any(usage.thoughts for event in episode.steps for usage in event.usage.values()):
        found.append("thoughts")
    if any(score.reward is None for event in episode.steps for _, score in scores_of(event)):
        found.append("unread")
    return found


def _repeats(texts: Iterable[str]) -> bool:
    folded = [one_line(text).casefold() for text in texts]
    return len(set(folded)) < len(folded)
