"""A `ChatModel` that answers from a function and keeps every request, and a few films and states to talk about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
import trio
import trio.testing
from numpy.typing import NDArray

from harness.core.messages import ChatReply, ChatRequest, Item, State, Turn, Usage

Answer = str | Sequence[str] | Mapping[str, float] | ChatReply | Exception


class FakeChatModel:
    """Answers each request with ``answer(request)``: text (said n times), texts, label log-probabilities, or an error.

    ``seconds`` is how long each call takes on trio's clock. ``requests`` holds all requests in order, ``live`` the
    number of calls under way.
    """

    def __init__(self, answer: Callable[[ChatRequest], Answer], *, seconds: float = 0.0) -> None:
        self._answer = answer
        self._seconds = seconds
        self.requests: list[ChatRequest] = []
        self.live = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        self.live += 1
        try:
            await trio.sleep(self._seconds)
        finally:
            self.live -= 1
        answer = self._answer(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, ChatReply):
            return answer
        usage = Usage(calls=1)
        if isinstance(answer, str):
            return ChatReply(texts=(answer,) * request.n, usage=usage)
        if isinstance(answer, Mapping):
            return ChatReply(texts=("",), usage=usage, label_logprobs=dict(answer))
        return ChatReply(texts=tuple(answer), usage=usage)


def in_order(*answers: Answer) -> Callable[[ChatRequest], Answer]:
    """An answer function that gives these, one a request."""
    left = iter(answers)
    return lambda _request: next(left)


def cut_off(text: str) -> ChatReply:
    """A reply that ran into the token limit."""
    return ChatReply(texts=(text,), usage=Usage(calls=1, truncated=1))


def hashed_words(text: str, width: int = 64) -> NDArray[np.float32]:
    """An embedding without a model: a bag of words hashed into ``width`` buckets, of length 1."""
    vector = np.zeros(width, dtype=np.float32)
    for word in "".join(c if c.isalnum() else " " for c in text.lower()).split():
        vector[int.from_bytes(word.encode(), "big") % (2**61 - 1) % width] += 1.0
    norm = float(np.linalg.norm(vector))
    return vector / np.float32(norm) if norm else np.full(width, width**-0.5, dtype=np.float32)


HEAT = Item(
    id="heat",
    title="Heat",
    year=1995,
    genres=("crime", "drama"),
    directors=("Michael Mann",),
    stars=("Al Pacino", "Robert De Niro"),
)
ALIEN = Item(
    id="alien",
    title="Alien",
    year=1979,
    genres=("horror", "sci-fi"),
    directors=("Ridley Scott",),
    stars=("Sigourney Weaver",),
)
FARGO = Item(
    id="fargo",
    title="Fargo",
    year=1996,
    genres=("crime", "comedy"),
    directors=("Joel Coen",),
    stars=("Frances McDormand",),
)
AFFAIR = Item(
    id="affair",
    title="The Thomas Crown Affair",
    year=1999,
    genres=("crime", "romance"),
    directors=("John McTiernan",),
    stars=("Rene Russo",),
)
FILMS = (HEAT, ALIEN, FARGO, AFFAIR)


def state_of(*said: str, recommended: Sequence[tuple[str, ...]] = (), **fields: Any) -> State:
    """A state from what was said in turn: seeker, recommender, seeker, ...; ``recommended`` by recommender turn."""
    opening, rest = (said[0] if said else ""), said[1:]
    turns = []
    for index in range(0, len(rest), 2):
        turns.append(
            Turn(
                strategy="no_strategy",
                preferences="",
                response=rest[index],
                recommended=recommended[index // 2] if index // 2 < len(recommended) else (),
                reply=rest[index + 1] if index + 1 < len(rest) else "",
            )
        )
    given: dict[str, Any] = {"episode": "e0", "seed": 7, "max_turns": 10, "opening": opening, "turns": tuple(turns)}
    return State(**given | fields)


def run_on_fake_clock(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """``trio.run`` on a clock that leaps to the next deadline, so that no real time passes."""
    return trio.run(function, *args, clock=trio.testing.MockClock(autojump_threshold=0))
