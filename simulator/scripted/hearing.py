"""From texts to meaning: what a recommender's and a seeker's message says, by cues and the knowledge graph.

`Ear` is shared by all roles, as all of them read the same language; nothing passes between roles but the text. Each
message is analysed once and remembered by its text (a conversation's prompts repeat it some thirty times), bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from harness.core.messages import Attribute, Struct
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.stances import Part, Stance, parts
from harness.domain.titles import spoken_name
from simulator.scripted import phrases
from simulator.scripted.acts import act_of

_REFUSAL = re.compile(
    r"\bnot for me\b|\b(?:rather )?pass on\b|\bturned down\b|not what I (?:have|had) in mind|already seen|know already"
    r"|\bno,? thanks\b|not interested|n['’]t (?:like|want|fit|appeal)|\bsomething else\b"
    r"|seen (?:that|it) (?:already|before)",
    re.IGNORECASE,
)
_YEAR_CLAIM = re.compile(r"\b(?:released in|came out in|made in|from) (\d{4})\b(?!s)", re.IGNORECASE)
_YES = re.compile(
    r"\bI(?:'ll| will| am going to) (?:watch|try|check|go with|give)|\bsold,|going with|\bit is\b.*\bthank",
    re.IGNORECASE,
)
_ACCEPTED = 0.95
"""Satisfaction that "I will watch it" shows, whatever the mood phrase beside it."""
_GRADES = {phrase.lower(): grade for grade, options in enumerate(phrases.MOODS) for phrase in options}
_MOOD = re.compile("|".join(re.escape(phrase) for phrase in sorted(_GRADES, key=len, reverse=True)), re.IGNORECASE)
_GOOD = re.compile(
    r"\b(?:great|love|perfect|nice|good|thanks?|thank you|sounds|awesome|wonderful|yes|cool|fun)\b", re.I
)
_BAD = re.compile(r"\b(?:no|not|nah|never|boring|bored|tired|hate|bad|wrong|annoying|stop)\b|n['’]t\b", re.I)


class Heard(Struct, frozen=True, kw_only=True):
    """A recommender's message."""

    act: str
    items: tuple[str, ...]
    """Ids of the films that it names and the graph knows."""
    wishes: tuple[Attribute, ...]
    """Genres, persons and decades that it names outside titles."""
    true_claims: int = 0
    false_claims: int = 0
    """Facts stated of the one film that it names, against the graph."""
    unknown_title: bool = False
    """It names a film with a year that the graph does not know."""


class Said(Struct, frozen=True, kw_only=True):
    """A seeker's message."""

    wants: tuple[Attribute, ...]
    avoids: tuple[Attribute, ...]
    indifferent: tuple[Attribute, ...]
    """What it says does not matter."""
    liked: tuple[str, ...]
    """Ids of films that it tells of."""
    refused: bool
    accepts: bool
    satisfaction: float
    """What its mood phrase, or its saying yes, shows, in [0, 1]."""


class Ear:
    """Reads messages with one knowledge graph."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        self.graph = graph
        self.recommender = lru_cache(maxsize=50_000)(self._recommender)
        self.seeker = lru_cache(maxsize=50_000)(self._seeker)
        self.covering = lru_cache(maxsize=20_000)(self._covering)

    def _covering(self, attributes: frozenset[Attribute]) -> tuple[str, ...]:
        return self.graph.covering(attributes)

    def _recommender(self, text: str) -> Heard:
        items = self.graph.titles_in(text)
        bare = self._without(text, items)
        wishes = self.graph.attributes_in(bare)
        true, false = self._claims(bare, items, wishes)
        return Heard(
            act=act_of(bare),
            items=items,
            wishes=wishes,
            true_claims=true,
            false_claims=false,
            unknown_title=not items and _TITLE_WITH_YEAR.search(text) is not None,
        )

    def _claims(self, bare: str, items: tuple[str, ...], named: Iterable[Attribute]) -> tuple[int, int]:
        if len(items) != 1:
            return 0, 0
        has = self.graph.attributes(items[0])
        checks = [attribute in has for attribute in named]
        year = self.graph.item(items[0]).year
        checks += [int(match[1]) == year for match in _YEAR_CLAIM.finditer(bare)]
        return sum(checks), len(checks) - sum(checks)

    def _seeker(self, text: str) -> Said:
        items = self.graph.titles_in(text)
        bare = self._without(text, items)
        named: dict[Stance, dict[Attribute, None]] = {"wants": {}, "avoids": {}, "open": {}}
        of_wishes: list[Part] = []
        for part in parts(bare):
            if found := self.graph.attributes_in(bare[part.start : part.end]):
                named[part.stance].update(dict.fromkeys(found))
                of_wishes.append(part)
        # "I don't like horror" turns a genre down, not the film that was offered.
        turned_down = (match.end() for match in _REFUSAL.finditer(bare))
        refused = any(not any(part.start < end <= part.end for part in of_wishes) for end in turned_down)
        accepts = not refused and _YES.search(bare) is not None
        mood = _MOOD.search(text)
        shown = phrases.SHOWN[_GRADES[mood[0].lower()]] if mood else _sentiment(text)
        return Said(
            wants=tuple(a for a in named["wants"] if a not in named["avoids"]),
            avoids=tuple(named["avoids"]),
            indifferent=tuple(named["open"]),
            liked=() if refused else items,
            refused=refused,
            accepts=accepts,
            satisfaction=max(shown, _ACCEPTED) if accepts else shown,
        )

    def _without(self, text: str, items: Iterable[str]) -> str:
        # Titles may hold genre words and negations ("The Crime ...", "No Country ..."), which are no wishes.
        return self.graph.titles.without(text, items, "this")

    def spoken(self, name: str) -> str:
        """A film's name as a sentence has it, so that every reader recognises a film."""
        item = self.graph.titles.find(name)
        return spoken_name(item) if item else name


_TITLE_WITH_YEAR = re.compile(r"[A-Z0-9][^.?!]{0,80}\((?:19|20)\d{2}\)")


def _sentiment(text: str) -> float:
    # For seekers played by a language model: counts of plain words, moved towards the middle.
    good, bad = len(_GOOD.findall(text)), len(_BAD.findall(text))
    return (good + 1.5) / (good + bad + 3.0)
