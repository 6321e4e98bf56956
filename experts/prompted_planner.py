"""A Planner without weights: a language model is shown the strategies and the dialogue, and chooses (decision 11).

The paper's "via prompting" reading. The model answers with one letter. Where its server gives label log-probabilities,
one decode step gives pi(.|s_t) over all strategies; elsewhere ten constrained replies of one request stand for it, and
the logged distribution is their frequencies. The choice is drawn from it as every planner's is, with the conversation's
own luck. Replies that name no strategy are dropped and counted. A turn without any readable one, or whose letters have
less probability than ``reward.mass_floor``, fails and is counted as a failed dialogue: no strategy is made up. The
letters have a fixed order, so a model's liking for early letters is part of its policy. Left out: learning, and with it
versions: it acts alike at every policy version.
"""

from __future__ import annotations

from collections import Counter

from experts.planner import PlannerQuery, sample
from experts.prompts import planner_messages, strategy_letters
from experts.replies import read_letter
from experts.reward import read_labels
from harness.core import seeds
from harness.core.errors import ReplyError
from harness.core.messages import ChatReply, ChatRequest, Decision, State, Struct
from harness.core.model.asking import ask
from harness.core.seams import ChatModel
from harness.domain.strategies import Strategy

ROLE = "planner"
SAMPLES = 10
_MAX_TOKENS = 8
"""Room for a letter and the strategy's name, where a server cannot constrain the reply."""


class _Chosen(Struct, frozen=True, kw_only=True):
    distribution: tuple[float, ...]
    label_mass: float | None = None
    invalid: int = 0


class PromptedPlanner:
    """Asks a model for the strategy.

    Args:
        model: the model that chooses.
        strategies: the run's strategies; their order gives the letters.
        labels: whether its server gives label log-probabilities.
        temperature: of the choice, above 0, with and without label log-probabilities.
        mass_floor: least probability in [0, 1] of all letters together; with less there is no choice.
    """

    def __init__(
        self,
        model: ChatModel,
        strategies: tuple[Strategy, ...],
        *,
        labels: bool,
        temperature: float,
        mass_floor: float,
    ) -> None:
        if not temperature > 0.0:
            raise ValueError(f"the planner's temperature must be positive, not {temperature}")
        self._model = model
        self._strategies = strategies
        self._letters = strategy_letters(strategies)
        self._labels = labels
        self._temperature = temperature
        self._mass_floor = mass_floor

    async def choose(self, query: PlannerQuery) -> Decision:
        """The strategy of the turn; `ReplyError` where the model named none, `CallError` where the call failed."""
        state = query.state
        chosen = await (self._read(state) if self._labels else self._sampled(state))
        index = sample(chosen.distribution, seeds.uniform(state.seed, state.turn, ROLE))
        return Decision(
            strategy=self._strategies[index].key,
            index=index,
            probabilities=chosen.distribution,
            policy_version=query.policy_version,
            label_mass=chosen.label_mass,
            invalid=chosen.invalid,
        )

    async def _read(self, state: State) -> _Chosen:
        reading = await ask(
            self._model,
            lambda attempt: self._request(state, attempt, labels=self._letters),
            lambda reply: read_labels(reply.label_logprobs, self._temperature, self._letters),
        )
        if reading.label_mass < self._mass_floor:
            raise ReplyError(
                f"the strategies' letters are {reading.label_mass:.2g} of the planner's next token in turn "
                f"{state.turn}, below reward.mass_floor = {self._mass_floor:g}: it wants to say something else"
            )
        return _Chosen(distribution=reading.distribution, label_mass=reading.label_mass)

    async def _sampled(self, state: State) -> _Chosen:
        invalid = 0

        def read(reply: ChatReply) -> _Chosen | None:
            nonlocal invalid
            letters = [read_letter(text, self._letters) for text in reply.texts]
            counts = Counter(letter for letter in letters if letter is not None)
            invalid += len(letters) - counts.total()
            if not counts:
                return None
            shares = tuple(counts[letter] / counts.total() for letter in self._letters)
            return _Chosen(distribution=shares, invalid=invalid)

        return await ask(self._model, lambda attempt: self._request(state, attempt, n=SAMPLES), read)

    def _request(self, state: State, attempt: int, *, n: int = 1, labels: tuple[str, ...] = ()) -> ChatRequest:
        return ChatRequest(
            role=ROLE,
            episode=state.episode,
            turn=state.turn,
            messages=planner_messages(state, self._strategies),
            max_tokens=1 if labels else _MAX_TOKENS,
            # As for the judge: a label reading must not depend on whether a server scales before it reports.
            temperature=1.0 if labels else self._temperature,
            seed=seeds.request_seed(state.seed, state.turn, ROLE, attempt),
            n=n,
            choices=() if labels else self._letters,
            label_logprobs=labels,
        )
