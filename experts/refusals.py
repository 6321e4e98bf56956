"""Films that the seeker has refused or knows: the one rule by which they move down, for every system.

It reads the seeker's words of the whole dialogue; the last word about a film counts. A film is out

- if the seeker turns it down or has seen it: by name ("Heat is not for me"), or pointing at the films that were
  recommended last ("not that one", "I've seen it", "no thanks"), and
- if the seeker brings it up as one that they know ("I loved Heat", "something like Heat"), before anybody offered it.

It is back in if a later message asks for it or takes to it ("tell me more about Heat", "okay, I will try Heat").
Preferences may rule further films out (``Avoids`` and ``Seen``): that is the retriever's part.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from harness.core.messages import State
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.stances import any_of, covered, parts

_IT = (
    r"(?:(?:it|this|them|those|these|both|all of them|that (?:one|film|movie|title)|that(?! (?:i|you|it|we|is|the|a)\b)"
    r"|(?:this|the first|the second|the last) (?:one|film|movie|title)|the (?:film|movie)|X{2,})\b)"
)
"""How a text points at a film; a title is covered by X's."""


def _said(*phrases: str) -> re.Pattern[str]:
    return any_of(*(phrase.replace("<IT>", _IT) for phrase in phrases))


# "No, thanks" is one clause, and a mark belongs to the clause before it: a question asks.
_CLAUSE = _said(
    r"(?:(?<!\b[A-Z])(?<!Jr)\.|[;!?\n—–])+(?:\s|$)",
    r",(?! ?thank)\s?",
    r"(?<!anything )(?<!everything )(?<!nothing )\bbut\b",
    r"\band\b(?=\s(?:i|we|give|show)\b)",
)
_REFUSES = _said(
    r"(?:n't|\bnot|\bnever)(?: really| quite| exactly| that| so| at all| ever)? (?:for (?:me|us)\b"
    r"|my (?:thing|taste|style|cup)|what (?:i|we|i'm)\b|interested|into|sold\b|convinced|keen|a fan|tempted"
    r"|in the mood|to my taste"
    r"|(?:the )?one (?:for me|i)\b|feeling (?:it|this|that)|sound(?:ing)? (?:good|like|right|appealing|great)"
    r"|something (?:i|for)\b|doing it)",
    r"(?:n't|\bnot|\bnever)(?: really| even| quite| that)?(?: \w+)? (?:like|want|watch|enjoy|love|see|stand|care for)"
    r"(?: to \w+)? <IT>(?! (?:to|when|if)\b)",
    r"\b(?:hate|hated|dislike[sd]?|detest|detested) <IT>(?! (?:when|if)\b)",
    r"\b(?:rather )?pass on\b",
    r"\b(?:i'll|i will|i'd rather|i would rather) pass\b",
    r"\bturned down\b",
    r"\bnot <IT>",
    r"\b(?:anything|everything|something) (?:but|other than) <IT>",
    r"\bno,? (?:thanks|thank you)\b",
    r"\b(?:something|anything) (?:else|different)\b(?! (?:about|you)\b)",
    r"\b(?:another|a different|other) (?:one|option|suggestion|pick)s?\b",
    r"\b(?:skip|forget) <IT>",
    r"^\s*(?:hmm?,? ?)?(?:pass|next|nah|nope)\W*$",
    r"\b(?:do|does)(?:n't| not)(?: really| quite)? (?:fit|appeal|interest|grab|suit|convince"
    r"|sound(?! (?:too |so |half )?bad))",
    r"<IT>(?:'s| is| was| looks| sounds| seems)(?: (?!not\b)\w+)? (?:boring|dull|awful|terrible|silly"
    r"|childish|too \w+)\b",
    r"\bnot again\b",
)
_SEEN = _said(
    r"\b(?:i|we|i've|we've|already|have)(?: (?:have|had|already|just|actually|also|both|recently|probably|definitely"
    r"|sadly|unfortunately|only|once|really))* (?:seen|saw|watched|rewatched|re-watched)(?: (?!was\b)\w+)? ?<IT>",
    r"\b(?:seen|watched) <IT> (?:already|before|twice|many times|too (?:often|many))",
    r"\balready (?:seen|watched|know|saw)\b",
    r"\bknow (?:it |that one )?already\b",
)
_NOT_SEEN = _said(
    r"(?:n't|\bnot|\bnever|\bhardly)(?: \w+)? (?:seen|saw|watched|see|watch)", r"\bhave you\b", r"\bif (?:i|you)\b"
)
_ASKS = _said(
    r"\b(?:watch|try|find|what about|how about|tell me|more about|recommend|is it|sounds?|interested in|go(?:ing)? with"
    r"|(?:want|like|love) to see|give|sold|actually|changed? my mind)\b",
    r"\?",
)
_MODEL = _said(r"\b(?:like|similar to|such as|along the lines of|as good as|in the style of|reminds? me of)\s+X{2,}")
_POINTS = _said(r"\b<IT>")
_KINDS = _said(r"\b(?:movies|films|flicks|stuff|things)\b")
_ONCE_MORE = _said(
    r"\b(?:would|could|can|will|i'd|love to|like to|happy to|excited to) (?:\w+ )*(?:watch|see) (?:\w+ )*again\b"
)


