"""Credibility of one dialogue (decision 18): how true is what was said about items; pure.

The evaluator rates each recommender turn that speaks of an item of the graph, 1..5, against the item's record. A turn
that speaks of none cannot be rated. How such turns count decides the number, so three are reported: the mean of the
scored turns, the mean with 0 for turns without a score, and the share of scored turns. Left out: asking the evaluator
(`examiner`).
"""

from __future__ import annotations

from collections.abc import Sequence

Ratings = Sequence[float | None]
"""One entry a recommender turn, in [1, 5]; None: the turn speaks of no item, or could not be read."""


def credibility(ratings: Ratings) -> float | None:
    """Mean over the scored turns, in [1, 5]; None where no turn was scored."""
    scored = [rating for rating in ratings if rating is not None]
    return sum(scored) / len(scored) if scored else None


def credibility_zero_filled(ratings: Ratings) -> float | None:
    """Mean over all turns, 0 for those without a score, in [0, 5]; None for a dialogue without turns."""
    return sum(rating or 0.0 for rating in ratings) / len(ratings) if ratings else None


def credibility_coverage(ratings: Ratings) -> float | None:
    """Share of turns that were scored; None for a dialogue without turns."""
    return sum(rating is not None for rating in ratings) / len(ratings) if ratings else None
