"""Scales: what a measure's mean may be, and how far two means may be apart (`measures` says which has which).

An interval is shown only where it stays on its measure's scale (`harness.app.evaluation.statistics`).
"""

from __future__ import annotations

import math
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
