"""How many calls may be under way on one server: halved once per burst of 429 answers, regained call by call.

Additive increase, multiplicative decrease, as in TCP. A burst is all 429 answers to calls that started before the last
cut: they result from the old limit, so they do not halve it again.
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
        """Note that a call was answered 429; to be called while it holds its slot.

        Args:
            started_at: when the call started, in seconds of trio's clock.
        """
        if started_at <= self._cut_at:
            return
        # Half of the calls really under way: half of a limit that is not reached would change nothing.
        self._allowed = max(1.0, min(self._allowed, float(self.slots.borrowed_tokens)) / 2)
        self._cut_at = trio.current_time()
        self.slots.total_tokens = self.allowed

    def went_well(self) -> None:
        """Note that a call was served; after ``allowed`` such calls there is one more slot."""
        if self._allowed < self._most:
            self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)
            self.slots.total_tokens = self.allowed
