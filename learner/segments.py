"""Tokens of a state -> three pooled vectors: the whole text, the seeker's newest message, the recommender's last one.

One forward pass, three means over its token states: what was said last decides the next strategy more than all that
was said before, and in a single mean it hardly counts (5-fold on INSPIRED's dev split, frozen MiniLM: NLL 2.15 against
2.22). On a CPU a text runs alone at exact length, which gives the same bits whoever asks; `pooled_batch` is the faster
path for training, in batches of similar length, equal up to rounding. On a GPU `pooled_fixed` runs batches of one
shape, so that a text's bits do not depend on its company.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from harness.domain.text_encoder import Dtype, TextEncoder
from learner.state_text import Span, StateText

SEGMENTS = 3
BATCH_TOKENS = 2048
"""Padded tokens in one training batch: 16 states of 128 tokens; more is not faster on a CPU and costs memory."""
BATCH_COST = 64
"""What one more batch costs beside its tokens, in tokens, on a CPU."""
FIXED_TOKENS = 1024
"""Padded tokens in one batch of fixed shape. RoBERTa keeps .7 MB a token for the way back, beside the 2.5 GB of its
weights, gradients, moments and reference; with more, an update does not fit 4 GiB."""
_MULTIPLE = 8
"""Lengths that attention kernels like."""


@dataclass(frozen=True)
class Tokens:
    """Token ids (n,) and the weights (SEGMENTS, n) with which they are averaged; a row of zeros: nothing was said.

    ``first``: the first token's state is read as it is, in place of the averages.
    """

    ids: Tensor
    weights: Tensor
    first: bool = False

    def __len__(self) -> int:
        return len(self.ids)


def tokenize(encoder: TextEncoder, said: StateText, max_tokens: int, *, first: bool = False) -> Tokens:
    """The text's first ``max_tokens`` tokens and which of them belong to which segment; for ``first`` see `Tokens`."""
    ids, offsets = encoder.tokens(said.text, max_tokens)
    masks = torch.zeros(SEGMENTS, len(ids))
    masks[0] = 1.0
    for row, span in enumerate((said.seeker, said.recommender), start=1):
        if span is not None:
            masks[row] = torch.tensor([_inside(offset, span) for offset in offsets], dtype=torch.float32)
    weights = masks / masks.sum(dim=1, keepdim=True).clamp(min=1.0)
    return Tokens(ids=torch.tensor(ids), weights=weights, first=first)


def _inside(offset: Span, span: Span) -> bool:
    start, end = offset
    return span[0] <= start < end <= span[1]  # special tokens are empty and belong to the whole only


def pooled_alone(model: Any, tokens: Tokens, dtype: Dtype = "float32") -> Tensor:
    """(SEGMENTS * H,): unit vectors side by side, of one text at its exact length; (H,) of its first token where that
    is wanted. ``dtype``: of the computation."""
    device = next(model.parameters()).device
    hidden = _hidden(model, dtype, input_ids=tokens.ids[None].to(device))[0]
    return _pooled(hidden, tokens.weights, tokens.first)


def fixed_shape(max_tokens: int, limit: int) -> tuple[int, int]:
    """(texts, tokens) of every batch of `pooled_fixed`; ``limit``: of the model, whatever ``max_tokens`` wishes."""
    length = min(-(-max_tokens // _MULTIPLE) * _MULTIPLE, limit)
    return max(1, FIXED_TOKENS // length), length


def pooled_fixed(model: Any, texts: Sequence[Tokens], shape: tuple[int, int], dtype: Dtype = "float32") -> Tensor:
    """(R, SEGMENTS * H) for at most R texts in a batch of ``shape`` (R, L); rows without a text repeat the first."""
    device = next(model.parameters()).device
    rows, length = shape
    filled = [*texts, *[texts[0]] * (rows - len(texts))]
    ids = torch.full(shape, int(getattr(model.config, "pad_token_id", None) or 0))
    weights = torch.zeros(rows, SEGMENTS, length)
    real = torch.zeros(shape, dtype=torch.bool)
    for row, text in enumerate(filled):
        ids[row, : len(text)], weights[row, :, : len(text)], real[row, : len(text)] = text.ids, text.weights, True
    mask = real.to(device)
    if model.config._attn_implementation == "sdpa":
        # Given whole, a mask is never left out where no row is padded, which would be another kernel and other bits.
        mask = mask[:, None, None, :]
    hidden = _hidden(model, dtype, input_ids=ids.to(device), attention_mask=mask)
    return _pooled(hidden, weights, texts[0].first)


def pooled_batch(model: Any, texts: Sequence[Tokens], dtype: Dtype = "float32") -> Tensor:
    """(N, SEGMENTS * H) for N texts, in the order given; batches hold texts of similar length."""
    device = next(model.parameters()).device
    # One look-up for all: each one's gradient is as large as the whole vocabulary.
    words = model.get_input_embeddings()(torch.cat([text.ids for text in texts]).to(device))
    words_by_text = words.split([len(text) for text in texts])
    rows: list[Tensor | None] = [None] * len(texts)
    for group in _similar(texts):
        inputs = pad_sequence([words_by_text[i] for i in group], batch_first=True)
        mask = pad_sequence([torch.ones(len(texts[i]), dtype=torch.long) for i in group], batch_first=True)
        weights = pad_sequence([texts[i].weights.T for i in group], batch_first=True).transpose(1, 2)
        hidden = _hidden(model, dtype, inputs_embeds=inputs, attention_mask=mask.to(device))
        pooled = _pooled(hidden, weights, texts[0].first)
        for row, i in enumerate(group):
            rows[i] = pooled[row]
    return torch.stack([row for row in rows if row is not None])


def _pooled(hidden: Tensor, weights: Tensor, first: bool) -> Tensor:
    """Of one text (n, H) or of N (N, n, H)."""
    if first:
        return hidden[..., 0, :]
    return torch.nn.functional.normalize(weights.to(hidden.device) @ hidden, dim=-1).flatten(-2)


def _hidden(model: Any, dtype: Dtype, **inputs: Tensor) -> Tensor:
    """The token states, float32. With ``bfloat16`` the products alone have it: weights that learn stay float32."""
    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
        states: Tensor = model(**inputs).last_hidden_state.float()
    return states


def _similar(texts: Sequence[Tokens]) -> list[list[int]]:
    """Texts in order of length, cut where padded tokens and the batches' own cost are least together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    least, cuts = [0.0], [0]
    for end in range(1, len(order) + 1):
        longest = len(texts[order[end - 1]])
        # Of one text at least, whatever its length.
        first = max(0, end - max(1, BATCH_TOKENS // longest))
        cost, cut = min((least[start] + (end - start) * longest, start) for start in range(first, end))
        least.append(cost + BATCH_COST)
        cuts.append(cut)
    groups, end = [], len(order)
    while end:
        groups.append(order[cuts[end] : end])
        end = cuts[end]
    return groups
