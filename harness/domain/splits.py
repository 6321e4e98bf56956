"""Splits of human data by dialogue: no dialogue is in two parts, whatever turns it has.

A split by turn lets a model see a dialogue's other turns in training; with it, more than a third of
OpenDialKG's usual test targets are answered by a training turn of the same dialogue.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from harness.core.errors import DataError
from harness.core.messages import Dialogue
from harness.core.seeds import derive
from harness.domain.entities import LinkedTurn

SHARES = (0.7, 0.1, 0.2)
"""Training, tuning and test part of a split."""
_SHOWN = 5
"""Shared dialogues that an error names."""


TUNED = 8
"""One training dialogue in so many tunes, where a split leaves none for it."""


class Part(NamedTuple):
    """Turns to train on, to tune on (maybe none), and to measure on; no dialogue is in two of them."""

    training: tuple[LinkedTurn, ...]
    tuning: tuple[LinkedTurn, ...]
    test: tuple[LinkedTurn, ...]


def parts_by_dialogue(dialogues: Iterable[str], shares: Sequence[float], seed: int) -> tuple[frozenset[str], ...]:
    """Dialogue ids in parts of these shares, in random order.

    A dialogue's place depends on its id and the seed only, so the order of the file does not matter.

    Args:
        dialogues: ids, repeats allowed.
        shares: of all dialogues, one share a part; they sum to 1.
        seed: of the random order.
    """
    order = sorted(set(dialogues), key=lambda name: derive(seed, "split", name))
    ends = [0, *(round(len(order) * math.fsum(shares[: at + 1])) for at in range(len(shares)))]
    return tuple(frozenset(order[start:end]) for start, end in pairwise(ends))


def folds_by_dialogue(dialogues: Iterable[str], count: int, seed: int) -> tuple[frozenset[str], ...]:
    """Dialogue ids in ``count`` folds of equal size: `parts_by_dialogue` with equal shares."""
    return parts_by_dialogue(dialogues, (1.0 / count,) * count, seed)


def in_parts(turns: Sequence[LinkedTurn], seed: int) -> Part:
    """A split by dialogue into `SHARES`; `DataError` where there are too few dialogues."""
    return _part(turns, *parts_by_dialogue((turn.dialogue for turn in turns), SHARES, seed))


def in_folds(turns: Sequence[LinkedTurn], count: int, seed: int) -> tuple[Part, ...]:
    """Each fold as test part once, the others as its training part; `DataError` where there are too few dialogues."""
    folds = folds_by_dialogue((turn.dialogue for turn in turns), count, seed)
    everything = frozenset[str]().union(*folds)
    return tuple(_part(turns, everything - fold, frozenset(), fold) for fold in folds)


def with_tuning(part: Part, seed: int) -> Part:
    """The part with turns to tune on: where it has none, an eighth of its training dialogues, if they are enough."""
    ids = {turn.dialogue for turn in part.training}
    if part.tuning or len(ids) < TUNED:
        return part
    training, tuning = parts_by_dialogue(ids, (1 - 1 / TUNED, 1 / TUNED), seed)
    return Part(
        tuple(turn for turn in part.training if turn.dialogue in training),
        tuple(turn for turn in part.training if turn.dialogue in tuning),
        part.test,
    )


def _part(turns: Sequence[LinkedTurn], training: frozenset[str], tuning: frozenset[str], test: frozenset[str]) -> Part:
    if not training or not test:
        raise DataError(f"{len({turn.dialogue for turn in turns})} dialogues with recommendations are too few to split")
    return Part(*(tuple(turn for turn in turns if turn.dialogue in part) for part in (training, tuning, test)))


def refuse_shared(files: Mapping[str, Sequence[Dialogue]]) -> None:
    """`DataError` where a dialogue is in two of the files; one sentence names the files and the dialogues."""
    seen: dict[str, str] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for file, dialogues in files.items():
        for dialogue in dialogues:
            first = seen.setdefault(dialogue.id, file)
            if first != file:
                shared.setdefault((first, file), []).append(dialogue.id)
    for (first, second), ids in shared.items():
        shown = ", ".join(map(ascii, ids[:_SHOWN])) + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else "")
        raise DataError(
            f"{first} and {second} share {len(ids)} of their dialogues ({shown}): a dialogue may stand in one file "
            "only, or training would see what is measured"
        )
