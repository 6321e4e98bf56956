"""State -> what the planner reads: one line of text; one function for warm-up and for the run.

The newest comes first, so that a token budget, cut at the end by the tokenizer, drops the oldest words. The text names
"turn t of T_max" (decision 24), each message's speaker, and the strategy of each past recommender turn. Facts and
preferences of the current turn are not in it, since the planner works beside the reasoner; those of the turn before are
on request, the facts at the text's end, where the budget cuts first.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.messages import State
from harness.core.sections import one_line

_SEPARATOR = " | "
_LONG = ("plot",)
"""Relations whose values are texts: not among the facts that are read."""

Span = tuple[int, int]
"""Characters [start, end) of a text."""


@dataclass(frozen=True)
class StateText:
    """The text, and where in it the two messages stand that the next turn answers to; None where not yet spoken."""

    text: str
    seeker: Span | None
    """The seeker's newest message."""
    recommender: Span | None
    """The recommender's last message."""


def state_text(state: State, *, preferences: bool = False, facts: bool = False) -> StateText:
    """The planner's reading of s_t. ``preferences``: also what was inferred in the last turn (C1 of turn t - 1).
    ``facts``: also the values of what was retrieved in it (C2 of turn t - 1), each once."""
    parts = [f"turn {min(state.turn, state.max_turns)} of {state.max_turns}"]
    spans: dict[str, Span] = {}
    at = len(parts[0])

    def add(who: str, text: str) -> None:
        nonlocal at
        start = at + len(_SEPARATOR)
        parts.append(text)
        at = start + len(text)
        spans.setdefault(who, (start, at))

    for turn in reversed(state.turns):
        if turn.reply:
            add("seeker", f"seeker: {one_line(turn.reply)}")
        if preferences and turn is state.turns[-1] and turn.preferences:
            add("wishes", f"wishes: {one_line(turn.preferences)}")
        strategy = f" ({turn.strategy.replace('_', ' ')})" if turn.strategy else ""
        add("recommender", f"recommender{strategy}: {one_line(turn.response)}")
    if state.opening:
        add("seeker", f"seeker: {one_line(state.opening)}")
    read = state.turns[-1].facts if facts and state.turns else ()
    if known := dict.fromkeys(fact.value for fact in read if fact.relation not in _LONG):
        add("facts", f"facts: {one_line(', '.join(known))}")
    return StateText(_SEPARATOR.join(parts), spans.get("seeker"), spans.get("recommender"))
