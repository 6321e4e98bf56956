"""One colour a strategy, phase and outcome, the same in the page, the plots and the episode reader.

Hues go by strategy group (elicitation blue, sociable warm or green, none grey), so that a stack of thirteen can still
be read; all are of middle lightness, for light and dark pages alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.messages import TRAIN
from harness.domain.strategies import Strategy

_BY_GROUP = {
    "elicitation": ("#1f4e9c", "#3b7dd8", "#6aa9f0", "#35a7c4", "#7d8fe0"),
    # In the order of Table I: green for what keeps the talk going, warm for what is said about a film.
    "sociable": ("#2e8b57", "#c23b4b", "#e8693e", "#6cb86a", "#f0a04b", "#d9578d", "#9c4dc4", "#a3b93c"),
    "none": ("#8a8f98",),
}
GROUPS = ("elicitation", "sociable", "none")
PHASES = {"before": "#8a8f98", "warmup": "#3b7dd8", TRAIN: "#2e9e6b", "rl": "#e8693e"}
STOPS = {
    "judge": "#2e8b57",
    "user": "#88b04b",
    "quit": "#e8693e",
    "target": "#2b7bba",
    "turns": "#8a8f98",
    "error": "#c23b4b",
}
OTHER = "#9c4dc4"
DASHES = ("-", "--", ":", "-.")
SERIES = ("#3b7dd8", "#e8693e", "#2e9e6b", "#9c4dc4", "#c9a227", "#35a7c4", "#d9578d", "#8a8f98", "#7d5a3c")


def strategy_colours(strategies: Sequence[Strategy]) -> dict[str, str]:
    """Key -> colour."""
    places = dict.fromkeys(GROUPS, 0)
    colours: dict[str, str] = {}
    for strategy in strategies:
        family = _BY_GROUP[strategy.group]
        colours[strategy.key] = family[places[strategy.group] % len(family)]
        places[strategy.group] += 1
    return colours


def in_groups(strategies: Sequence[Strategy]) -> list[Strategy]:
    """Strategies of one group beside each other, for stacks and legends."""
    return sorted(strategies, key=lambda strategy: GROUPS.index(strategy.group))


def phase_colour(phase: str) -> str:
    return PHASES.get(phase, OTHER)


def series_colour(place: int) -> str:
    """Colours for rows that are neither phase nor strategy."""
    return SERIES[place % len(SERIES)]


def series_dash(place: int) -> str:
    """Line styles that tell rows of one `series_colour` apart: another one for each pass through the colours."""
    return DASHES[place // len(SERIES) % len(DASHES)]
