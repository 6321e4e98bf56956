"""Prefix tuning: a prompt's vectors as keys and values that stand before every layer of a GPT-2.

They enter as the model's cache of an earlier text (``past_key_values``; newer versions say ``cache``), so the model
itself is not touched. Positions count the text alone: its first token has position 0, whatever stands before. Padding
is masked on both sides.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GPT2Model

from learner.crs.fusion import Bottleneck

_CACHE = "cache" if "cache" in inspect.signature(GPT2Model.forward).parameters else "past_key_values"
"""What the installed transformers calls its argument (it is renamed within the versions that this project allows)."""


class Prompt(NamedTuple):
    """Keys and values before a text."""

    keys_values: Tensor
    """(layers, 2, B, heads, P, H / heads)."""
    there: Tensor
    """(B, P) true where the prompt has a vector."""


class ToPrompt(nn.Module):
    """Vectors (B, P, H) -> `Prompt`, with a soft prefix of ``soft`` learned vectors before them."""

    def __init__(self, width: int, layers: int, heads: int, soft: int) -> None:
        super().__init__()
        self.shape = (layers, 2, heads, width // heads)
        self.soft = nn.Parameter(torch.randn(soft, width))
        self.refine_soft = Bottleneck(width)
        self.refine = Bottleneck(width)
        self.spread = nn.Linear(width, layers * 2 * width)

    def forward(self, vectors: Tensor, there: Tensor, *, soft: bool) -> Prompt:
        """``there``: (B, P) which of the vectors are no padding. ``soft``: whether the soft prefix stands before."""
        if soft and len(self.soft):
            before = self.refine_soft(self.soft).expand(len(vectors), -1, -1)
            vectors = torch.cat([before, vectors], dim=1)
            there = torch.cat([there.new_ones(len(there), len(self.soft)), there], dim=1)
        layers, pair, heads, inner = self.shape
        spread = self.spread(self.refine(vectors))
        parts = spread.view(len(vectors), vectors.shape[1], layers, pair, heads, inner)
        return Prompt(parts.permute(2, 3, 0, 4, 1, 5), there)


def behind(model: Any, prompt: Prompt, embedded: Tensor, there: Tensor) -> tuple[Tensor, Any]:
    """Run a text behind a prompt.

    Args:
        model: a ``GPT2Model``.
        prompt: keys and values.
        embedded: (B, T, H) token vectors, padded on the right.
        there: (B, T) true where there is a token.

    Returns:
        Hidden states (B, T, H) of the last layer, and the cache with prompt and text, to write on from.
    """
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(prompt.keys_values):
        cache.update(keys, values, layer)
    positions = (there.long().cumsum(dim=1) - 1).clamp(min=0)
    return onward(model, cache, embedded, torch.cat([prompt.there, there], dim=1), positions), cache


def onward(model: Any, cache: Any, embedded: Tensor, there: Tensor, positions: Tensor) -> Tensor:
    """Hidden states (B, T, H) of tokens that follow what the cache holds; the cache grows by them.

    Args:
        model: a ``GPT2Model``.
        cache: of what stands before.
        embedded: (B, T, H) token vectors.
        there: (B, cached + T) true where something stands.
        positions: (B, T) of the new tokens.
    """
    out = model(
        inputs_embeds=embedded,
        attention_mask=there.long(),
        position_ids=positions,
        use_cache=True,
        **{_CACHE: cache},
    )
    hidden: Tensor = out.last_hidden_state
    return hidden
