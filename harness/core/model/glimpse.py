"""The beginning of a model's reply, for messages about replies that could not be used."""

from __future__ import annotations

from harness.core.messages import ChatReply, Usage
from harness.core.model.wire import redact

_SHOWN = 80


def glimpse(text: str, usage: Usage) -> str:
    """The beginning of a reply in quotation marks, on one line and without keys.

    Args:
        text: the reply.
        usage: the usage of its call. It shows whether an empty reply was only thought, and whether it was cut.
    """
    line = redact(text, ())
    if not line:
        cut = ", cut at its token limit" if usage.truncated else ""
        return f"nothing but thought{cut}" if usage.thoughts else f"nothing{cut}"
    return f'"{line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"}"'


def glimpse_of(reply: ChatReply) -> str:
    """`glimpse` of the first text of a reply."""
    return glimpse(reply.texts[0] if reply.texts else "", reply.usage)
