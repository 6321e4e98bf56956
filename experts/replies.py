"""Reading what language models answer: pure functions from text to values, None where nothing usable is there.

Small models break formats, so each reader says exactly what it tolerates. Nothing is clamped, completed or guessed: a
rating outside 1..5 is no rating. Retrying is the experts' part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from harness.core.messages import ChatReply, Item, State, Struct
from harness.core.sections import one_line
from harness.domain.titles import TitleIndex

NOTHING_KNOWN = "Wants: nothing known yet"
"""The preferences of a seeker who has told nothing."""

_MAX_PREFERENCE_CHARS = 400
# About 100 tokens: a small model that rambles must not flood the actor's prompt or the retriever's query.

_BLANKS = " \t\r\n"
_EMPHASIS = re.compile(r"[*_`]")
_RATING = re.compile(
    r"(?:(?:(?:my|the|final|overall) )*(?:rating|score|answer)(?: is)?[ \t]*[:=]?[ \t\r\n]*)?"
    r"(?P<bracket>[(\[\"'])?([1-5])(?:\.0+)?(?:[ ]?/[ ]?5|[ ]out of 5)?(?(bracket)[)\]\"'])\.?",
    re.IGNORECASE,
)
_REASON = re.compile(r"[ \t\r]*\n|[ ](?:because|since)\b")
"""Between a rating and its reason. No full stop or dash: in "1. The seeker ..." the digit may number a list."""
_RATING_KEYS = frozenset({"rating", "score", "answer", "reward"})
# Not a word of one letter: "A film ..." and "I'd say ..." are no choice.
_LETTER = re.compile(r"[\s\"'(\[*]*([A-Z])'?\s*(?:[.)\]:=*\"]|$)")
_LABEL = re.compile(r"[\s\-*#>]*(wants|avoids|seen)\W*:\s*(.*)", re.IGNORECASE)
_EMPTY_WORDS = frozenset(
    {"", "none", "nothing", "n/a", "nothing known", "nothing known yet", "unknown", "not mentioned"}
)
_FENCE = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)
_CUT_TEXT = re.compile(r'\s*\{\s*"text"\s*:\s*"((?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)')
_OWN_NAME = re.compile(r"^\s*(?:recommender|assistant)\s*:\s*", re.IGNORECASE)
_OTHER_SPEAKER = re.compile(r"\n\s*(?:seeker|user|recommender|assistant)\s*:", re.IGNORECASE)


def read_rating(text: str) -> int | None:
    """A judge's reply that says one whole number 1..5 and no other, or None.

    Read are ``4``, ``4.``, ``4.0``, ``4/5``, ``4 out of 5``, ``Rating: 4``, each with emphasis (``**4**``), quotation
    marks or brackets around it; one of these with a reason behind it, on the next line or after "because" or "since",
    that holds no further digit; and a JSON object with one key of `_RATING_KEYS` whose value is such a number.
    Everything else is missing: it is never rounded, clamped or guessed.
    """
    plain = _EMPHASIS.sub("", text).strip(_BLANKS)
    if plain[:1] in ("{", "j"):
        return _rating_of_object(text)
    said = _RATING.match(plain)
    if said is None:
        return None
    rest = plain[said.end() :]
    if rest and (_REASON.match(rest) is None or any(character.isnumeric() for character in rest)):
        return None
    return int(said[2])


def _rating_of_object(text: str) -> int | None:
    fenced = _FENCE.search(text)
    try:
        pairs = json.loads((fenced[1] if fenced else text).strip(_BLANKS), object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        return None
    values = [value for key, value in pairs if key.lower() in _RATING_KEYS]
    value = values[0] if len(values) == 1 else None
    if isinstance(value, str):
        return int(value) if value in ("1", "2", "3", "4", "5") else None
    return int(value) if type(value) in (int, float) and value in (1, 2, 3, 4, 5) else None


def read_letter(text: str, letters: Sequence[str]) -> str | None:
    """A reply that begins with one of these letters alone, perhaps in brackets, as in ``B``, ``(B)`` or ``B = ...``."""
    match = _LETTER.match(text)
    return match[1] if match and match[1] in letters else None


class Preferences(Struct, frozen=True, kw_only=True):
    """The reasoner's lines as short phrases: what is wanted, avoided, already seen."""

    wants: tuple[str, ...] = ()
    avoids: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()


