"""What a run cost by role: calls, tokens, cache hits, cut replies, and seconds; from the log's events; pure.

Seconds are what the log holds: those of one role in one turn, its repairs included, waiting included.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.log.episode import Episode
from harness.core.messages import Struct, Usage


class RoleCost(Struct, frozen=True, kw_only=True):
    """One role's share."""

    usage: Usage
    seconds: float
    p50_s: float | None
    p95_s: float | None

    @property
    def cached_share(self) -> float | None:
        """Of the prompt tokens, as the server reported them with each reply; None where it reports nothing."""
        if not self.usage.prompt_tokens or not self.usage.cached_tokens:
            return None
        return self.usage.cached_tokens / self.usage.prompt_tokens


def costs_by_role(episodes: Iterable[Episode]) -> dict[str, RoleCost]:
    """By role, in alphabetical order."""
    usage: dict[str, Usage] = {}
    seconds: dict[str, list[float]] = {}
    for episode in episodes:
        for event in episode.steps:
            for role, used in event.usage.items():
                usage[role] = usage.get(role, Usage()) + used
            for role, taken in event.timing.items():
                seconds.setdefault(role, []).append(taken)
    return {
        role: RoleCost(
            usage=usage.get(role, Usage()),
            seconds=sum(seconds.get(role, ())),
            p50_s=_quantile(seconds.get(role, []), 0.50),
            p95_s=_quantile(seconds.get(role, []), 0.95),
        )
        for role in sorted(usage.keys() | seconds.keys())
    }


def _quantile(values: list[float], q: float) -> float | None:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else None
