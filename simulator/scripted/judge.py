"""The scripted judge and evaluator: how satisfied the seeker sounds, as a distribution over the scores 1..5.

The judge sees what the paper's judge sees, the dialogue, and reads the mood phrases of the seeker's last words (free
text is read by plain words of praise and complaint). The reading becomes a distribution: a normal around 1 + 4 x
binned to the labels, so that ten samples vary as an LLM's would, and a mean above 4 (tau = .75) takes a talk that went
well. The evaluator is the same reader with a stricter eye and a longer memory: a held-out judge, not a second truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from harness.core.sections import parse_dialogue
from simulator.scripted.dice import Dice
from simulator.scripted.hearing import Ear

LABELS = ("1", "2", "3", "4", "5")
_SPREAD = 0.7
"""Standard deviation of one score, in points; real judges at temperature 1 vary by about as much."""
_LAST = {"reward": 0.9, "evaluator": 0.85}
"""Weight of the last reply against the one before."""
_SHIFT = {"reward": 0.0, "evaluator": -0.01}


def reading(role: str, dialogue: str, ear: Ear) -> float:
    """The satisfaction in [0, 1] that the dialogue shows; 0.3 where the seeker has answered nothing yet."""
    history = parse_dialogue(dialogue)
    answered = False
    read = []
    for utterance in history:
        if utterance.speaker == "recommender":
            answered = True
        elif answered:
            read.append(ear.seeker(utterance.text).satisfaction)
    if not read:
        return 0.3
    before = read[-2] if len(read) > 1 else min(read[-1], 0.4)
    level = _LAST[role] * read[-1] + (1.0 - _LAST[role]) * before + _SHIFT[role]
    return min(1.0, max(0.0, level))


def distribution(role: str, sections: Mapping[str, str], ear: Ear) -> tuple[float, ...]:
    """p(1..5) at temperature 1."""
    return _binned(reading(role, sections.get("DIALOGUE", ""), ear))


def sample(probabilities: Sequence[float], temperature: float, dice: Dice, labels: Sequence[str] = LABELS) -> str:
    """Draw a label at this temperature; at 0 take the most likely one."""
    if temperature <= 0.0:
        return labels[max(range(len(labels)), key=probabilities.__getitem__)]
    weights = [p ** (1.0 / temperature) for p in probabilities]
    mark = dice.uniform("score") * sum(weights)
    for label, weight in zip(labels, weights, strict=True):
        mark -= weight
        if mark < 0.0:
            return label
    return labels[-1]


@lru_cache(maxsize=4096)
def _binned(level: float) -> tuple[float, ...]:
    mean = 1.0 + 4.0 * level
    edges = [-math.inf, 1.5, 2.5, 3.5, 4.5, math.inf]
    below = [0.5 * (1.0 + math.erf((edge - mean) / (_SPREAD * math.sqrt(2.0)))) for edge in edges]
    floor = 1e-4
    raw = [max(high - low, floor) for low, high in pairwise(below)]
    return tuple(p / sum(raw) for p in raw)
