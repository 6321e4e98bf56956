"""Reading what the roles of PCCRS answer, and the JSON schemas that they are asked by; pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from experts.actor import reply_schema
from experts.baselines.tactics import TACTICS, Tactic
from experts.replies import read_spoken
from harness.core.messages import ChatReply, Item, State
from harness.core.sections import one_line

NAMED = 2
"""Strategies that are asked for."""
Move = Literal["talk", "recommend", "explain"]
_MOVES: dict[str, Move] = {"talk": "talk", "recommend": "recommend", "explain": "explain"}
_MOVE = re.compile(r'(?<!\\)"move"\s*:\s*"(talk|recommend|explain)"')


class Picked(NamedTuple):
    """The picker's message, the candidate that it speaks of and its mark; a cut or careless reply has no mark."""

    text: str
    item: Item | None
    mark: Move | None


class _Strategies(msgspec.Struct):
    # Unlike our own records, it accepts further keys: a model may add a thought.
    strategies: tuple[str, ...]


def read_pick(reply: ChatReply, shown: Sequence[Item], state: State) -> Picked | None:
    """The picker's object; None where it is broken. Of several films the first counts."""
    spoken = read_spoken(reply, shown, state)
    if spoken is None:
        return None
    item = next((film for film in shown if film.id in spoken.recommended[:1]), None)
    marks = _MOVE.findall(reply.texts[0])
    return Picked(text=spoken.text, item=item, mark=_MOVES[marks[-1]] if marks else None)


def read_names(reply: ChatReply) -> tuple[Tactic, ...] | None:
    """The named tactics, at most two, without repeats; None where a name is none of them."""
    try:
        names = msgspec.json.decode(reply.texts[0].strip(), type=_Strategies).strategies
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    known = {tactic.name: tactic for tactic in TACTICS}
    found = [known.get(name.strip().upper()) for name in names]
    kept = tuple(dict.fromkeys(tactic for tactic in found if tactic is not None))[:NAMED]
    return kept if kept and None not in found else None


def pick_schema(shown: int) -> msgspec.Raw:
    """JSON schema of the picker's object: the actor's with a mark, and at most one film."""
    schema = msgspec.json.decode(reply_schema(shown))
    if shown:
        schema["properties"]["items"]["maxItems"] = 1
    schema["properties"]["move"] = {"type": "string", "enum": list(_MOVES)}
    schema["required"].append("move")
    return msgspec.Raw(msgspec.json.encode(schema))


def names_schema(offered: Sequence[Tactic]) -> msgspec.Raw:
    """JSON schema of the selector's object."""
    names = {"type": "string", "enum": [tactic.name for tactic in offered]}
    schema = {
        "type": "object",
        "properties": {"strategies": {"type": "array", "items": names, "minItems": NAMED, "maxItems": NAMED}},
        "required": ["strategies"],
        "additionalProperties": False,
    }
    return msgspec.Raw(msgspec.json.encode(schema))


def read_critique(reply: ChatReply) -> str | None:
    """The critic's line; None where it is blank."""
    return one_line(reply.texts[0]).strip() or None
