"""What a person's words ask for and what they turn away: the one reading of negation for all texts.

A text is cut into clauses, and each clause where a negation begins or ends. The parts before and after have a *stance*:

- ``wants``: nothing turns it away (``a drama`` in "a drama without romance"),
- ``avoids``: an odd number of negations stands over it (``romance`` there; "horror is not my thing"),
- ``open``: it says that this does not matter ("I don't mind horror").

Two negations cancel each other ("I don't hate horror", "nothing without romance"). Turns of phrase that only sound
negative ("can't get enough of", "wouldn't say no to", "nothing but", "why don't we") count as none. A list goes on
("I don't like horror, westerns or musicals").

It knows no genres and no films: whoever asks covers titles first (`covered`), since they hold negations and commas of
their own ("No Country for Old Men"). Left out: irony, and what "the second one" points at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

Stance = Literal["wants", "avoids", "open"]


class Part(NamedTuple):
    """``text[start:end]`` has one stance; the parts of a text follow each other, punctuation between them left out."""

    start: int
    end: int
    stance: Stance


def any_of(*phrases: str) -> re.Pattern[str]:
    """A pattern that finds one of these patterns, in any case of letters."""
    return re.compile("|".join(phrases), re.IGNORECASE)


_BREAK = any_of(
    r"(?:(?<!\b[A-Z])(?<!\bJr)(?<!\bMr)(?<!\bDr)\.|[;!?:\n—–]|\s-)+(?:\s|$)",
    r",\s?",
    r"(?<!anything )(?<!everything )(?<!nothing )(?<!all )(?<!none )(?<!anyone )\bbut\b",
    r"\b(?:though|although|however|because|so|whereas|while|then|unless)\b",
    r"\b(?:and|or|plus|as)\b(?=\s(?:I|we|it|that|this|you|also not|not|no|never|nothing|without"
    r"|definitely|certainly|(?:I'd |would |do |really |just |also )?(?:love|like|prefer|want|enjoy"
    r"|need|hate|dislike|avoid|give|show|find)|please|maybe|perhaps|can't|cannot|don't|won't)\b)",
    r"(?=\b(?:give|show|find|get) me\b)",
)
_SOUNDS_NEGATIVE = any_of(
    r"\bwould(?:n't| not| never) (?:mind|object to)\b",
    r"(?:n't|\bnot|\bnever|\bcannot)(?: ever)? (?:say no to|turn down)\b",
    r"(?:n't|\bnot|\bnever) (?:ever )?(?:get|have|had|be) enough(?: of)?\b",
    r"\bnever get(?:s)? (?:tired|sick|bored) of\b",
    r"\bcan(?:'t|not| not) (?:get|have) enough(?: of)?\b",
    r"\b(?:not|n't)(?: \w+)? enough\b",
    r"(?:n't|\bnot|\bcannot) (?:wait|go wrong|resist|help|beat|remember|think of|recall|decide"
    r"|choose|tell|pick)\b",
    r"(?:n't|\bnot) (?:only|just|merely|necessarily|know|have a|have any|have much)\b",
    r"\bnot (?:sure|certain|bad|to mention)\b",
    r"(?:\bnot|n't)(?: at all| really)? (?:opposed to|against|averse to|afraid of|scared of"
    r"|one to turn down)\b",
    r"\bno (?:doubt|idea|problem|worries|clue|preference|objections?|hurry|wonder|rush|harm|issue"
    r"|more than)\b",
    r"\b(?:nothing|none) (?:but|against|wrong with|beats|better than)\b",
    r"\bnothing like an? (?:good|nice)\b",
    r"\b(?:why|how) (?:not|don't)\b",
    r"n't (?:you|we|there|they|it|i|he|she|that|this)\b",
    r"(?:n't|\bnot|\bnever)(?: \w+)? (?:seen|watched|heard|had)\b",
    r"\bnever (?:disappoints?|fails?|gets? old)\b",
    r"^\s*(?:oh |well )?(?:no|nope|nah)(?= (?:i|im|we|it|its|that|thats|thank|thanks|please|what)\b)",
    r"\bmore or less\b",
    r"\bno less\b",
    r"\bwhy (?:do|should|would) (?:we|i) not\b",
)
"""Blanked before negations are counted."""
_OPEN = any_of(
    r"\bmatter",
    r"\bnever asked\b",
    r"\beither way\b",
    r"(?:n't|\bnot) (?:mind|care)\b",
    r"\bno need\b",
    r"(?:n't|\bnot) (?:have|need) to be\b",
    r"\bneed(?:n't| not) be\b",
    r"\bno strong feelings?\b",
)
_BEFORE = any_of(
    r"(?:\b(?:is|are|was|were|'s|'re)\s*|)(?:n't|\bnot|\bnever)(?: really| quite| at all| exactly"
    r"| ever)? (?:for (?:me|us|tonight|today|now)\b|my\b|our\b|what i\b|something i (?:like|want"
    r"|enjoy|watch)|a genre i\b|to my\b|today\b|tonight\b|really\b|so much\b|thanks?\b|please\b"
    r"|working\b|appealing\b|good\b|great\b|fun\b)",
    r"\bdo(?:es)?(?:n't| not)(?: really| quite| ever)? (?:work|appeal|interest|do |grab|excite|suit"
    r"|fit|speak)",
    r"\bbores? me\b",
    r"\b(?:is|are|get|gets|'s|'re) (?:so |too |really |just |always |all )*(?:boring|terrible|awful"
    r"|dull|bad|stupid|the worst|out\b|overrated|off the table|a no\b|a turn ?off|too much|too scary"
    r"|annoying|tiresome|silly)",
    r"\b(?:puts?|turns?) me off\b",
    r"\b(?:scares?|annoys?|depress(?:es)?|tires?) me\b",
    r"\bleaves? me cold\b",
    r"\bmakes? me (?:yawn|sick|cringe|sad)\b",
    r"\bnightmares\b",
    r"\bi(?:'ve| have|'m| am)?(?: really| just| simply| usually| always| rather)? (?:hate|dislike"
    r"|avoid|skip|detest|loathe|(?:can't|cannot|can not|don't|do not|never|could never|couldn't"
    r"|won't)(?: really| ever| even| usually)? (?:stand|like|watch|enjoy|want|bear|need|love"
    r"|get into|care for|fancy))(?: at all| much| so much| any ?more| today| tonight| now"
    r"| either)*\s*$",
    r"\b(?:no thanks|no thank you)\b",
)
"""A negation of what stands before it in its clause."""
_AFTER = any_of(
    r"n't\b(?:(?: \w+)? (?:want|like|need|watch|do) no\b)?",
    r"\b(?:do|does|did|is|are|was|were|ca|wo|would|could|should|has|have)nt\b",
    r"\b(?:not|cannot|never ever|never|no|nothing|none|neither|without|minus)\b",
    r"^\s*nor\b",
    r"\bnon-",
    r"\b(?:avoid(?:ing)?|hat(?:e|es|ed|ing)|loathe|despise|detest|dislik(?:e|es|ed|ing)|excluding"
    r"|skip(?:ping)?)\b",
    r"\bexcept(?: for)?\b",
    r"\b(?:anything|everything|all|anyone) but\b",
    r"\b(?:other|rather) than\b",
    r"\b(?:apart|aside) from\b",
    r"\binstead of\b",
    r"\b(?:tired|sick|bored|enough|weary|wary) (?:of|by|with)\b",
    r"\bfed up (?:with|of)\b",
    r"\bburn(?:ed|t) out on\b",
    r"\b(?:stay|steer|keep|shy|stays) (?:away|clear) (?:from|of)\b",
    r"\b(?:less|fewer)\b",
    r"\bpass on\b",
    r"\bturned down\b",
    r"\bleave out\b",
    r"\bdone with\b",
    r"\ballergic to\b",
    r"\bput off by\b",
    r"\btoo (?:much|many)\b",
    r"\bstop (?:with|suggesting|recommending)\b",
    r"\b(?:hardly|rarely|seldom|barely)(?: ever)? (?:like|watch|enjoy|care)\b",
    r"\blast thing i\b",
    r"\bnot a fan of\b",
    r"\banti-",
)
"""A negation of what stands behind it in its clause."""
_AGAIN_WANTED = re.compile(
    r"(?<!that )(?<!think )(?<!believe )(?<!say )(?<!if )(?<!thing )(?<!something )(?<!anything )(?<!whether )"
    r"\bi(?:'d| would| do|'m| am)?(?: really| just| only| much)? "
    r"(?:want|love|like|prefer|need|enjoy|crave|in the mood for)\b",
    re.IGNORECASE,
)
_VERBAL = any_of(
    r"n't\b",
    r"\bhate",
    r"\bdislike",
    r"\bdo not\b",
    r"\bcannot\b",
    r"\bnever\b",
    r"\bnt\b",
    r"\btired\b",
    r"\bsick\b",
    r"\bavoid",
)
_ITEM = r"[\w'’-]+(?: [\w'’-]+){0,2}"
_LISTED = re.compile(rf"\s*(?:(or|nor|and)\s+)?{_ITEM}(?:\s+(or|nor|and)\s+{_ITEM})?[\s.!?]*", re.IGNORECASE)
_NO_ITEM = re.compile(
    r"\b(?:i|i'd|i'll|i'm|you|we|it|please|instead|maybe|perhaps|something|some|just|only|prefer|want|like|love|give|"
    r"rather|yes|thanks|is|are|sounds?|with|from|how|what|try|let's)\b|^\s*an?\b",
    re.IGNORECASE,
)
_BARE_NO = re.compile(
    r"\s*(?:oh )?(?:no|nope|nah|never|not really|no thanks|no thank you|not for me|not today|not tonight|no way|pass|"
    r"i'll pass|not my thing|please no)[\s.!]*",
    re.IGNORECASE,
)
_OPPOSITE: dict[Stance, Stance] = {"wants": "avoids", "avoids": "wants", "open": "open"}


def covered(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with a neutral word of the same length in place of each span, so that places stay as they are."""
    for start, end in spans:
        text = f"{text[:start]}{'X' * (end - start)}{text[end:]}"
    return text


