"""How many calls may be under way on one server: halved once per burst of 429 answers, regained call by call.

Additive increase, multiplicative decrease, as TCP does it. A burst is all those answers whose calls had started before
the last cut: they tell of the old limit and are not counted again.
"""

from __future__ import annotations

import math

import trio


class InFlightLimit:
    """At most ``most`` calls under way; ``async with limit.slots`` around each.

    ``most`` at least 1. Not shared between servers.
    """

    def __init__(self, most: int) -> None:
        self.slots = trio.CapacityLimiter(most)
        self._most = most
        self._allowed = float(most)
        self._cut_at = -math.inf

    @property
    def allowed(self) -> int:
        """Calls that may be under way now."""
        return int(self._allowed)

    def pushed_back(self, started_at: float) -> None:
        """A call that started at ``started_at`` (trio's clock) was answered 429; to be told while it holds its slot."""
        if started_at <= self._cut_at:
            return
        # From what was really under way: half of an unused limit would change nothing.
        self._allowed = max(1.0, min(self._allowed, float(self.slots.borrowed_tokens)) / 2)
        self._cut_at = trio.current_time()
        self.slots.total_tokens = self.allowed

    def went_well(self) -> None:
        """A call was served: one more slot for every ``allowed`` of these."""
        if self._allowed < self._most:
            self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)
            self.slots.total_tokens = self.allowed
