"""``+copy``: a mixture of a system's distribution over films with one over the films that were named before.

No published system has it, so it is a row of its own and never stands under their names. Both numbers are counted on
the training turns: how often a target was named before, and by how many films ago.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from harness.domain.entities import LinkedTurn
from harness.domain.ranking import Query, Ranker, Scores

AGO = 12
"""Films named longer ago share one place."""


def count_copies(turns: Iterable[LinkedTurn], films: int) -> tuple[float, ...]:
    """The share of targets that were named before, then its parts by how many films ago (1, 2, ..., `AGO` or more)."""
    repeated = np.full(AGO, 0.5)  # half a case each, so that no place is impossible
    targets = 0
    for turn in turns:
        named = [node for node in turn.context if node < films]
        targets += len(turn.targets)
        for target in turn.targets:
            if target in named:
                repeated[min(len(named) - 1 - named.index(target), AGO - 1)] += 1.0
    share = (float(repeated.sum()) - AGO / 2) / max(targets, 1)
    return (share, *(float(part) for part in repeated / repeated.sum()))


class WithCopy:
    """A ranker's probabilities, mixed with copies of named films; scores are log-probabilities."""

    def __init__(self, ranker: Ranker, counted: Sequence[float]) -> None:
        self._ranker = ranker
        self._share, self._by_place = counted[0], counted[1:]

    def rank(self, queries: Sequence[Query]) -> Scores:
        """(Q, films)."""
        scores = np.asarray(self._ranker.rank(queries), dtype=np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        chances = np.exp(scores)
        chances /= chances.sum(axis=1, keepdims=True)
        for row, query in zip(chances, queries, strict=True):
            named = [node for node in query.context if node < len(row)]
            if not named:
                continue
            weights = np.array([self._by_place[min(ago, AGO - 1)] for ago in reversed(range(len(named)))])
            row *= 1.0 - self._share
            row[named] += self._share * weights / weights.sum()
        return np.log(np.maximum(chances, 1e-300))