@lru_cache(maxsize=20_000)
def parts(text: str) -> tuple[Part, ...]:
    """The parts of a text with their stances, in order."""
    plain = text.replace("’", "'").replace("ʼ", "'").replace("`", "'")
    found: list[Part] = []
    at = 0
    before = ""
    # What parted this clause from the last one.
    listed = False
    breaks = [(m.start(), m.end(), m[0].strip()) for m in _BREAK.finditer(plain)]
    for start, end, mark in (*breaks, (len(plain), len(plain), "")):
        clause = plain[at:start]
        if "?" in before and found and _BARE_NO.fullmatch(clause):
            found[-1] = found[-1]._replace(stance="avoids")
        mine = _of_clause(clause, at)
        if before == "," and listed and _goes_on(plain, at, start, breaks):
            mine = [Part(at, start, "avoids")]
        elif clause.strip():
            listed = bool(mine) and mine[-1].stance == "avoids" and _continues(plain, clause, start)
        found += mine
        at, before = end, mark
    return tuple(part for part in found if text[part.start : part.end].strip())


def wanted(text: str, parts_of: Iterable[Part] | None = None) -> str:
    """The text without what it turns away or leaves open; the text itself where it does neither."""
    some = parts(text) if parts_of is None else tuple(parts_of)
    if all(part.stance == "wants" for part in some):
        return text
    return "; ".join(text[part.start : part.end].strip() for part in some if part.stance == "wants")


