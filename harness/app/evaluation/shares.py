"""Which strategies were used when: overall shares, and Fig. 3 of the paper (shares over progress); pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.core.log.episode import Episode
from harness.core.messages import StopCause
from harness.domain.strategies import Strategy

BINS = 10
STOPS: tuple[StopCause, ...] = ("judge", "user", "quit", "target", "turns", "error")


def strategy_shares(episodes: Iterable[Episode], strategies: Sequence[Strategy]) -> dict[str, float]:
    """Share of each strategy among all decisions; empty where nothing was decided."""
    chosen = [t.decision.strategy for episode in episodes for t in episode.transitions if t.decision is not None]
    if not chosen:
        return {}
    return {strategy.key: chosen.count(strategy.key) / len(chosen) for strategy in strategies}


def shares_over_progress(
    episodes: Iterable[Episode], strategies: Sequence[Strategy], bins: int = BINS
) -> list[dict[str, float]]:
    """Shares of the strategies in each of ``bins`` equal parts of a conversation (Fig. 3).

    Turn t of T covers [(t-1)/T, t/T] of its conversation and counts in every part by how much of it lies there, so
    conversations of any length weigh the same in every part. A part of no decision is an empty dict.
    """
    weights: list[dict[str, float]] = [{} for _ in range(bins)]
    for episode in episodes:
        total = len(episode.transitions)
        for place, transition in enumerate(episode.transitions):
            if transition.decision is None:
                continue
            start, end = place / total * bins, (place + 1) / total * bins
            for part in range(int(start), min(bins, int(end - 1e-9) + 1)):
                overlap = min(end, part + 1) - max(start, part)
                found = weights[part]
                found[transition.decision.strategy] = found.get(transition.decision.strategy, 0.0) + overlap
    keys = [strategy.key for strategy in strategies]
    return [{key: found.get(key, 0.0) / sum(found.values()) for key in keys} if found else {} for found in weights]


def stop_shares(episodes: Sequence[Episode]) -> dict[StopCause, float]:
    """How conversations ended, errors among them."""
    ends = [episode.ended.stop for episode in episodes if episode.ended is not None]
    return {stop: ends.count(stop) / len(ends) if ends else 0.0 for stop in STOPS}
