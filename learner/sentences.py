"""What a frozen encoder reads of a state: the seeker's sentences, each encoded once and remembered.

A seeker's reply begins with a reaction and goes on with what it adds, so a state has three slots: the first sentence of
the newest message, the others of that message, and the others of all messages. A slot is a *sum* of sentence vectors
and their number: what was said once stays as visible as it was, where a mean would thin it out with every turn. What
the recommender said is not read: its strategies are numbers of the state (`learner.state_features`). Left out: the
projection that the head looks through (`learner.head`).
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.core.messages import State
from harness.domain.text_encoder import TextEncoder

SLOTS = 3
_REMEMBERED = 16_384
"""Sentences kept: 25 MB for MiniLM. Most come again: a run of 1,000 conversations says some thousands of them."""
_BOUNDARY = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Reading:
    """``slots`` (SLOTS, H + 1): sums of sentence vectors, and how many; ``newest`` (n, H): the newest message's;
    ``manner`` (2, H + 1): its mean and its last sentence, each with a 1."""

    slots: Tensor
    newest: Tensor
    manner: Tensor


class SentenceReader:
    """Reads states with one frozen encoder; the least recently used sentences are forgotten; safe in threads."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._known: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, state: State) -> Reading:
        """The slots of a state; zeros where nothing was said."""
        messages = [message for message in (state.opening, *(turn.reply for turn in state.turns)) if message.strip()]
        split = [self._vectors(message) for message in messages]
        newest = split[-1] if split else torch.zeros(0, self._encoder.width)
        ever = torch.cat([vectors[1:] for vectors in split]) if split else newest
        slots = torch.stack([_summed(part) for part in (newest[:1], newest[1:], ever)])
        return Reading(slots, newest, torch.stack([_mean(newest), _mean(newest[-1:])]))

    def _vectors(self, message: str) -> Tensor:
        return torch.stack([self._vector(sentence) for sentence in sentences(message)])

    def _vector(self, sentence: str) -> Tensor:
        with self._lock:
            if sentence in self._known:
                self._known.move_to_end(sentence)
                return self._known[sentence]
        vector = torch.from_numpy(self._encoder.embed(sentence))
        with self._lock:
            self._known[sentence] = vector
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return vector


def sentences(message: str) -> Sequence[str]:
    """A message cut after full stops, question and exclamation marks; the whole of it where there are none."""
    return _BOUNDARY.split(message.strip())


def _mean(vectors_NH: Tensor) -> Tensor:
    """(H + 1,): the mean vector and 1; zeros of nothing."""
    return _summed(vectors_NH) / max(len(vectors_NH), 1)


def _summed(vectors_NH: Tensor) -> Tensor:
    return torch.cat([vectors_NH.sum(dim=0), vectors_NH.new_tensor([float(len(vectors_NH))])])
