"""The scripted examiner: how likely a seeker is to watch a film, and how true a message is, as p(1..5).

*Intention.* With the title alone a person guesses, a little too low. With the film's record the person judges by how
many wishes the film meets. After a dialogue the intention is the scripted seeker's own at that point (`world.fold`, a
function of the text). So good talk about a fitting film moves the intention towards the true one, refusals lower it,
and charm may raise it above what the film deserves.

*Credibility.* Statements that the record supports raise it, others lower it; a message that states nothing is neither
believed nor doubted. Both decide from the prompt's sections; nothing is random.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

from harness.core.sections import parse_dialogue
from harness.core.seeds import uniform
from simulator.scripted.hearing import Ear
from simulator.scripted.records import check, coverage
from simulator.scripted.traits import traits_of
from simulator.scripted.user import parse_goal
from simulator.scripted.world import fold

ROLES = ("intention", "credibility")
_SPREAD = 0.6
"""Standard deviation of one rating, in points."""
_NOTHING_STATED = 0.7
_LOWEST, _HIGHEST = 0.05, 0.95


def distribution(role: str, sections: Mapping[str, str], ear: Ear) -> tuple[float, ...]:
    """p(1..5) at temperature 1."""
    level = intention(sections, ear) if role == "intention" else credibility(sections, ear)
    return _binned(min(_HIGHEST, max(_LOWEST, level)))


def intention(sections: Mapping[str, str], ear: Ear) -> float:
    """The watching intention in [0, 1]: by dialogue, by record, or by title, whichever the prompt holds."""
    person, film = sections.get("PERSONA", ""), sections.get("ITEM", "")
    wishes = parse_goal(sections.get("GOAL", ""))
    guess = 0.1 + 0.15 * uniform("first impression", person, film)
    if "FACTS" in sections:
        return 0.08 + 0.8 * math.pow(coverage(wishes.attributes, sections["FACTS"]), 1.5)
    if "DIALOGUE" not in sections:
        return guess
    mind = fold(ear, traits_of(person), person, wishes, parse_dialogue(sections["DIALOGUE"]))
    item = ear.graph.find(film)
    if item is not None and item == mind.table:
        return guess + (0.97 - guess) * mind.intention * (0.6 + 0.4 * mind.trust)
    return 0.5 * guess if item in mind.refused else guess


def credibility(sections: Mapping[str, str], ear: Ear) -> float:
    """The truth of a message in [0, 1]."""
    found = check(sections.get("MESSAGE", ""), sections.get("FACTS", ""), ear)
    stated = len(found.supported) + len(found.unsupported)
    return len(found.supported) / stated if stated else _NOTHING_STATED


@lru_cache(maxsize=4096)
def _binned(level: float) -> tuple[float, ...]:
    mean = 1.0 + 4.0 * level
    edges = (-math.inf, 1.5, 2.5, 3.5, 4.5, math.inf)
    below = [0.5 * (1.0 + math.erf((edge - mean) / (_SPREAD * math.sqrt(2.0)))) for edge in edges]
    raw = [max(high - low, 1e-4) for low, high in pairwise(below)]
    return tuple(p / sum(raw) for p in raw)
