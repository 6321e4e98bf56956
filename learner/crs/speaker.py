"""A GPT-2 that speaks behind a prompt, with one learned token for slots beside its own vocabulary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from learner.crs.prefix import Prompt, behind, onward
from learner.crs.texts import Vocabulary, greedy


class Speaker(nn.Module):
    """The model and the slot's vector, which is input and output embedding of `texts.SLOT` at once.

    Args:
        model: a ``GPT2Model``.
        words: its tokenizer with the slot; a pretrained model has no row for the slot.
    """

    def __init__(self, model: Any, words: Vocabulary) -> None:
        super().__init__()
        self.model = model
        self.words = words
        table = model.wte.weight
        self.slot = nn.Parameter(table.detach().mean(dim=0))

    @property
    def width(self) -> int:
        return int(self.model.config.n_embd)

    def embed(self, ids: Tensor) -> Tensor:
        """(B, T) ids -> (B, T, H)."""
        is_slot = ids == self.words.slot
        known: Tensor = self.model.wte(ids.masked_fill(is_slot, 0))
        return torch.where(is_slot[..., None], self.slot, known)

    def scores(self, hidden: Tensor) -> Tensor:
        """(..., H) -> (..., V + 1): the vocabulary's own tokens, then the slot."""
        table = self.model.wte.weight
        return torch.cat([hidden @ table.T, (hidden @ self.slot)[..., None]], dim=-1)

    def labels(self, ids: Tensor) -> Tensor:
        """Ids -> places in `scores`."""
        return ids.masked_fill(ids == self.words.slot, len(self.model.wte.weight))

    def behind(self, prompt: Prompt, ids: Tensor, there: Tensor) -> Tensor:
        """Hidden states (B, T, H) of a text behind a prompt."""
        return behind(self.model, prompt, self.embed(ids), there)[0]

    def write(self, prompt: Prompt, ids: list[int], limit: int) -> str:
        """What follows the text ``ids`` behind a prompt of one row: greedy, without a run of 3 tokens twice."""
        device = self.slot.device
        text = torch.tensor([ids], device=device)
        hidden, cache = behind(self.model, prompt, self.embed(text), torch.ones_like(text, dtype=torch.bool))
        stood = prompt.there
        at = len(ids)

        def last(states: Tensor) -> Tensor:
            # The slot's own row, where a made vocabulary has one, is not learned: the slot is written by its vector.
            row = self.scores(states[0, -1])
            if self.words.slot < len(row) - 1:
                row[self.words.slot] = -torch.inf
            return row

        def following(token: int) -> Tensor:
            nonlocal at
            new = torch.tensor([[self.words.slot if token == slot else token]], device=device)
            there = torch.cat([stood, stood.new_ones(1, at + 1)], dim=1)
            states = onward(self.model, cache, self.embed(new), there, torch.tensor([[at]], device=device))
            at += 1
            return last(states)

        slot = len(self.model.wte.weight)
        written = greedy(following, last(hidden), self.words.end, limit)
        return self.words.decode([self.words.slot if token == slot else token for token in written])
