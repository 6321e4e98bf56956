"""What a model's reply said, cut short: for sentences about replies that could not be used."""

from __future__ import annotations

from harness.core.messages import ChatReply, Usage
from harness.core.model.wire import redact

_SHOWN = 80


def glimpse(text: str, usage: Usage) -> str:
    """The beginning of a reply in quotation marks, on one line and without keys; of an empty one, what it was.

    ``usage``: of the call that gave it; it tells whether a reply was only thought, and whether it was cut.
    """
    line = redact(text, ())
    if not line:
        cut = ", cut at its token limit" if usage.truncated else ""
        return f"nothing but thought{cut}" if usage.thoughts else f"nothing{cut}"
    return f'"{line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"}"'


def glimpse_of(reply: ChatReply) -> str:
    """The same of a reply's first text."""
    return glimpse(reply.texts[0] if reply.texts else "", reply.usage)
