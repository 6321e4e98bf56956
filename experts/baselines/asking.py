"""How a baseline asks its model, and the search that all baselines share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from experts.wishes import RetrieverQuery
from harness.core import seeds
from harness.core.messages import ChatReply, ChatRequest, Evidence, Message, State
from harness.core.model import asking
from harness.core.seams import ChatModel

T = TypeVar("T")

Search = Callable[[RetrieverQuery], Awaitable[Evidence]]
"""The shared retriever, as a lane's ``ask``."""

_NO_SCHEMA = msgspec.Raw(b"")


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