def _of_clause(clause: str, offset: int) -> list[Part]:
    end = offset + len(clause)
    plain = _SOUNDS_NEGATIVE.sub(lambda match: " " * len(match[0]), clause)
    if _OPEN.search(plain):
        return [Part(offset, end, "open")]
    behind = _BEFORE.search(plain)
    if behind:
        head = _of_clause(clause[: behind.start()], offset)
        turned = [part._replace(stance=_OPPOSITE[part.stance]) for part in head]
        return [*turned, Part(offset + behind.start(), end, "avoids")]
    marks = sorted(
        [(m.start(), 1) for m in _AFTER.finditer(plain)] + [(m.start(), 0) for m in _AGAIN_WANTED.finditer(plain)]
    )
    found: list[Part] = []
    at, negations = 0, 0
    for place, negates in marks:
        if place > at:
            found.append(Part(offset + at, offset + place, "avoids" if negations % 2 else "wants"))
        at, negations = place, negations + 1 if negates else 0
    found.append(Part(offset + at, end, "avoids" if negations % 2 else "wants"))
    return found


def _continues(plain: str, clause: str, at: int) -> bool:
    """Whether a list may go on behind a clause: its negation is a verb's, or the list ends with an "or"."""
    rest = re.split(r"[.!?;\n]", plain[at:], maxsplit=1)[0]
    return _VERBAL.search(clause) is not None or re.search(r"\b(?:or|nor)\b", rest, re.IGNORECASE) is not None


def _goes_on(plain: str, start: int, end: int, breaks: list[tuple[int, int, str]]) -> bool:
    """Whether a clause is a further item of a list: a few words without a verb."""
    piece = plain[start:end]
    listed = _LISTED.fullmatch(piece)
    return listed is not None and _NO_ITEM.search(piece) is None and _AFTER.search(piece) is None
