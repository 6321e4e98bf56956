"""The Actor (Eq. 5): writes the recommender's message under the planner's strategy, with preferences and candidates.

It also reads the dialogue (decision 10). Its reply is one JSON object, text and the numbers of the recommended
candidates (decision 13), which the server is asked to enforce by a schema. A broken reply is asked for once more with
another seed, then the turn fails as data: prose where an object was enforced means that the enforcement does not work,
and taking it would hide that. A reply cut at the token limit is no broken reply: its text counts and the client records
the truncation. Left out: reading the object (``experts.replies``).
"""

from __future__ import annotations

import msgspec

from experts.prompts import actor_messages
from experts.replies import ActorReply, read_spoken
from harness.core import seeds
from harness.core.messages import ChatRequest, Item, State
from harness.core.model.asking import ask
from harness.core.seams import ChatModel
from harness.domain.strategies import Strategy

ROLE = "actor"


class Actor:
    """Writes messages; ``strategies`` are the run's, to look up the description of a decision's key."""

    def __init__(
        self,
        model: ChatModel,
        strategies: tuple[Strategy, ...],
        *,
        temperature: float,
        max_tokens: int,
    ) -> None:
        self._model = model
        self._strategies = {strategy.key: strategy for strategy in strategies}
        self._temperature = temperature
        self._max_tokens = max_tokens

    async def speak(
        self, state: State, *, strategy: str | None, preferences: str = "", candidates: tuple[Item, ...] = ()
    ) -> ActorReply:
        """The message and what it recommends; ``strategy`` None lets the actor choose its own way.

        `ReplyError` where no try gave a readable object; ids in the reply are always candidates'.
        """
        messages = actor_messages(
            state,
            strategy=self._strategies[strategy] if strategy is not None else None,
            preferences=preferences,
            candidates=candidates,
        )
        return await ask(
            self._model,
            lambda attempt: ChatRequest(
                role=ROLE,
                episode=state.episode,
                turn=state.turn,
                messages=messages,
                max_tokens=self._max_tokens,
                temperature=self._temperature,
                seed=seeds.request_seed(state.seed, state.turn, ROLE, attempt),
                json_schema=reply_schema(len(candidates)),
            ),
            lambda reply: read_spoken(reply, candidates, state),
        )


def reply_schema(candidates: int) -> msgspec.Raw:
    """JSON schema of the reply; ``items`` lists candidate numbers 1..candidates and is absent if there are none."""
    properties: dict[str, object] = {"text": {"type": "string"}}
    if candidates:
        numbers = {"type": "integer", "enum": list(range(1, candidates + 1))}
        # Without a bound a small model repeats numbers until the token limit.
        properties["items"] = {"type": "array", "items": numbers, "maxItems": candidates}
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return msgspec.Raw(msgspec.json.encode(schema))
