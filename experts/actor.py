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
from experts.replies import ActorReply, read_actor_reply, read_cut_actor_reply
from harness.core import seeds
from harness.core.errors import ReplyError
from harness.core.messages import ChatRequest, Item, State
from harness.core.model.glimpse import glimpse_of
from harness.core.seams import ChatModel
from harness.domain.strategies import Strategy

ROLE = "actor"
_TRIES = 2


class Actor:
    """Writes messages; ``strategies`` are the run's, to look up the description of a decision's key."""

    def __init__(
        self,
        model: ChatModel,
        strategies: tuple[Strategy, ...],
        *,
        temperature: float = 0.7,
        max_tokens: int = 220,
        stop: tuple[str, ...] = (),
    ) -> None:
        self._model = model
        self._strategies = {strategy.key: strategy for strategy in strategies}
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._stop = stop

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
        on_table = table(state)
        for attempt in range(_TRIES):
            reply = await self._model.complete(
                ChatRequest(
                    role=ROLE,
                    episode=state.episode,
                    turn=state.turn,
                    messages=messages,
                    max_tokens=self._max_tokens,
                    temperature=self._temperature,
                    seed=seeds.request_seed(state.seed, state.turn, ROLE, attempt),
                    stop=self._stop,
                    json_schema=reply_schema(len(candidates)),
                )
            )
            text = reply.texts[0] if reply.texts else ""
            spoken = read_actor_reply(text, candidates, on_table)
            if spoken is None and reply.usage.truncated:
                spoken = read_cut_actor_reply(text, candidates)
            if spoken is not None:
                return spoken
        raise ReplyError(
            f"the actor gave no readable reply in {_TRIES} tries in turn {state.turn}; it said {glimpse_of(reply)} "
            "where a JSON object was asked for by a schema (`doctor` tells whether the server enforces one)"
        )


def table(state: State) -> frozenset[str]:
    """Ids of the items under discussion: those of the latest turn that recommended any."""
    latest = next((turn.recommended for turn in reversed(state.turns) if turn.recommended), ())
    return frozenset(latest)


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
