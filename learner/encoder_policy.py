"""The planner that reads: a text encoder and a linear head on what it reads of a state (decision 11).

pi(.|s) = softmax(W z + b), z the scaled inputs of `learner.head`: text and the numbers of `learner.state_features`. A
frozen encoder (``trainable_layers = 0``) reads the seeker's sentences, each once (`learner.sentences`). One whose upper
layers learn reads the whole state anew each time (`learner.segments`). Heads start at zero, so before warm-up the
planner is exactly uniform. An MLP head was worse in trials.

People's dialogues and a simulator's differ in their words: directions that tell the ones apart need not tell the
others apart. So a frozen encoder has a second head, for rewards, whose logits are added. Its inputs are fitted on the
states of the first update and its weights start at zero. The head that imitates people stays as the warm-up left it.

Bitwise: one state runs alone, in fp32, and the softmax in float64; ``log_probabilities`` uses the very same steps, so
the probabilities of a version can be recomputed to the last bit (one torch thread, same machine type).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.core.messages import State
from harness.domain.text_encoder import TextEncoder
from learner.head import Head
from learner.segments import SEGMENTS, Tokens, pooled_alone, pooled_batch, tokenize
from learner.sentences import SLOTS, Reading, SentenceReader
from learner.state_features import feature_count, state_features
from learner.state_text import state_text

Prepared = tuple[Reading | Tokens, Tensor]
"""Sentences (frozen) or tokens (trainable), and the state's numbers."""


