"""The scripted preference reasoner (Eq. 3): what the seeker wants, avoids and has seen, inferred from its words only.

Wishes are the genres, persons and decades in the seeker's clauses without negation. If the seeker tells
of two films, what both share is a wish too. While the seeker has said fewer than two wishes in words, the genres of a
single film count as well. That guess can be wrong, as a language model's would be. Films turned down or seen are listed
as seen. It sees no goal and no persona.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from harness.core.messages import Attribute, Utterance
from harness.core.sections import parse_dialogue
from simulator.scripted.dice import Dice
from simulator.scripted.hearing import Ear

NOTHING = "Wants: nothing known yet"


def answer(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """Up to three lines: ``Wants: ...``, ``Avoids: ...``, ``Seen: ...``, values separated by ``; ``."""
    return infer(parse_dialogue(sections.get("DIALOGUE", "")), ear)


def infer(history: Iterable[Utterance], ear: Ear) -> str:
    """The reasoner's reply to a dialogue; a pure function of it."""
    said: dict[Attribute, None] = {}
    avoided: dict[Attribute, None] = {}
    indifferent: set[Attribute] = set()
    told: list[str] = []
    offered: list[str] = []
    gone: dict[str, None] = {}
    for utterance in history:
        if utterance.speaker == "recommender":
            offered += ear.recommender(utterance.text).items
            continue
        words = ear.seeker(utterance.text)
        said.update(dict.fromkeys(words.wants))
        avoided.update(dict.fromkeys(words.avoids))
        indifferent.update(words.indifferent)
        told += [item for item in words.liked if item not in offered and item not in told]
        if words.refused and offered:
            gone[offered[-1]] = None
    ruled_out = indifferent.union(avoided)
    wants = [*said, *(a for a in _from_films(told, len(said), ear) if a not in said and a not in ruled_out)]
    avoids = [a for a in avoided if a not in said]
    seen = dict.fromkeys([*told, *gone])
    lines = [f"Wants: {'; '.join(a.value for a in wants)}" if wants else NOTHING]
    if avoids:
        lines.append(f"Avoids: {'; '.join(a.value for a in avoids)}")
    if seen:
        lines.append(f"Seen: {'; '.join(ear.graph.item(item).name for item in seen)}")
    return "\n".join(lines)


def _from_films(told: list[str], said: int, ear: Ear) -> list[Attribute]:
    shared = Counter(a for item in told for a in ear.graph.attributes(item))
    found = [a for a, count in shared.items() if count >= 2]
    if said < 2 and len(told) == 1:
        found = [a for a in shared if a.kind == "genre"]
    return sorted(found, key=lambda a: (-shared[a], a.kind, a.value))
