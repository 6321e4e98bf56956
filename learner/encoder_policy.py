"""The planner that reads: a text encoder and a linear head on what it reads of a state (decision 11).

pi(.|s) = softmax(W z + b), z the scaled inputs of `learner.head`: text and the numbers of `learner.state_features`. A
frozen encoder (``trainable_layers = 0``) reads the seeker's sentences, each once (`learner.sentences`). One whose upper
layers learn reads the whole state anew each time (`learner.segments`). Heads start at zero, so before warm-up the
planner is exactly uniform. An MLP head was worse in trials.

People's dialogues and a simulator's differ in their words: directions that tell the ones apart need not tell the
others apart. So a frozen encoder has a second head, for rewards, whose logits are added. Its inputs are fitted on the
states of the first update and its weights start at zero. The head that imitates people stays as the warm-up left it;
it reads how the newest message is said (its mean, its last sentence, `learner.message_features`), which predicts people
better than what all messages say.

Bitwise: one state runs alone, in fp32, and the softmax in float64; ``log_probabilities`` uses the very same steps, so
the probabilities of a version can be recomputed to the last bit (one torch thread, same machine type). On a GPU trained
layers read batches of one fixed shape instead, which a few states fill up with copies: the bits are those of the state,
whatever company it has. Such a batch is computed again on the way back, so that a step of any size needs the memory of
one batch.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.core.errors import ConfigError
from harness.core.messages import State
from harness.domain.device import CPU
from harness.domain.text_encoder import Dtype, TextEncoder
from learner.classification_head import ClassificationHead
from learner.head import DIRECTIONS, Head
from learner.message_features import MESSAGE_FEATURES, message_features
from learner.segments import SEGMENTS, Tokens, fixed_shape, pooled_alone, pooled_batch, pooled_fixed, tokenize
from learner.sentences import SLOTS, Reading, SentenceReader
from learner.state_features import feature_count, state_features
from learner.state_text import state_text

HeadKind = Literal["linear", "classification"]
MANNERS, MANNER_DIRECTIONS = 2, 16
"""For imitation: the newest message's mean and its last sentence, in few directions: there are few labels."""
Seen = tuple[tuple[Tensor, Tensor], ...]
"""For each head, in order, its text and its numbers; of one state or of N."""
Prepared = tuple[Reading | Tokens, Tensor]
"""Sentences (frozen) or tokens (trainable), and the state's numbers."""


