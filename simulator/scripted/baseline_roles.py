"""The recommender roles that only baselines have: clarifier, selector, persuader, critic; template writers all.

They stand for a language model with the baselines' prompts (`experts.baselines`) and have its known faults. The
persuader sells well, but sometimes adds a person who has nothing to do with the film. The critic notices this. After a
critique the persuader keeps to its record. None of them sees a goal, a persona or a planner's strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from harness.core.messages import Attribute
from harness.core.sections import parse_dialogue
from simulator.scripted import reasoner
from simulator.scripted.actor import Candidate, Reply, facts_of, parse_candidates
from simulator.scripted.acts import TEMPLATES
from simulator.scripted.dice import Dice
from simulator.scripted.hearing import Ear
from simulator.scripted.records import check

_ENOUGH = 2
"""Wishes heard after which the selector recommends; a persuasive planner would wait longer."""
_EMBELLISHED = 0.35
"""Chance that a message without a critique names somebody who did not take part."""
_SOUNDS_LIKE = {
    "LOGICAL APPEAL": "credibility",
    "EMOTION APPEAL": "personal_opinion",
    "FRAMING": "personal_opinion",
    "EVIDENCE-BASED PERSUASION": "credibility",
    "SOCIAL PROOF": "self_modeling",
    "ANCHORING": "encouragement",
}
"""PC-CRS's strategies as acts that the scripted seeker recognises."""


def clarify(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """Ask about taste or about films seen until enough is known, then only keep the talk going."""
    if len(_heard(sections, ear)) > _ENOUGH:
        return dice.pick(TEMPLATES[dice.pick(("acknowledgment", "no_strategy"), "small talk")], "wording")
    return dice.pick(TEMPLATES[dice.pick(("opinion_inquiry", "experience_inquiry"), "question")], "wording")


def select(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """ASK while little was said, otherwise any of the strategies."""
    if len(_heard(sections, ear)) < _ENOUGH:
        return "ASK"
    return dice.pick(tuple(_SOUNDS_LIKE), "tactic")


def persuade(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """The actor's JSON object: the one candidate, praised in the manner of the strategy."""
    film = parse_candidates(sections.get("CANDIDATES", ""))[0]
    act = _SOUNDS_LIKE.get(sections.get("STRATEGY", "").partition(":")[0].strip(), "credibility")
    if "CRITIQUE" not in sections and dice.chance(_EMBELLISHED, "embellished"):
        film = _embellished(film, dice, ear)
    text = dice.pick(TEMPLATES[act], "wording").format(item=ear.spoken(film.name), facts=facts_of(film, dice))
    return msgspec.json.encode(Reply(text=text, items=(film.number,))).decode()


def criticise(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """What the record does not support, or NONE."""
    unsupported = check(sections.get("MESSAGE", ""), sections.get("FACTS", ""), ear).unsupported
    return f"not in the record: {'; '.join(unsupported)}" if unsupported else "NONE"


WRITERS: Mapping[str, Callable[[Mapping[str, str], Dice, Ear], str]] = {
    "clarifier": clarify,
    "selector": select,
    "persuader": persuade,
    "critic": criticise,
}


def _heard(sections: Mapping[str, str], ear: Ear) -> tuple[Attribute, ...]:
    wants = reasoner.infer(parse_dialogue(sections.get("DIALOGUE", "")), ear).partition("\n")[0]
    return ear.graph.attributes_in(wants.removeprefix("Wants: "))


def _embellished(film: Candidate, dice: Dice, ear: Ear) -> Candidate:
    other = dice.pick(ear.graph.items, "other film")
    return replace(film, stars=(*other.stars[:1], *film.stars[:1]))
