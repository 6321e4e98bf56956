"""Dialogues and responses as token ids, and what is trained on: one example a recommendation turn or response.

A dialogue is its messages with the speaker's name before each and a separator behind, cut on the left: the newest words
stay. In responses the films' names are slots, so that a language model learns how to recommend and not what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness.core.messages import State
from harness.domain.entities import LinkedTurn
from learner.crs.settings import SLOT

NAMES = {"seeker": "User", "recommender": "System"}

Encode = Callable[[str], list[int]]


class Vocabulary:
    """A tokenizer with a token for slots: text -> ids without special tokens, and back.

    Args:
        tokenizer: a fast tokenizer of transformers. `SLOT` is added where it is not in it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        tokenizer.add_special_tokens({"additional_special_tokens": [SLOT]})
        self.slot = int(tokenizer.convert_tokens_to_ids(SLOT))
        self.end = int(tokenizer.eos_token_id)
        self.separator = int(tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id)
        self.padding = int(self.end if tokenizer.pad_token_id is None else tokenizer.pad_token_id)

    def __len__(self) -> int:
        return len(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token ids, none added."""
        readable = text.encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self.tokenizer(readable, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; slots stay, other special tokens go."""
        slot = self.slot
        parts: list[str] = []
        run: list[int] = []
        for one in (*ids, slot):
            if one != slot:
                run.append(one)
                continue
            parts.append(self.tokenizer.decode(run, skip_special_tokens=True) if run else "")
            run = []
        return SLOT.join(parts)


def dialogue_ids(state: State, encode: Encode, separator: int, limit: int) -> list[int]:
    """The dialogue before turn t, its last ``limit`` tokens; never empty."""
    ids: list[int] = []
    for utterance in state.history:
        ids += [*encode(f"{NAMES[utterance.speaker]}: {utterance.text}"), separator]
    return ids[-limit:] or [separator]


def with_slots(response: str, names: Iterable[str]) -> str:
    """A response with a slot in place of each film's name, longer names first."""
    for name in sorted(names, key=len, reverse=True):
        response = response.replace(name, SLOT)
    return response


class Reply(NamedTuple):
    """A recommender's message with the dialogue before it."""

    state: State
    context: tuple[int, ...]
    """Nodes known to be named before."""
    text: str
    """With slots in place of the films' names."""


def replies(turns: Sequence[LinkedTurn]) -> tuple[Reply, ...]:
    """The recommender's messages of the dialogues, up to each dialogue's last recommendation turn.

    Turns that name no film are read from the states of later turns; the nodes before them are those of the last
    recommendation turn before.
    """
    found: list[Reply] = []
    by_dialogue: dict[str, list[LinkedTurn]] = {}
    for turn in turns:
        by_dialogue.setdefault(turn.dialogue, []).append(turn)
    for own in by_dialogue.values():
        naming = {turn.turn.state.turn: turn for turn in own}
        last = own[-1].turn.state
        known: tuple[int, ...] = ()
        for at in range(1, last.turn + 1):
            here = naming.get(at)
            if here is not None:
                found.append(Reply(here.turn.state, here.context, with_slots(here.turn.response, here.turn.items)))
                known = tuple(dict.fromkeys((*here.context, *here.targets)))
            elif last.turns[at - 1].response and (at > 1 or last.opening):
                found.append(Reply(_before(last, at), known, last.turns[at - 1].response))
    return tuple(reply for reply in found if reply.text.strip())


def _before(state: State, turn: int) -> State:
    return State(
        episode=state.episode,
        seed=state.seed,
        max_turns=state.max_turns,
        opening=state.opening,
        turns=state.turns[: turn - 1],
    )


def padded(rows: Sequence[Sequence[int]], padding: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of ids -> (B, T) padded on the right, and (B, T) true where a row has an id."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, torch.arange(longest, device=device) < lengths[:, None]


def greedy(next_scores: Callable[[int], Tensor], first: Tensor, end: int, limit: int, grams: int = 3) -> list[int]:
    """Write the likeliest token again and again; no run of ``grams`` tokens stands twice.

    Args:
        next_scores: takes the token just written, gives the scores (V,) of the next.
        first: scores of the first token.
        end: the token that ends the text; it is not returned.
        limit: most tokens.
        grams: length of the runs.
    """
    written: list[int] = []
    scores = first
    while len(written) < limit:
        start = written[len(written) - grams + 1 :] if len(written) >= grams - 1 else None
        banned = [
            written[at + grams - 1]
            for at in range(len(written) - grams + 1)
            if start is not None and written[at : at + grams - 1] == start
        ]
        if banned:
            scores = scores.clone()
            scores[banned] = -torch.inf
        token = int(scores.argmax())
        if token == end:
            break
        written.append(token)
        if len(written) < limit:
            scores = next_scores(token)
    return written
