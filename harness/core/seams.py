"""Every swap point of the system, each a Protocol with one method (a served model has two).

A new baseline is a `Recommender`, a new simulated user a `Seeker`, a new reward a `Judge`, a new planner a `Policy`, a
new server or a recording a `ChatModel`, a new corpus a `Dataset`. Nothing else needs to know. Implementations raise
only `harness.core.errors.ExpertError` (this turn failed), `RunStopped` (the run must stop) or `InputError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

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
        """Answer the seeker's last message; safe to call for many conversations at once.

        Args:
            state: s_t, the dialogue that ends with the seeker's message.

        Returns:
            The message, and of the other fields those that this system fills.

        Raises:
            ExpertError: this turn failed; the conversation is censored.
        """
        ...


class Seeker(Protocol):
    """A simulated user."""

    async def reply(self, scenario: Scenario, state: State) -> SeekerReply:
        """Answer the recommender's last message, or open the conversation where nothing was said yet.

        Args:
            scenario: the persona to play and the goal to follow.
            state: the dialogue so far; its last turn has no reply yet.

        Returns:
            Private feelings, spoken text, and whether and how the seeker ends the conversation.

        Raises:
            ExpertError: this turn failed; the conversation is censored.
        """
        ...


class Judge(Protocol):
    """A reward model or evaluator."""

    async def score(self, state: State) -> Score:
        """Read the dialogue up to and including the seeker's last reply.

        Args:
            state: the dialogue that ends with the seeker's reply.

        Returns:
            The reward r_t in [0, 1] with its details; the reward is None where the reading is missing.

        Raises:
            ExpertError: the reading failed.
        """
        ...


class Policy(Protocol):
    """A planner: pi(.|s), a pure function of the state (no sampling, no memory)."""

    def distribution(self, state: State) -> Sequence[float]:
        """The acting distribution. It may block: it runs in a worker thread, or on the event loop of an `Immediate`.

        Args:
            state: s_t.

        Returns:
            One probability for each of the run's strategies, in their order; they sum to 1.
        """
        ...


@runtime_checkable
class Together(Protocol):
    """A `Policy` that answers for many states at once, where that is quicker than one after the other."""

    def distributions(self, states: Sequence[State]) -> Sequence[Sequence[float]]:
        """`Policy.distribution` of each state, with the same bits, whichever states are asked together."""
        ...


class Immediate:
    """Base of policies that answer within microseconds; for these a worker thread would cost more than the answer."""


class ChatModel(Protocol):
    """A language model, local, remote or recorded."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Make one call.

        Args:
            request: the prompt, the decoding settings, and how many replies or which labels are wanted.

        Returns:
            The n replies, or the log-probabilities of the labels, with their cost.

        Raises:
            ExpertError: this call failed.
            RunStopped: no call to this model can succeed.
        """
        ...


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a server offers beyond the plain chat API (found by asking it once)."""

    label_logprobs: bool
    """Log-probabilities of given tokens in one decode step (vLLM, scripted); without it, rewards are sampled."""
    choices: bool
    """Replies constrained to given strings or patterns; without it, the prompt alone asks for them."""


class Served(ChatModel, Protocol):
    """A `ChatModel` that knows what its server offers: `harness.core.model.llm.OpenAIChat`, or its recording."""

    async def capabilities(self) -> Capabilities:
        """What the server offers; it is asked once."""
        ...


class Dataset(Protocol):
    """A corpus of human dialogues."""

    def dialogues(self) -> Sequence[Dialogue]:
        """All dialogues in file order; raises `DataError` with file:line:column for a bad row."""
        ...
