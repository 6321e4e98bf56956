"""Named sections of a prompt: render and parse them, so that any reader, human or scripted, finds each part.

A section is a header line ``### NAME`` and the lines below it. A body line that could be taken for a header is escaped
with a backslash, so text from models or data can never open a section, and `parse` undoes it:
``parse(render(s)) == s``. A dialogue is one line an utterance, ``Seeker: ...`` or ``Recommender: ...``; line breaks
inside an utterance become blanks, so no utterance can forge another speaker's line.

Which role reads which sections, in this order (what is stable first, what changes every turn last, so that a
server's prefix cache holds):

=====================  ==============================  =================================================
role                   system message                  user message
=====================  ==============================  =================================================
preference_reasoner    ROLE, INSTRUCTIONS              DIALOGUE, TASK
actor                  ROLE, INSTRUCTIONS              DIALOGUE, TURN, PREFERENCES, CANDIDATES, STRATEGY, TASK
seeker                 ROLE, INSTRUCTIONS              PERSONA, GOAL, DIALOGUE, TASK
planner (prompted)     ROLE, INSTRUCTIONS              DIALOGUE, PLAYED, TURN, TASK
reward, evaluator      ROLE, INSTRUCTIONS              DIALOGUE, TASK
=====================  ==============================  =================================================

The body of ROLE is the role's key alone on its first line. A section without content is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from harness.core.messages import Message, Utterance

_HEADER = re.compile(r"### ([A-Z][A-Z ]*)$")
_ESCAPE = re.compile(r"^(\\*)### ", re.MULTILINE)
_UNESCAPE = re.compile(r"^\\(\\*)### ", re.MULTILINE)
_SPEAKERS = {"seeker": "Seeker", "recommender": "Recommender"}


def render(sections: Mapping[str, str]) -> str:
    """Sections in order; empty bodies are left out. Names are capitals and blanks."""
    parts = []
    for name, body in sections.items():
        if not _is_name(name):
            raise ValueError(f"{name!r} is not a section name")
        if body:
            escaped = _ESCAPE.sub(r"\\\g<0>", body) if "### " in body else body
            parts.append(f"### {name}\n{escaped}\n")
    return "\n".join(parts)


def parse(text: str) -> dict[str, str]:
    """The inverse of `render`; text before the first header is ignored, of two equal names the first counts."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.split("\n"):
        header = _HEADER.match(line)
        if header:
            current = []
            found.setdefault(header[1], current)
        elif current is not None:
            current.append(line)
    return {name: _UNESCAPE.sub(r"\1### ", "\n".join(_without_last_blanks(lines))) for name, lines in found.items()}


def _without_last_blanks(lines: list[str]) -> list[str]:
    # render adds one line break after a body and one between sections; bodies themselves are stored stripped.
    end = len(lines)
    while end and not lines[end - 1]:
        end -= 1
    return lines[:end]


def one_line(text: str) -> str:
    """Text without control characters and line breaks of any kind, runs of blanks folded."""
    if text.isprintable():
        # The ordinary case is fast: the blank is the only white space of a printable text.
        return " ".join(text.split()) if "  " in text else text.strip()
    shown = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)
    return " ".join(shown.split())


def render_dialogue(history: Iterable[Utterance]) -> str:
    """One line for each utterance; a longer history only adds lines at the end."""
    return "\n".join(f"{_SPEAKERS[u.speaker]}: {one_line(u.text)}" for u in history)


def parse_dialogue(text: str) -> tuple[Utterance, ...]:
    """The inverse of `render_dialogue` up to blanks; lines of no known speaker are ignored."""
    said = []
    for line in text.split("\n"):
        head, colon, rest = line.partition(": ")
        if colon and head == "Seeker":
            said.append(Utterance(speaker="seeker", text=rest))
        elif colon and head == "Recommender":
            said.append(Utterance(speaker="recommender", text=rest))
    return tuple(said)


def prompt(role: str, instructions: str, user: Mapping[str, str]) -> tuple[Message, ...]:
    """The two messages of every expert: a stable system message and the user message's sections."""
    return (
        _system(role, instructions),
        Message(role="user", content=render(user)),
    )


@lru_cache(maxsize=64)
def _system(role: str, instructions: str) -> Message:
    return Message(role="system", content=render({"ROLE": role, "INSTRUCTIONS": instructions}))


@lru_cache(maxsize=64)
def _is_name(name: str) -> bool:
    return _HEADER.match(f"### {name}") is not None
