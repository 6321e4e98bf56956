"""Splits of human data by dialogue: no dialogue is in two parts, whatever turns it has.

A split by turn lets a model see a dialogue's other turns in training; with it, more than a third of
OpenDialKG's usual test targets are answered by a training turn of the same dialogue.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from harness.core.errors import DataError
from harness.core.messages import Dialogue
from harness.core.seeds import derive


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
        raise DataError(
            f"{first} and {second} share {len(ids)} dialogues (the first is {ids[0]!a}): a dialogue may stand in one "
            "file only, or training would see what is measured"
        )
