"""The frozen encoder that reads dialogues: a state for each token, each text read once and alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.core.messages import State
from harness.domain.text_encoder import TextEncoder
from learner.crs.texts import dialogue_ids

ROOM = 2 << 30
"""Bytes of states that are kept; what comes later is read anew each time."""


class Reader:
    """Not a module: its weights are nobody's to train or to save."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._kept: dict[tuple[int, ...], Tensor] = {}
        self._room = ROOM

    def ids(self, state: State, limit: int) -> list[int]:
        """The dialogue as the encoder's ids: first its mark of a beginning, then the newest tokens."""
        tokenizer = self._encoder.tokenizer
        limit = min(limit, self._encoder.max_tokens) - 1

        def encode(text: str) -> list[int]:
            readable = text.encode("utf-8", "replace").decode("utf-8")
            found: list[int] = tokenizer(readable, add_special_tokens=False, verbose=False)["input_ids"]
            return found

        return [tokenizer.cls_token_id, *dialogue_ids(state, encode, tokenizer.sep_token_id, limit)]

    def states(self, rows: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
        """(B, T, W) states of the rows' tokens, and (B, T) true where there is a token."""
        found = [self._states(row) for row in rows]
        longest = max(len(row) for row in rows)
        tokens = found[0].new_zeros(len(rows), longest, found[0].shape[1])
        heard = torch.zeros(len(rows), longest, dtype=torch.bool, device=tokens.device)
        for at, states in enumerate(found):
            tokens[at, : len(states)] = states
            heard[at, : len(states)] = True
        return tokens, heard

    def _states(self, ids: tuple[int, ...]) -> Tensor:
        kept = self._kept.get(ids)
        if kept is None:
            device = next(self._encoder.model.parameters()).device
            with torch.no_grad():
                states = self._encoder.model(input_ids=torch.tensor([ids], device=device)).last_hidden_state
            kept = states[0].float().clone()
            self._room -= kept.nbytes
            if self._room > 0:
                self._kept[ids] = kept
        return kept

    def forget(self) -> None:
        """Give the memory back; what is asked for next is read anew."""
        self._kept.clear()
        self._room = ROOM
