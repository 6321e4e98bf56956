"""The Reward expert and the held-out evaluator: a judge's 1..5 reading of a state, scaled to r_t in [0, 1].

Three ways to read the same judge (decision 7):

- ``samples``: ten constrained replies of one request, the paper's way.
- ``multinomial``: ten draws, made here from the conversation's seed, out of the label distribution that one decode step
  gives: the same law as ten samples at the price of one token. Draws go through the inverse CDF of seeded uniforms, so
  two policies that meet the same state meet the same luck.
- ``expected``: the exact mean of that distribution, without sampling variance; the stop rule then sees an
  exact score.

A reply that cannot be read is dropped and counted, never clamped. With fewer valid replies than the quorum the reward
is missing (decision 6). It is also missing where the labels have hardly any of the model's probability
(``mass_floor``), since normalised noise looks like a rating. Left out: the stop rule r > tau
(``harness.core.conversation``). The maths is in pure functions at the end of the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Literal

import numpy as np

from experts.prompts import JudgeRole, judge_messages
from experts.replies import read_rating
from harness.core import seeds
from harness.core.messages import ChatRequest, Score, State, Struct
from harness.core.model.asking import TRIES
from harness.core.model.glimpse import glimpse
from harness.core.seams import ChatModel

RewardMode = Literal["samples", "multinomial", "expected"]

LABELS = ("1", "2", "3", "4", "5")
_MASS_TOLERANCE = 1e-3
# Log-probabilities come rounded to a few digits; a mass clearly above 1 means that they are none.


class LabelReading(Struct, frozen=True, kw_only=True):
    """A model's distribution over the labels that it was asked to choose from; a judge's are 1..5."""

    distribution: tuple[float, ...]
    """In the labels' order, at the role's temperature, sums to 1."""
    label_mass: float
    """Probability of any label at temperature 1, before normalising; low means that the model wanted to say more."""


class RewardExpert:
    """A `Judge` that asks a model (decision 7).

    Args:
        model: the judge.
        role: reward expert or evaluator.
        mode: the way of reading.
        samples: n, ratings for one state.
        quorum: valid samples needed, at most n; invalid ones are asked for once more.
        temperature: of the ratings.
        mass_floor: least probability in [0, 1] of all labels together; with less the reward is missing.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        role: JudgeRole,
        mode: RewardMode,
        samples: int,
        quorum: int,
        temperature: float,
        mass_floor: float,
    ) -> None:
        if not 1 <= quorum <= samples <= seeds.SPACING:
            raise ValueError(f"need 1 <= quorum <= samples <= {seeds.SPACING}, got quorum {quorum}, samples {samples}")
        if not (math.isfinite(temperature) and temperature > 0.0):
            raise ValueError(f"the judge's temperature must be positive, not {temperature}")
        self._model = model
        self._role = role
        self._mode = mode
        self._samples = samples
        self._quorum = quorum
        self._temperature = temperature
        self._mass_floor = mass_floor

    async def score(self, state: State) -> Score:
        """Read the dialogue up to the seeker's last reply; a failed call raises `CallError`."""
        if self._mode == "samples":
            return await self._sampled(state)
        return await self._read(state)

    async def _sampled(self, state: State) -> Score:
        valid: list[int] = []
        invalid = 0
        unread = ""
        for attempt in range(TRIES):
            missing = self._samples - len(valid)
            if not missing:
                break
            reply = await self._model.complete(self._request(state, attempt, n=missing))
            ratings = [(read_rating(text), text) for text in reply.texts[:missing]]
            read = [rating for rating, _ in ratings if rating is not None]
            valid += read
            invalid += missing - len(read)
            unread = unread or next((glimpse(text, reply.usage) for rating, text in ratings if rating is None), "")
        return Score(raw=tuple(valid), invalid=invalid, reward=quorum_reward(valid, self._quorum), unread=unread)

    async def _read(self, state: State) -> Score:
        for attempt in range(TRIES):
            reply = await self._model.complete(self._request(state, attempt, labels=LABELS))
            reading = read_labels(reply.label_logprobs, self._temperature)
            if reading is not None:
                break
        else:
            return Score(invalid=self._samples)
        if reading.label_mass < self._mass_floor:
            return Score(label_mass=reading.label_mass)  # the model wanted to say something else: no rating
        if self._mode == "expected":
            raw: tuple[int, ...] = ()
            reward = scaled(expected_rating(reading.distribution))
        else:
            raw = draw(reading.distribution, self._samples, seeds.derive(state.seed, len(state.turns), self._role))
            reward = scaled(math.fsum(raw) / len(raw))
        return Score(raw=raw, reward=reward, label_mass=reading.label_mass, distribution=reading.distribution)

    def _request(self, state: State, attempt: int, *, n: int = 1, labels: tuple[str, ...] = ()) -> ChatRequest:
        turn = len(state.turns)
        return ChatRequest(
            role=self._role,
            episode=state.episode,
            turn=turn,
            messages=judge_messages(self._role, state),
            max_tokens=1 if labels else 4,
            # A label reading must not depend on whether a server reports log-probabilities before or after scaling.
            temperature=1.0 if labels else self._temperature,
            seed=seeds.request_seed(state.seed, turn, self._role, attempt),
            n=n,
            choices=() if labels else LABELS,
            label_logprobs=labels,
        )


