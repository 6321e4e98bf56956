"""The planner that reads: a text encoder and a linear head on its pooled state (decision 11).

pi(.|s) = softmax(W x + b) with x = the pooled segments of the state's text (`learner.segments`) and the numbers of
`learner.state_features`, each block centred and scaled once, on the warm-up's states. The head starts at zero, so
before warm-up the planner is exactly uniform. With ``trainable_layers = 0`` the encoder is frozen: a state's pooled
text is computed once, remembered, and shared by acting, learning and all versions. An MLP head was worse in trials.

Bitwise: one state runs alone, in fp32, and the softmax in float64; ``log_probabilities`` uses the very same steps, so
the probabilities of a version can be recomputed to the last bit (one torch thread, same machine type).
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from harness.core.errors import ConfigError
from harness.core.messages import State
from harness.domain.text_encoder import TextEncoder
from learner.segments import SEGMENTS, Tokens, pooled_alone, pooled_batch, tokenize
from learner.state_features import feature_count, state_features
from learner.state_text import StateText, state_text

_REMEMBERED = 16_384
"""Pooled texts kept by a frozen encoder: about 80 MB for MiniLM; the states of a run of 1,500 conversations."""
_NO_SPREAD = 1e-6
"""A block that varies less is constant on the warm-up's states and stays as it is."""

Prepared = tuple[Tensor | Tokens, Tensor]
"""Pooled text (frozen) or tokens (trainable), and the state's numbers."""


