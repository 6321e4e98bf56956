"""RoBERTa's classification head: logits = W2 tanh(W1 x + b1) + b2, x the first token's state (Liu et al., 2019).

The paper's planner is RoBERTa as a classifier. Its weights begin at random, drawn by seed, so that layers below get a
gradient from the first step on: a head that begins at zero hardly moves at the paper's rate of 6e-6. Left out: dropout,
so that the planner that is trained is the planner that acts; and the state's numbers, which the paper's planner reads
in no other form than text.
"""

from __future__ import annotations

import torch
from torch import Tensor

SPREAD = 0.02
"""Standard deviation of the first weights, as `transformers` draws them for RoBERTa."""


class ClassificationHead:
    """``width``: of a token's state. ``seed``: of the first weights, which are the same on every device."""

    def __init__(self, strategies: int, numbers: int, *, width: int, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.blocks = (width, numbers)
        self._dense = (torch.randn(width, width, generator=draw) * SPREAD).requires_grad_()
        self._dense_bias = torch.zeros(width, requires_grad=True)
        self._out = (torch.randn(strategies, width, generator=draw) * SPREAD).requires_grad_()
        self._out_bias = torch.zeros(strategies, requires_grad=True)

    @property
    def learned(self) -> bool:
        """Its weights are no zeros from the beginning on."""
        return True

    def number_inputs(self, numbers_NF: Tensor) -> Tensor:
        """The state's numbers as they are: for a critic, since the head does not read them."""
        return numbers_NF

    def inputs(self, text: Tensor, numbers: Tensor) -> Tensor:
        """What the head reads."""
        return text

    def logits(self, text: Tensor, numbers: Tensor) -> Tensor:
        """(K,) of one state or (N, K) of N."""
        linear = torch.nn.functional.linear
        return linear(torch.tanh(linear(text, self._dense, self._dense_bias)), self._out, self._out_bias)

    def fit(self, text_N: Tensor, numbers_N: Tensor, sentences: Tensor | None = None) -> None:
        """Nothing is fitted."""

    def parameter_groups(self) -> dict[str, list[Tensor]]:
        """By kind, as `TrainablePolicy.parameter_groups`."""
        return {"head": [self._dense, self._dense_bias, self._out, self._out_bias]}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that distinguishes it from a fresh one, by name; the tensors themselves."""
        return {
            "head.dense": self._dense.detach(),
            "head.dense_bias": self._dense_bias.detach(),
            "head.out": self._out.detach(),
            "head.out_bias": self._out_bias.detach(),
        }

    def to(self, device: torch.device) -> ClassificationHead:
        """Itself, with everything it holds on a device."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.detach().to(device).requires_grad_())
        return self

    def snapshot(self) -> ClassificationHead:
        """An independent copy."""
        twin = ClassificationHead.__new__(ClassificationHead)
        twin.__dict__ |= {
            name: value.detach().clone().requires_grad_() if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        return twin