def tidy_preferences(text: str) -> str | None:
    """The reasoner's reply as the lines Wants, Avoids, Seen that it holds; None where it is blank.

    The first line of each label counts. A reply without any label is kept as it is, on one line: its words still
    serve the retriever and the actor. At most `_MAX_PREFERENCE_CHARS` characters a line.
    """
    found: dict[str, str] = {}
    for line in text.split("\n"):
        match = _LABEL.match(line)
        if match:
            phrases = _phrases(match[2])
            if phrases:
                found.setdefault(match[1].capitalize(), "; ".join(phrases)[:_MAX_PREFERENCE_CHARS])
            elif match[1].lower() == "wants":
                found.setdefault("Wants", "nothing known yet")
    if found:
        return "\n".join(f"{label}: {found[label]}" for label in ("Wants", "Avoids", "Seen") if label in found)
    return one_line(text)[:_MAX_PREFERENCE_CHARS].strip() or None


@lru_cache(maxsize=4_096)
def read_preferences(preferences: str) -> Preferences:
    """Preferences text -> its phrases; text without labels counts as wishes."""
    found: dict[str, tuple[str, ...]] = {}
    for line in preferences.split("\n"):
        match = _LABEL.match(line)
        if match:
            found.setdefault(match[1].lower(), _phrases(match[2]))
    return Preferences(**found) if found else Preferences(wants=_phrases(preferences))


def _phrases(text: str) -> tuple[str, ...]:
    phrases = (one_line(phrase).strip(" .,*\"'[]") for phrase in text.split(";"))
    return tuple(dict.fromkeys(phrase for phrase in phrases if phrase.lower() not in _EMPTY_WORDS))


class ActorReply(Struct, frozen=True, kw_only=True):
    """What the actor says, and the ids of the items that it recommends in it."""

    text: str
    recommended: tuple[str, ...] = ()


class _ActorObject(msgspec.Struct):
    # Unlike our own records, it accepts further keys: a model may add a thought.
    text: str
    items: object = None


def read_spoken(reply: ChatReply, candidates: Sequence[Item], state: State) -> ActorReply | None:
    """The message of a reply, whole or cut at the token limit; None where the reply is broken."""
    spoken = read_actor_reply(reply.texts[0], candidates, state.discussed)
    if spoken is None and reply.usage.truncated:
        return read_cut_actor_reply(reply.texts[0], candidates)
    return spoken


def read_actor_reply(reply: str, candidates: Sequence[Item], on_table: frozenset[str]) -> ActorReply | None:
    """The actor's JSON object, validated against the candidates; None where it is broken.

    Every listed number must be a candidate's. A listed item counts if the text names it or it is already on the table
    (the actor may say "it" of a film that was just discussed): nothing else would be a recommendation that the seeker
    could have heard. Where the list is missing or wrong, candidates that the text names by title stand in for it; where
    it names none either, the reply is broken. Without candidates nothing can be recommended and the list is ignored.
    """
    fenced = _FENCE.search(reply)
    try:
        found = msgspec.json.decode((fenced[1] if fenced else reply).strip(), type=_ActorObject)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    text = _spoken(found.text)
    if not text:
        return None
    if not candidates:
        return ActorReply(text=text)
    listed = _listed(found.items, candidates)
    if listed is None:
        named = _named(text, candidates)
        return ActorReply(text=text, recommended=named) if named else None
    ids = frozenset(item.id for item in listed)
    held = TitleIndex(candidates).named(text, pointed_at=ids)
    return ActorReply(
        text=text, recommended=tuple(item.id for item in listed if item.id in on_table or item.id in held)
    )


def read_cut_actor_reply(reply: str, candidates: Sequence[Item]) -> ActorReply | None:
    """The text of a JSON object that ran into the token limit; its items are those that the text names by title."""
    match = _CUT_TEXT.match(reply)
    try:
        text = _spoken(msgspec.json.decode(f'"{match[1]}"', type=str)) if match else ""
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return ActorReply(text=text, recommended=_named(text, candidates)) if text else None


def _listed(numbers: object, candidates: Sequence[Item]) -> tuple[Item, ...] | None:
    if not isinstance(numbers, list):
        return None
    # bool is an int in Python, but true is no candidate number.
    if not all(type(number) is int and 1 <= number <= len(candidates) for number in numbers):
        return None
    return tuple(candidates[number - 1] for number in dict.fromkeys(numbers))


def _named(text: str, candidates: Sequence[Item]) -> tuple[str, ...]:
    return TitleIndex(candidates).named(text)


def _spoken(text: str) -> str:
    """One line of the recommender's own speech: no control characters, no speaker names, no lines of others."""
    text = _OWN_NAME.sub("", text)
    other = _OTHER_SPEAKER.search(text)
    return one_line(text[: other.start()] if other else text)
