"""One question to a model with bounded repair: a reply that cannot be read is asked for once more, with another seed.

If no reply can be read, the turn fails (`ReplyError`); nothing is made up. Left out: what is asked and how the answer
is read (the experts), and failed calls, which the client repeats (`harness.core.model.llm`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.core.errors import ReplyError
from harness.core.messages import ChatReply, ChatRequest
from harness.core.model.glimpse import glimpse_of
from harness.core.seams import ChatModel

T = TypeVar("T")

TRIES = 2


async def ask(model: ChatModel, request: Callable[[int], ChatRequest], read: Callable[[ChatReply], T | None]) -> T:
    """The value that ``read`` gives for the model's reply.

    Args:
        model: who is asked.
        request: the request of a try, from 0; each try has a seed of its own.
        read: None where the reply cannot be read. A reply that has no text where one was asked for is not read.

    Raises:
        ReplyError: no try gave a reply that can be read.
        CallError: a call failed.
    """
    for attempt in range(TRIES):
        asked = request(attempt)
        reply = await model.complete(asked)
        found = read(reply) if reply.texts or asked.label_logprobs else None
        if found is not None:
            return found
    raise ReplyError(_complaint(asked, reply))


def _complaint(request: ChatRequest, reply: ChatReply) -> str:
    who = request.role.replace("_", " ")
    if request.label_logprobs:
        return f"the {who}'s label probabilities could not be read in turn {request.turn}"
    complaint = f"the {who} gave no readable reply in {TRIES} tries in turn {request.turn}; it said {glimpse_of(reply)}"
    if request.json_schema:
        complaint += " where a JSON object was asked for by a schema (`doctor` tells whether the server enforces one)"
    return complaint