class Known(NamedTuple):
    """What the seeker's words say about films."""

    out: frozenset[str]
    """Refused or seen: ids of films to move down."""
    liked: tuple[str, ...]
    """Films that the seeker named without turning them down, in order: models of what they like."""


class _Clause(NamedTuple):
    """What one clause of the seeker says about films."""

    named: tuple[str, ...]
    refused: bool
    turned: bool
    """It refuses, has seen or turns away what it speaks of."""
    pointed: bool
    """It speaks of what was recommended last."""
    asks: bool
    again: bool
    """It would watch what it has seen once more."""


class FilmTalk:
    """Reads seekers' words for what they say about films; remembers messages, not conversations."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        self._graph = graph
        self._clauses = lru_cache(maxsize=20_000)(self._read)

    def known(self, state: State) -> Known:
        """The films that the seeker has refused, seen or liked by their own words, up to this state."""
        out: dict[str, None] = {}
        liked: dict[str, None] = {}
        offered: frozenset[str] = frozenset()
        table: tuple[str, ...] = ()
        for recommended, said in (((), state.opening), *((turn.recommended, turn.reply) for turn in state.turns)):
            table = recommended or table
            offered = offered.union(recommended)
            for clause in self._clauses(said, offered):
                if clause.again:
                    for item in clause.named or table:
                        out.pop(item, None)
                    continue
                for item in clause.named:
                    if clause.turned:
                        out[item] = None
                        if clause.refused or item in offered:
                            liked.pop(item, None)
                        else:
                            liked[item] = None
                    elif clause.asks:
                        out.pop(item, None)
                    elif item not in offered:
                        # Brought up by the seeker, so it is a film that they know.
                        out[item] = None
                        liked[item] = None
                if clause.pointed:
                    out.update(dict.fromkeys(table))
        return Known(out=frozenset(out), liked=tuple(liked))

    def _read(self, said: str, offered: frozenset[str]) -> tuple[_Clause, ...]:
        mentions = self._graph.titles.mentions(said, offered)
        text = covered(said, ((m.start, m.end) for m in mentions)).replace("’", "'")
        found = []
        at = 0
        for end in (*(match.end() for match in _CLAUSE.finditer(text)), len(text)):
            # The mark belongs to its clause: a question asks.
            clause = text[at:end]
            named = tuple(m.item for m in mentions if at <= m.start < end)
            away = bool(named) and any(p.stance == "avoids" and "XX" in clause[p.start : p.end] for p in parts(clause))
            refused = away or _REFUSES.search(clause) is not None
            seen = _SEEN.search(clause) is not None and _NOT_SEEN.search(clause) is None
            asks = _ASKS.search(clause) is not None and _MODEL.search(clause) is None
            again = _ONCE_MORE.search(clause) is not None
            # "Horror is not for me" speaks of horror, not of the film that was offered.
            of_kinds = _KINDS.search(clause) is not None or bool(self._graph.attributes_in(clause))
            elsewhere = bool(named) or (of_kinds and not _POINTS.search(clause))
            pointed = not elsewhere and (refused or seen)
            found.append(_Clause(named, refused, refused or seen, pointed, asks, again))
            at = end
        return tuple(clause for clause in found if clause.named or clause.pointed or clause.again)
