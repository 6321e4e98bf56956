"""Which system is first by a measure, with ties: systems whose 95% intervals overlap are not told apart."""

from __future__ import annotations

from collections.abc import Iterable

from harness.app.evaluation.measures import entry_of
from harness.app.evaluation.statistics import Estimate


def ranked(found: Iterable[tuple[str, Estimate | None]], *, less_is_better: bool = False) -> list[list[str]]:
    """Groups of ties, best first.

    A group is the best system that is left and all whose intervals overlap with that one's. Overlap does not carry
    over: the last of one group may overlap with the first of the next.

    Args:
        found: system -> estimate; one without an interval is left out.
        less_is_better: the least is the best.
    """
    sign = -1.0 if less_is_better else 1.0
    left: list[tuple[float, float, float, str]] = []
    for name, one in found:
        if one is not None and one.mean is not None and one.low is not None and one.high is not None:
            low, high = sorted((sign * one.low, sign * one.high))
            left.append((sign * one.mean, low, high, name))
    left.sort(key=lambda entry: -entry[0])
    groups: list[list[str]] = []
    while left:
        least = left[0][1]
        groups.append([name for _, _, high, name in left if high >= least])
        left = [entry for entry in left if entry[2] < least]
    return groups


def ordering_text(measure: str, found: Iterable[tuple[str, Estimate | None]]) -> str:
    """``Conv-SR: A = B > C; without interval: D``.

    Empty where fewer than two systems have an interval, or no direction is better.
    """
    entry, found = entry_of(measure), list(found)
    groups = ranked(found, less_is_better=entry.better == "less")
    if not entry.better or sum(map(len, groups)) < 2:
        return ""
    left_out = [name for name, _ in found if all(name not in group for group in groups)]
    rest = f"; without interval: {', '.join(left_out)}" if left_out else ""
    return f"{entry.title}: {' > '.join(' = '.join(group) for group in groups)}{rest}"