class EncoderPolicy:
    """Encoder and linear head. ``trainable_layers``: how many of the encoder's top layers learn; all of them, and the
    embeddings too, where it equals their number. The encoder given is never changed: trained layers are copies.
    ``max_tokens``, ``preferences`` and ``facts`` are of the text that such layers read. ``classifier_seed``: they have
    a `ClassificationHead` with first weights of this seed, not the linear one. ``dtype`` is what they compute with
    (their weights are float32). ``device``: where they and the heads live, by default the encoder's; a frozen encoder
    stays where it is. ``fixed``: whether trained layers read batches of one shape, by default on a GPU."""

    def __init__(
        self,
        encoder: TextEncoder,
        strategies: tuple[str, ...],
        *,
        trainable_layers: int,
        max_tokens: int,
        preferences: bool = False,
        facts: bool = False,
        classifier_seed: int | None = None,
        dtype: Dtype = "float32",
        device: torch.device | None = None,
        fixed: bool | None = None,
    ) -> None:
        self.encoder = encoder
        self.strategies = strategies
        self.trainable_layers = trainable_layers
        self.max_tokens = max_tokens
        self.preferences = preferences
        self.facts = facts
        self.head: HeadKind = "linear" if classifier_seed is None else "classification"
        self._reader = SentenceReader(encoder)
        frozen = trainable_layers == 0
        self.device: torch.device = device or encoder.device
        self.dtype: Dtype = encoder.dtype if frozen else dtype
        self._shape = fixed_shape(max_tokens, encoder.max_tokens)
        self._fixed = not frozen and (self.device.type != CPU if fixed is None else fixed)
        self.model = encoder.model if frozen else _with_trainable_top(encoder, trainable_layers).to(self.device)
        strategy_count, numbers = len(strategies), feature_count(strategies)
        heads: list[Head | ClassificationHead]
        if classifier_seed is not None:
            heads = [ClassificationHead(strategy_count, numbers, width=encoder.width, seed=classifier_seed)]
        elif frozen:
            said = Head(
                strategy_count,
                numbers + MESSAGE_FEATURES,
                parts=MANNERS,
                width=encoder.width,
                directions=MANNER_DIRECTIONS,
            )
            heads = [said, Head(strategy_count, numbers, parts=SLOTS, width=encoder.width, directions=DIRECTIONS)]
        else:
            heads = [Head(strategy_count, numbers, parts=SEGMENTS, width=encoder.width, directions=0)]
        self._heads = [head.to(self.device) for head in heads]
        self._learns = self._heads[0]

    def prepare(self, state: State) -> Prepared:
        numbers = torch.tensor(state_features(state, self.strategies))
        if self.trainable_layers == 0:
            return self._reader.read(state), torch.cat([numbers, torch.tensor(message_features(state))])
        said = state_text(state, preferences=self.preferences, facts=self.facts)
        return tokenize(self.encoder, said, self.max_tokens, first=self.head == "classification"), numbers

    def distribution(self, state: State) -> tuple[float, ...]:
        return self.distributions([state])[0]

    def distributions(self, states: Sequence[State]) -> list[tuple[float, ...]]:
        with torch.no_grad():
            prepared = [self.prepare(state) for state in states]
            return [tuple(row) for row in self.log_probabilities(prepared).exp().tolist()]

    def log_probabilities(self, prepared: Sequence[Prepared], *, batched: bool = False) -> Tensor:
        if not prepared:
            return torch.zeros(0, len(self.strategies), dtype=torch.float64)
        if self._fixed:
            return self._in_fixed_batches(prepared)
        if batched:
            return self._log_probabilities(self._together(prepared))
        return torch.stack([self._log_probabilities(self._alone(one)) for one in prepared])

    def critic_inputs(self, prepared: Sequence[Prepared]) -> Tensor:
        """All inputs of the head that rewards train; where layers learn the numbers alone."""
        head = self._heads[-1]
        if not prepared:
            return torch.zeros(0, head.blocks[-1] if self.trainable_layers else sum(head.blocks))
        if self.trainable_layers:
            return head.number_inputs(self._numbers(prepared))
        return head.inputs(*self._together(prepared)[-1])

    def fit_inputs(self, prepared: Sequence[Prepared]) -> None:
        """Fit the inputs of the head that learns now on these states, while it is still zero (see `Head.fit`)."""
        if self.head == "classification":
            return  # it takes the encoder's states as they are
        with torch.no_grad():
            said = [text.newest for text, _ in prepared if isinstance(text, Reading)]
            seen = self._together(prepared)[self._heads.index(self._learns)]
            self._learns.fit(*seen, torch.cat(said).to(self.device) if said else None)

    def learn_from_rewards(self) -> None:
        self._learns = self._heads[-1]

    def fit_to_rewards(self, prepared: Sequence[Prepared]) -> None:
        # A planner whose layers learn has one head, and planner.init may bring one that rewards have trained already.
        if prepared and not self._learns.learned and self.trainable_layers == 0:
            self.fit_inputs(prepared)

    def parameter_groups(self) -> dict[str, list[Tensor]]:
        groups = self._learns.parameter_groups()
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

    def _log_probabilities(self, seen: Seen) -> Tensor:
        """Of one state or of N."""
        logits = self._heads[0].logits(*seen[0])
        for head, inputs in zip(self._heads[1:], seen[1:], strict=True):
            logits = logits + head.logits(*inputs)
        return torch.log_softmax(logits.double(), dim=-1)

    def _in_fixed_batches(self, prepared: Sequence[Prepared]) -> Tensor:
        rows, _ = self._shape
        parts = [prepared[start : start + rows] for start in range(0, len(prepared), rows)]
        if not torch.is_grad_enabled():
            return torch.cat([self._fixed_batch(part) for part in parts])
        again: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
        return torch.cat([checkpoint(self._fixed_batch, part, **again) for part in parts])

    def _fixed_batch(self, part: Sequence[Prepared]) -> Tensor:
        ((texts, numbers),) = self._together(part)
        # A head's product with few columns rounds a row by its place, so each row goes through it alone.
        return torch.stack([self._log_probabilities((row,)) for row in zip(texts, numbers, strict=True)])

    def _alone(self, prepared: Prepared) -> Seen:
        text, numbers = prepared
        if isinstance(text, Reading):
            return tuple((slots.to(self.device), kept.to(self.device)) for slots, kept in _looks(text, numbers))
        return ((pooled_alone(self.model, text, self.dtype).to(self.device), numbers.to(self.device)),)

    def _together(self, prepared: Sequence[Prepared]) -> Seen:
        """What each head looks at of N states."""
        tokens = [text for text, _ in prepared if isinstance(text, Tokens)]
        looks = [_looks(text, numbers) for text, numbers in prepared if isinstance(text, Reading)]
        if looks:
            return tuple(
                (
                    torch.stack([text for text, _ in head]).to(self.device),
                    torch.stack([n for _, n in head]).to(self.device),
                )
                for head in zip(*looks, strict=True)
            )
        if not self._fixed:
            return ((pooled_batch(self.model, tokens, self.dtype), self._numbers(prepared)),)
        rows, _ = self._shape
        parts = [tokens[start : start + rows] for start in range(0, len(tokens), rows)]
        texts = torch.cat([pooled_fixed(self.model, part, self._shape, self.dtype)[: len(part)] for part in parts])
        return ((texts, self._numbers(prepared)),)

    def _numbers(self, prepared: Sequence[Prepared]) -> Tensor:
        return torch.stack([numbers for _, numbers in prepared]).to(self.device)

    def _trained(self) -> dict[str, Tensor]:
        if self.trainable_layers == 0:
            return {}
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}


def _looks(text: Reading, numbers: Tensor) -> Seen:
    """What the head that imitates people and the one that rewards train look at of a state."""
    return (text.manner, numbers), (text.slots, numbers[:-MESSAGE_FEATURES])


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
