"""The scale of each measure: what its mean may be, and how far two means may be apart.

An interval is shown only where it stays on its measure's scale (`harness.app.evaluation.statistics`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple


class Scale(NamedTuple):
    """The least and the greatest value; ``binary``: nothing between them happens."""

    low: float
    high: float
    binary: bool = False

    @property
    def of_differences(self) -> Scale:
        """Of one value minus another."""
        return Scale(self.low - self.high, self.high - self.low)

    def holds(self, low: float, high: float) -> bool:
        """Whether an interval stays on the scale, but for rounding."""
        return low >= self.low - 1e-9 and high <= self.high + 1e-9


RATE = Scale(0.0, 1.0, binary=True)
"""Of things that happen or do not."""
SHARE = Scale(0.0, 1.0)
LIKERT = Scale(1.0, 5.0)
AMOUNT = Scale(0.0, math.inf)
NUMBER = Scale(-math.inf, math.inf)
ENTROPY = Scale(0.0, math.log(14))
"""Nats; of the largest strategy set."""

SCALES: Mapping[str, Scale] = {
    **dict.fromkeys(("conv_sr", "judge_sr", "acceptance", "quit", "leaked"), RATE),
    **dict.fromkeys(("rec_sr_last", "rec_sr", "target_rec_sr"), RATE),
    **dict.fromkeys((f"{of}_{k}" for of in ("recall", "recall_any", "target_recall") for k in (1, 5)), RATE),
    **dict.fromkeys(
        (f"{by}_{of}_{k}" for by in ("popular", "repeat") for of in ("recall", "recall_any", "target") for k in (1, 5)),
        RATE,
    ),
    **dict.fromkeys((f"chance_{of}_{k}" for of in ("recall", "recall_any", "target") for k in (1, 5)), SHARE),
    **dict.fromkeys(("ievalm_sr", "popular_ievalm_sr", "repeat_ievalm_sr"), RATE),
    **dict.fromkeys(("chance_ievalm_sr", "judge_final", "evaluator_final", "label_mass", "planner_label_mass"), SHARE),
    **dict.fromkeys(("dist_2", "corpus_dist_2", "role_slips", "cred_coverage", "prs_clipped"), SHARE),
    **dict.fromkeys(("mean_return", "mean_objective", "absorbing", "terminal", "turns"), AMOUNT),
    **dict.fromkeys(("tokens", "recommender_tokens", "calls"), AMOUNT),
    **dict.fromkeys(("wi", "cred"), LIKERT),
    "cred_zero_filled": Scale(0.0, 5.0),
    "strategy_entropy": ENTROPY,
    "judge_gap": SHARE.of_differences,
    "prs": NUMBER,
    "prs_unclipped": NUMBER,
}
"""Measure -> scale."""


def scale_of(measure: str) -> Scale:
    """The scale of a measure; a measure of an own `Judge` or dataset may be any number."""
    return SCALES.get(measure, NUMBER)
