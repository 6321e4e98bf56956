"""The scripted planner: how a person might choose the next strategy, as a distribution over the prompt's letters.

It reads what a language model would: the strategies listed in the instructions, the dialogue and its own earlier
choices. It starts from the human frequency of each strategy at that turn (`simulator.scripted.rules`). The last turns
change it: more questions while little was said, more persuasion while a film is under discussion, another strategy
after a refusal, fewer repetitions. It knows neither the persona nor what works in this world, so it imitates people and
wins no more than they do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.core.sections import parse_dialogue
from simulator.scripted.dice import Dice
from simulator.scripted.hearing import Ear
from simulator.scripted.rules import human_counts

ROLE = "planner"

_OPTION = re.compile(r"^([A-Z]) = ([A-Z][A-Z ]*):", re.MULTILINE)
_SMALL = 1.0
"""Added to every count: nothing is out of the question."""
_FEW_WISHES = 2
_ASKS = frozenset({"opinion_inquiry", "experience_inquiry"})
_SELLS = frozenset({"credibility", "personal_opinion", "personal_experience", "encouragement", "self_modeling"})
_CHECKS = frozenset({"rephrase_preference", "transparency", "preference_confirmation", "acknowledgment"})


def distribution(sections: Mapping[str, str], ear: Ear) -> dict[str, float]:
    """Letter -> p at temperature 1, in the order of the list; empty where the prompt lists no strategies."""
    options = {letter: _key(name) for letter, name in _OPTION.findall(sections.get("INSTRUCTIONS", ""))}
    played = [_key(name) for name in sections.get("PLAYED", "").split("; ") if name]
    counts = human_counts(len(played) + 1)
    bent = _bent(sections.get("DIALOGUE", ""), ear)
    weights = {
        letter: (counts.get(key, 0) + _SMALL) * bent.get(key, 1.0) * (0.5 if key in played[-1:] else 1.0)
        for letter, key in options.items()
    }
    total = sum(weights.values())
    return {letter: weight / total for letter, weight in weights.items()}


def answer(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """What the role says where the prompt lists nothing to choose from."""
    return "I do not know which strategies there are."


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _bent(dialogue: str, ear: Ear) -> dict[str, float]:
    """Strategy -> factor on its weight, by what the last turns show."""
    wishes: set[object] = set()
    offered = refused = False
    for utterance in parse_dialogue(dialogue):
        if utterance.speaker == "recommender":
            offered = offered or bool(ear.recommender(utterance.text).items)
        else:
            said = ear.seeker(utterance.text)
            wishes.update(said.wants)
            refused = said.refused
    moved = [(_ASKS, 2.0)] if len(wishes) < _FEW_WISHES else []
    if refused:
        moved += [(_ASKS, 1.5), (_CHECKS, 2.0), (_SELLS, 0.5)]
    elif offered:
        moved += [(_SELLS, 1.5)]
    bent: dict[str, float] = {}
    for group, factor in moved:
        for key in group:
            bent[key] = bent.get(key, 1.0) * factor
    return bent
