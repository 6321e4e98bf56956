"""How a baseline asks its model and reads free text, and the search that all baselines share."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from experts.wishes import RetrieverQuery
from harness.core import seeds
from harness.core.messages import ChatReply, ChatRequest, Evidence, Message, State
from harness.core.model import asking
from harness.core.seams import ChatModel
from harness.domain.knowledge_graph import KnowledgeGraph

T = TypeVar("T")

Search = Callable[[RetrieverQuery], Awaitable[Evidence]]
"""The shared retriever, as a lane's ``ask``."""

_NO_SCHEMA = msgspec.Raw(b"")
_OWN_NAME = re.compile(r"^\s*(?:recommender|assistant)\s*:\s*", re.IGNORECASE)
_OTHER_SPEAKER = re.compile(r"\b(?:Seeker|Recommender)\s*:")
_ENTRY = re.compile(r"^\s*(?:\d{1,2}\s*[.):]|[-*•])\s*(.+?)\s*$", re.MULTILINE)


async def ask(
    model: ChatModel,
    role: str,
    state: State,
    messages: tuple[Message, ...],
    read: Callable[[ChatReply], T | None],
    *,
    temperature: float,
    max_tokens: int,
    choices: tuple[str, ...] = (),
    json_schema: msgspec.Raw = _NO_SCHEMA,
    round_: int = 0,
) -> T:
    """The value that ``read`` gives for the reply; a reply for which it gives None is asked for once more.

    ``round_`` numbers the calls of one role in one turn, so that each has its own seed.
    """
    return await asking.ask(
        model,
        lambda attempt: ChatRequest(
            role=role,
            episode=state.episode,
            turn=state.turn,
            messages=messages,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seeds.request_seed(state.seed, state.turn, role, round_, attempt),
            choices=choices,
            json_schema=json_schema,
        ),
        read,
    )


def said(reply: ChatReply) -> str | None:
    """The recommender's own words of a reply in free text, line breaks kept; None where it has none.

    A small model may continue the dialogue: what follows the name of a speaker is not the recommender's message.
    """
    text = _OWN_NAME.sub("", reply.texts[0])
    other = _OTHER_SPEAKER.search(text)
    return text[: other.start() if other else len(text)].strip() or None


def films_named(text: str, graph: KnowledgeGraph) -> tuple[str, ...]:
    """Ids of the films of the graph that a free text names, in order: entries of a list first, then running text.

    An entry of a list (``1. Alien``) is a title by its place, so it needs no year and no quotation marks.
    """
    entries = (entry.strip('*_"“” ') for entry in _ENTRY.findall(text))
    return tuple(dict.fromkeys((*graph.listed(entries), *graph.titles_in(text))))