class EncoderPolicy:
    """Encoder and linear head. ``trainable_layers``: how many of the encoder's top layers learn; all of them, and the
    embeddings too, where it equals their number. The encoder given is never changed: trained layers are copies.
    ``max_tokens`` and ``preferences`` are of the text that such layers read."""

    def __init__(
        self,
        encoder: TextEncoder,
        strategies: tuple[str, ...],
        *,
        trainable_layers: int,
        max_tokens: int,
        preferences: bool = False,
    ) -> None:
        self.encoder = encoder
        self.strategies = strategies
        self.trainable_layers = trainable_layers
        self.max_tokens = max_tokens
        self.preferences = preferences
        self._reader = SentenceReader(encoder)
        frozen = trainable_layers == 0
        self.model = encoder.model if frozen else _with_trainable_top(encoder, trainable_layers)
        self._heads = [
            Head(
                len(strategies),
                feature_count(strategies),
                parts=SLOTS if frozen else SEGMENTS,
                width=encoder.width,
                sentences=frozen,
            )
            for _ in range(2 if frozen else 1)
        ]
        self._learns = self._heads[0]

    def prepare(self, state: State) -> Prepared:
        numbers = torch.tensor(state_features(state, self.strategies))
        if self.trainable_layers == 0:
            return self._reader.read(state), numbers
        return tokenize(self.encoder, state_text(state, preferences=self.preferences), self.max_tokens), numbers

    def distribution(self, state: State) -> tuple[float, ...]:
        with torch.no_grad():
            return tuple(self._log_probabilities(*self._alone(self.prepare(state))).exp().tolist())

    def log_probabilities(self, prepared: Sequence[Prepared], *, batched: bool = False) -> Tensor:
        if not prepared:
            return torch.zeros(0, len(self.strategies), dtype=torch.float64)
        if batched:
            return self._log_probabilities(*self._together(prepared))
        return torch.stack([self._log_probabilities(*self._alone(one)) for one in prepared])

    def critic_inputs(self, prepared: Sequence[Prepared]) -> Tensor:
        """All inputs of the head that rewards train; where layers learn the numbers alone."""
        head = self._heads[-1]
        if not prepared:
            return torch.zeros(0, head.blocks[-1] if self.trainable_layers else sum(head.blocks))
        if self.trainable_layers:
            return head.number_inputs(torch.stack([numbers for _, numbers in prepared]))
        return head.inputs(*self._together(prepared))

    def fit_inputs(self, prepared: Sequence[Prepared]) -> None:
        """Fit the inputs of the head that learns now on these states, while it is still zero (see `Head.fit`)."""
        with torch.no_grad():
            said = [text.newest for text, _ in prepared if isinstance(text, Reading)]
            self._learns.fit(*self._together(prepared), torch.cat(said) if said else None)

    def learn_from_rewards(self) -> None:
        self._learns = self._heads[-1]

    def fit_to_rewards(self, prepared: Sequence[Prepared]) -> None:
        # A planner whose layers learn has one head, and planner.init may bring one that rewards have trained already.
        if prepared and not self._learns.learned and self.trainable_layers == 0:
            self.fit_inputs(prepared)

    def parameter_groups(self) -> dict[str, list[Tensor]]:
        head = self._learns
        groups = {"text": [head.text_weight], "numbers": [head.numbers_weight, head.bias]}
        if self.trainable_layers:
            groups["encoder"] = list(self._trained().values())
        return groups

    def weights(self) -> dict[str, Tensor]:
        """Heads with their inputs' scaling (``rewards.*``: the second one's), and ``encoder.*`` of trained layers."""
        found = {
            f"{prefix}{name}": tensor
            for prefix, head in zip(("", "rewards."), self._heads, strict=False)
            for name, tensor in head.tensors().items()
        }
        return found | {f"encoder.{name}": parameter.detach() for name, parameter in self._trained().items()}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self.weights().items():
                tensor.copy_(weights[name])

    def snapshot(self) -> Self:
        twin = copy.copy(self)
        twin._heads = [head.snapshot() for head in self._heads]
        twin._learns = twin._heads[self._heads.index(self._learns)]
        if self.trainable_layers:
            twin.model = _copy_sharing_frozen(self.model)
        return twin

    def _log_probabilities(self, text: Tensor, numbers: Tensor) -> Tensor:
        """Of one state or of N."""
        logits = self._heads[0].logits(text, numbers)
        for head in self._heads[1:]:
            logits = logits + head.logits(text, numbers)
        return torch.log_softmax(logits.double(), dim=-1)

    def _alone(self, prepared: Prepared) -> tuple[Tensor, Tensor]:
        text, numbers = prepared
        return text.slots if isinstance(text, Reading) else pooled_alone(self.model, text), numbers

    def _together(self, prepared: Sequence[Prepared]) -> tuple[Tensor, Tensor]:
        tokens = [text for text, _ in prepared if isinstance(text, Tokens)]
        slots = [text.slots for text, _ in prepared if isinstance(text, Reading)]
        texts = pooled_batch(self.model, tokens) if tokens else torch.stack(slots)
        return texts, torch.stack([numbers for _, numbers in prepared])

    def _trained(self) -> dict[str, Tensor]:
        if self.trainable_layers == 0:
            return {}
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}


def _with_trainable_top(encoder: TextEncoder, layers: int) -> Any:
    lists = [module for module in encoder.model.modules() if isinstance(module, nn.ModuleList)]
    stack = max(lists, key=len, default=nn.ModuleList())
    if not 0 < layers <= len(stack):
        raise ConfigError(f"planner.trainable_layers = {layers}, but {encoder.name!r} has {len(stack)} encoder layers")
    model = copy.deepcopy(encoder.model)
    trained = max((module for module in model.modules() if isinstance(module, nn.ModuleList)), key=len)[-layers:]
    (model if layers == len(stack) else trained).requires_grad_(True)
    return _copy_sharing_frozen(model, originals=encoder.model)


def _copy_sharing_frozen(model: Any, originals: Any = None) -> Any:
    """A copy whose trainable parameters are its own and whose frozen ones are shared (with ``originals``)."""
    shared = dict((originals or model).named_parameters())
    memo = {id(p): shared[name] for name, p in model.named_parameters() if not p.requires_grad}
    return copy.deepcopy(model, memo)
