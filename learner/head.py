"""A linear head and the inputs that it looks at: logits = W z + b, z = (x - center) * scale, cut at low and high.

x is a state's text and its numbers side by side. Of sentences (`learner.sentences`) the text goes through a projection
first: the directions in which the sentences of some states differ most, each scaled to the same spread, since a head
that learns at one rate hears a direction as loudly as it varies. What lies beyond nearly all fitted states is cut
there: a linear head knows nothing of what it has never seen, and would be loudest about it. Inputs are fitted once,
while the weights are zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

DIRECTIONS = 64
"""Of sentences kept. In the scripted world 48 read less (a message at a time), 96 no more."""
_FAINT = 1e-3
"""Share of the largest variance that is added to each: a direction that hardly varied in the fit must not explode."""
_CUT = 0.01
"""Share of the fitted states on either side that is cut. Without it the imitation of people's dialogues, met by a
simulator's longer talk, is so sure of itself that rewards have to undo it first."""
_NO_SPREAD = 1e-6
"""A block that varies less is constant on the fitted states and stays as it is."""


class Head:
    """``width``: of one part of the text. ``sentences``: the parts are slots of sentences, not pooled segments."""

    def __init__(self, strategies: int, numbers: int, *, parts: int, width: int, directions: int) -> None:
        self._projection = torch.eye(width + 1, min(directions, width)) if directions else None
        self.blocks = (*[min(directions, width) if directions else width] * parts, numbers)
        self._widths = [sum(self.blocks[:-1]), numbers]
        self.text_weight = torch.zeros(strategies, self._widths[0], requires_grad=True)
        self.numbers_weight = torch.zeros(strategies, numbers, requires_grad=True)
        self.bias = torch.zeros(strategies, requires_grad=True)
        self._center = torch.zeros(sum(self._widths))
        self._scale = torch.ones(sum(self._widths))
        self._low = torch.full_like(self._center, -torch.inf)
        self._high = torch.full_like(self._center, torch.inf)

    @property
    def learned(self) -> bool:
        """Whether any weight has left zero."""
        return any(bool(tensor.detach().any()) for tensor in (self.text_weight, self.numbers_weight))

    def inputs(self, text: Tensor, numbers: Tensor) -> Tensor:
        """z, (F,) of one state or (N, F) of N, from its text (the slots of sentences) and its numbers."""
        return self._scaled(self._raw(text, numbers), 0)

    def number_inputs(self, numbers_NF: Tensor) -> Tensor:
        """The part of z that no text is in, (N, F)."""
        return self._scaled(numbers_NF, self._widths[0])

    def logits(self, text: Tensor, numbers: Tensor) -> Tensor:
        """(K,) of one state or (N, K) of N."""
        text, seen = torch.split_with_sizes(self.inputs(text, numbers), self._widths, dim=-1)
        if seen.dim() == 1:
            return torch.addmv(torch.addmv(self.bias, self.text_weight, text), self.numbers_weight, seen)
        return text @ self.text_weight.T + seen @ self.numbers_weight.T + self.bias

    def fit(self, text_N: Tensor, numbers_N: Tensor, sentences: Tensor | None = None) -> None:
        """Centre every input on these N states and scale each block to root mean square 1; before that, project on the
        directions in which ``sentences`` (M, H) differ most. `ValueError` once the weights have left zero: it would
        change what they mean."""
        if self.learned:
            raise ValueError("the inputs are fitted before the head has learned anything")
        with torch.no_grad():
            if sentences is not None and len(sentences):
                self._projection = _principal(sentences, self.blocks[0])
            rows = self._raw(text_N, numbers_N)
            self._center = rows.mean(dim=0)
            blocks = torch.split_with_sizes(rows - self._center, self.blocks, dim=1)
            spreads = [float(block.square().sum(dim=1).mean().sqrt()) for block in blocks]
            scales = [1.0 / spread if spread > _NO_SPREAD else 1.0 for spread in spreads]
            self._scale = torch.cat(
                [rows.new_full((block.shape[1],), scale) for block, scale in zip(blocks, scales, strict=True)]
            )
            if self._projection is None:
                return  # pooled segments are of layers that learn: what moves must not be cut where it once was
            inputs = (rows - self._center) * self._scale
            self._low, self._high = (inputs.quantile(share, dim=0) for share in (_CUT, 1.0 - _CUT))

    def parameter_groups(self) -> dict[str, list[Tensor]]:
        """By kind, as `TrainablePolicy.parameter_groups`."""
        return {"text": [self.text_weight], "numbers": [self.numbers_weight, self.bias]}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that distinguishes it from a fresh one, by name; the tensors themselves."""
        found = {
            "head.text": self.text_weight.detach(),
            "head.numbers": self.numbers_weight.detach(),
            "head.bias": self.bias.detach(),
            "inputs.center": self._center,
            "inputs.scale": self._scale,
            "inputs.low": self._low,
            "inputs.high": self._high,
        }
        return found if self._projection is None else found | {"inputs.projection": self._projection}

    def to(self, device: torch.device) -> Head:
        """Itself, with everything it holds on a device."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.detach().to(device).requires_grad_(value.requires_grad))
        return self

    def snapshot(self) -> Head:
        """An independent copy."""
        twin = Head.__new__(Head)
        twin.__dict__ |= self.__dict__
        twin.text_weight, twin.numbers_weight, twin.bias = (
            tensor.detach().clone().requires_grad_() for tensor in (self.text_weight, self.numbers_weight, self.bias)
        )
        twin._center, twin._scale = self._center.clone(), self._scale.clone()
        twin._low, twin._high = self._low.clone(), self._high.clone()
        twin._projection = None if self._projection is None else self._projection.clone()
        return twin

    def _scaled(self, raw: Tensor, first: int) -> Tensor:
        """``raw``: the columns of x from ``first`` on."""
        scaled = (raw - self._center[first:]) * self._scale[first:]
        return scaled.clamp(self._low[first:], self._high[first:])

    def _raw(self, text: Tensor, numbers: Tensor) -> Tensor:
        if self._projection is not None:
            text = (text @ self._projection).flatten(-2)
        return torch.cat([text, numbers], dim=-1)


def _principal(vectors_NH: Tensor, directions: int) -> Tensor:
    """(H + 1, D): the whitened directions of largest variance; the last row takes a sum's mean out, by its number."""
    mean = vectors_NH.mean(dim=0)
    centred = (vectors_NH - mean).double()
    variances, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
    variances, axes = variances.flip(0)[:directions].clamp(min=0.0), axes.flip(1)[:, :directions]
    spread = variances + _FAINT * variances[0]
    whitened = axes / spread.sqrt() if float(variances[0]) > 0.0 else axes
    return torch.cat([whitened, -(mean.double() @ whitened)[None]]).float()
