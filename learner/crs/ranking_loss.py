"""What a ranking is trained and judged by: cross entropy over all nodes, and reciprocal places among films."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def named_films(scores: Tensor, targets: Sequence[Sequence[int]]) -> tuple[Tensor, int]:
    """Mean cross entropy of all targets, and their number.

    Args:
        scores: (B, nodes).
        targets: film nodes of each row.
    """
    rows, wanted = _flat(targets, scores)
    return functional.cross_entropy(scores[rows], wanted), len(wanted)


def missed(scores: Tensor, targets: Sequence[Sequence[int]], films: int) -> tuple[Tensor, int]:
    """1 - the mean reciprocal place of all targets among the films, and their number."""
    rows, wanted = _flat(targets, scores)
    among = scores[rows, :films]
    own = among.gather(1, wanted[:, None])
    places = (among > own).sum(dim=1) + 1
    return 1.0 - (1.0 / places).mean(), len(wanted)


def _flat(targets: Sequence[Sequence[int]], like: Tensor) -> tuple[Tensor, Tensor]:
    rows = [row for row, own in enumerate(targets) for _ in own]
    wanted = [target for own in targets for target in own]
    return torch.tensor(rows, device=like.device), torch.tensor(wanted, device=like.device)
