"""Every swap point of the system, each a Protocol with one method (a served model has two).

A new baseline is a `Recommender`, a new simulated user a `Seeker`, a new reward a `Judge`, a new planner a `Policy`, a
new server or a recording a `ChatModel`, a new corpus a `Dataset`. Nothing else needs to know. Implementations raise
only `harness.core.errors.ExpertError` (this turn failed), `RunStopped` (the run must stop) or `InputError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.core.messages import (
    ChatReply,
    ChatRequest,
    Dialogue,
    RecommenderTurn,
    Scenario,
    Score,
    SeekerReply,
    State,
    Struct,
)


class Recommender(Protocol):
    """A conversational recommender system."""

    async def respond(self, state: State) -> RecommenderTurn:
        """Answer the seeker's last message; safe to call for many conversations at once."""
        ...


class Seeker(Protocol):
    """A simulated user."""

    async def reply(self, scenario: Scenario, state: State) -> SeekerReply:
        """Answer the recommender's last message, or open the conversation where nothing was said yet."""
        ...


class Judge(Protocol):
    """A reward model or evaluator."""

    async def score(self, state: State) -> Score:
        """Read the dialogue up to and including the seeker's last reply."""
        ...


class Policy(Protocol):
    """A planner: pi(.|s), a pure function of the state (no sampling, no memory)."""

    def distribution(self, state: State) -> Sequence[float]:
        """Probabilities over the run's strategies, in their order; may block: it runs in a worker thread, or on the
        event loop where the policy is `Immediate`."""
        ...


class Immediate:
    """Base of policies that answer within microseconds, so a trip to a worker thread would cost more than that."""


class ChatModel(Protocol):
    """A language model behind some transport."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """One call; n replies, or the labels' log-probabilities."""
        ...


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a server offers beyond the plain chat API (found by asking it once)."""

    label_logprobs: bool
    """Log-probabilities of given tokens in one decode step (vLLM, scripted); without it, rewards are sampled."""
    choices: bool
    """Replies constrained to given strings or patterns; without it, the prompt alone asks for them."""


class Served(ChatModel, Protocol):
    """A `ChatModel` that knows what its server offers: `harness.core.model.llm.OpenAIChat`, or a tape of one."""

    async def capabilities(self) -> Capabilities:
        """What the server offers; it is asked once."""
        ...


class Dataset(Protocol):
    """A corpus of human dialogues."""

    def dialogues(self) -> Sequence[Dialogue]:
        """All dialogues in file order; raises `DataError` with file:line:column for a bad row."""
        ...