def scaled(rating: float) -> float:
    """The reward r = (rating - 1) / 4 in [0, 1] of a mean rating in [1, 5]."""
    return (rating - 1.0) / 4.0


def quorum_reward(ratings: Sequence[int], quorum: int) -> float | None:
    """The reward of the valid samples' mean, or None where there are fewer than ``quorum``."""
    if len(ratings) < max(quorum, 1):
        return None
    return scaled(math.fsum(ratings) / len(ratings))


def expected_rating(distribution: Sequence[float]) -> float:
    """sum_k k p(k) for p over 1..5, in [1, 5]."""
    mean = math.fsum(rating * p for rating, p in enumerate(distribution, start=1))
    return min(max(mean, 1.0), 5.0)  # p sums to 1 only up to rounding


def read_labels(
    logprobs: Mapping[str, float], temperature: float, labels: Sequence[str] = LABELS
) -> LabelReading | None:
    """The distribution softmax(l / T) over the labels.

    Args:
        logprobs: label -> log-probability l in nats, at temperature 1; ``-inf`` is a probability of 0.
        temperature: T > 0.
        labels: the labels in the order of the result.

    Returns:
        The distribution, and the label mass: the sum of exp(l) as the server gave them. None where a label is absent
        or the values are no log-probabilities.
    """
    if not all(label in logprobs for label in labels):
        return None
    values = [logprobs[label] for label in labels]
    best = max(values)
    if any(math.isnan(value) or value == math.inf for value in values) or best == -math.inf:
        return None
    if best > _MASS_TOLERANCE:
        return None
    mass = math.fsum(math.exp(value) for value in values)
    if mass > 1.0 + _MASS_TOLERANCE:
        return None
    weights = [math.exp((value - best) / temperature) for value in values]
    total = math.fsum(weights)
    return LabelReading(distribution=tuple(weight / total for weight in weights), label_mass=min(mass, 1.0))


def draw(distribution: Sequence[float], samples: int, seed: int) -> tuple[int, ...]:
    """Draw independent ratings.

    Args:
        distribution: (5,), p over the ratings 1..5.
        samples: number of draws.
        seed: the same seed gives the same ratings.

    Returns:
        ``samples`` ratings 1..5 in the order drawn; a rating of probability 0 is never drawn.
    """
    cumulative = np.array(list(accumulate(distribution)))
    uniforms = np.random.default_rng(seed).random(samples) * cumulative[-1]
    last = max(index for index, p in enumerate(distribution) if p > 0.0)
    indices = np.minimum(np.searchsorted(cumulative, uniforms, side="right"), last)
    return tuple(int(index) + 1 for index in indices)