class EncoderPolicy:
    """Encoder and linear head. ``trainable_layers``: how many of the encoder's top layers learn; all of them, and the
    embeddings too, where it equals their number. The encoder given is never changed: trained layers are copies."""

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
        self._pooled = _PooledTexts(encoder, max_tokens)
        self.model = encoder.model if trainable_layers == 0 else _with_trainable_top(encoder, trainable_layers)
        self._widths = [SEGMENTS * encoder.width, feature_count(strategies)]
        width = sum(self._widths)
        self._text_weight = torch.zeros(len(strategies), self._widths[0], requires_grad=True)
        self._numbers_weight = torch.zeros(len(strategies), self._widths[1], requires_grad=True)
        self._bias = torch.zeros(len(strategies), requires_grad=True)
        self._center = torch.zeros(width)
        self._scale = torch.ones(width)

    def prepare(self, state: State) -> Prepared:
        said = state_text(state, preferences=self.preferences)
        numbers = torch.tensor(state_features(state, self.strategies))
        if self.trainable_layers == 0:
            return self._pooled.of(said), numbers
        return tokenize(self.encoder, said, self.max_tokens), numbers

    def distribution(self, state: State) -> tuple[float, ...]:
        with torch.no_grad():
            return tuple(self._log_probabilities(self._inputs(self.prepare(state))).exp().tolist())

    def log_probabilities(self, prepared: Sequence[Prepared], *, batched: bool = False) -> Tensor:
        if not prepared:
            return torch.zeros(0, len(self.strategies), dtype=torch.float64)
        if not batched:
            return torch.stack([self._log_probabilities(self._inputs(one)) for one in prepared])
        tokens = [text for text, _ in prepared if isinstance(text, Tokens)]
        texts = pooled_batch(self.model, tokens) if tokens else torch.stack([_pooled(text) for text, _ in prepared])
        inputs = torch.cat([texts, torch.stack([numbers for _, numbers in prepared])], dim=1)
        text, seen = torch.split_with_sizes((inputs - self._center) * self._scale, self._widths, dim=1)
        logits = text @ self._text_weight.T + seen @ self._numbers_weight.T + self._bias
        return torch.log_softmax(logits.double(), dim=1)

    def critic_inputs(self, prepared: Sequence[Prepared]) -> Tensor:
        """All scaled inputs of a frozen encoder; of one that learns the numbers alone."""
        skipped = self._widths[0] if self.trainable_layers else 0
        if not prepared:
            return torch.zeros(0, sum(self._widths) - skipped)
        rows = [numbers if self.trainable_layers else self._inputs((text, numbers)) for text, numbers in prepared]
        return (torch.stack(rows) - self._center[skipped:]) * self._scale[skipped:]

    def _inputs(self, prepared: Prepared) -> Tensor:
        text, numbers = prepared
        return torch.cat([pooled_alone(self.model, text) if isinstance(text, Tokens) else text, numbers])

    def _log_probabilities(self, inputs: Tensor) -> Tensor:
        text, numbers = torch.split_with_sizes((inputs - self._center) * self._scale, self._widths, dim=0)
        logits = torch.addmv(torch.addmv(self._bias, self._text_weight, text), self._numbers_weight, numbers)
        return torch.log_softmax(logits.double(), dim=0)

    def fit_inputs(self, prepared: Sequence[Prepared]) -> None:
        """Centre every input on these states, and scale each block (each segment, the numbers) to root mean square 1.

        The vectors of one domain share most of their direction; a linear head learns from what differs. To be called
        while the head is still zero: afterwards it would change what the weights mean.
        """
        if any(bool(tensor.detach().any()) for tensor in (self._text_weight, self._numbers_weight)):
            raise ValueError("the inputs are fitted before the head has learned anything")
        with torch.no_grad():
            rows = torch.stack([self._inputs(one) for one in prepared])
            center = rows.mean(dim=0)
            widths = [self.encoder.width] * SEGMENTS + [feature_count(self.strategies)]
            blocks = torch.split_with_sizes(rows - center, widths, dim=1)
            spreads = [float(block.square().sum(dim=1).mean().sqrt()) for block in blocks]
            scales = [1.0 / spread if spread > _NO_SPREAD else 1.0 for spread in spreads]
            self._center = center
            self._scale = torch.cat(
                [torch.full((block.shape[1],), scale) for block, scale in zip(blocks, scales, strict=True)]
            )

    def parameter_groups(self) -> dict[str, list[Tensor]]:
        groups: dict[str, list[Tensor]] = {"text": [self._text_weight], "numbers": [self._numbers_weight, self._bias]}
        if self.trainable_layers:
            groups["encoder"] = list(self._trained().values())
        return groups

    def weights(self) -> dict[str, Tensor]:
        """The head, the inputs' scaling, and ``encoder.*`` for trained layers."""
        found = {
            "head.text": self._text_weight.detach(),
            "head.numbers": self._numbers_weight.detach(),
            "head.bias": self._bias.detach(),
            "inputs.center": self._center,
            "inputs.scale": self._scale,
        }
        return found | {f"encoder.{name}": parameter.detach() for name, parameter in self._trained().items()}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self.weights().items():
                tensor.copy_(weights[name])

    def snapshot(self) -> Self:
        twin = copy.copy(self)
        twin._text_weight = self._text_weight.detach().clone().requires_grad_()
        twin._numbers_weight = self._numbers_weight.detach().clone().requires_grad_()
        twin._bias = self._bias.detach().clone().requires_grad_()
        twin._center, twin._scale = self._center.clone(), self._scale.clone()
        if self.trainable_layers:
            twin.model = _copy_sharing_frozen(self.model)
        return twin

    def _trained(self) -> dict[str, Tensor]:
        if self.trainable_layers == 0:
            return {}
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}


class _PooledTexts:
    """Pooled segments by text, computed once, the least recently used forgotten; safe to call from several threads."""

    def __init__(self, encoder: TextEncoder, max_tokens: int) -> None:
        self._encoder = encoder
        self._max_tokens = max_tokens
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, said: StateText) -> Tensor:
        key = hashlib.sha256(repr((said.text, said.seeker, said.recommender)).encode()).digest()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        with torch.no_grad():
            pooled = pooled_alone(self._encoder.model, tokenize(self._encoder, said, self._max_tokens))
        with self._lock:
            self._known[key] = pooled
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return pooled


def _pooled(text: Tensor | Tokens) -> Tensor:
    assert isinstance(text, Tensor)
    return text


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
