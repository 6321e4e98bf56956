"""Messages of a human dialogue -> its recommendation turns, by one rule for all corpora.

Consecutive messages of one speaker are one. A turn counts where the recommender names items. What it leaves out: what
a corpus marks as an item (the loaders), and which names a graph knows (``harness.domain.entities``).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from harness.core.messages import RecommendationTurn, Speaker, State, Turn


class Said(NamedTuple):
    """One message of a corpus with what it names, written as in the data."""

    speaker: Speaker
    text: str
    items: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    """Persons, genres and whatever else is no item."""


def recommendation_turns(
    dialogue: str, messages: Iterable[Said], max_turns: int = 10
) -> tuple[RecommendationTurn, ...]:
    """The recommender's turns that name items, in order, each with the dialogue before it.

    Args:
        dialogue: its id.
        messages: all its messages in order.
        max_turns: T_max of the states, where the dialogue has no more turns than that.
    """
    said = [_joined(list(run)) for _, run in groupby(messages, key=lambda message: message.speaker)]
    count = sum(message.speaker == "recommender" for message in said)
    state = State(episode=dialogue, seed=0, max_turns=max(max_turns, count))
    named: dict[str, None] = {}
    turns = []
    for message in said:
        if message.speaker == "recommender":
            if message.items:
                turns.append(
                    RecommendationTurn(
                        state=state,
                        named=tuple(named),
                        items=tuple(dict.fromkeys(message.items)),
                        response=message.text,
                    )
                )
            state = state.after(Turn(strategy=None, preferences="", response=message.text))
        elif state.turns:
            state = state.answered(message.text)
        else:
            state = State(episode=dialogue, seed=0, max_turns=state.max_turns, opening=message.text)
        named |= dict.fromkeys((*message.items, *message.entities))
    return tuple(turns)


def _joined(run: list[Said]) -> Said:
    return Said(
        speaker=run[0].speaker,
        text=" ".join(message.text.strip() for message in run),
        items=tuple(name for message in run for name in message.items),
        entities=tuple(name for message in run for name in message.entities),
    )
