"""The Actor (Eq. 5): writes the recommender's message under the planner's strategy, with preferences and candidates.

It also reads the dialogue (decision 10). Its reply is one JSON object: the text and the numbers of the recommended
candidates (decision 13). The request asks the server to enforce this by a schema. A broken reply is asked for once more
with another seed; then the turn fails. Prose in place of the object is not accepted: it shows that the enforcement does
not work. A reply that is cut at the token limit is not broken: its text counts, and the client records the cut.
Left out: reading the object (``experts.replies``).
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
    """Writes messages; ``strategies`` are the run's and give the description of a strategy's key."""

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
        """Write the recommender's message.

        Args:
            state: s_t.
            strategy: the key of the planner's strategy; None lets the actor choose its own way.
            preferences: the reasoner's lines; "" without a reasoner.
            candidates: the items that the actor may recommend, best first.

        Returns:
            The message and the ids of the recommended items, all of them candidates'.

        Raises:
            ReplyError: no try gave a readable object.
            CallError: the call failed.
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
