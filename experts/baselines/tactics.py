"""The six strategies of PC-CRS and the parts of a film's record that each opens (PC-CRS; Qin et al., EMNLP 2024).

From its source: evidence opens the people who made the film, logical appeal and framing its genres, emotion its plot,
social proof rating and reviews, anchoring nothing of its own. Of two strategies that the model names, only the first is
used; where anchoring is one of them, both are. Descriptions are our own words.

What differs: our graphs hold no ratings and no reviews, so social proof opens nothing; where a film has no plot,
emotion opens nothing either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from msgspec.structs import replace

from harness.core import seeds
from harness.core.messages import Fact, Item, State, Struct

LISTED_PARTS = ("genres",)
"""What a list of candidates shows beside the names."""
_PARTS = {f.name: f.default for f in msgspec.structs.fields(Item) if f.name not in ("id", "title", "year")}
"""Every other part of a film's record is hidden until it is opened -> what stands for a hidden one."""


class Tactic(Struct, frozen=True, kw_only=True):
    """A credibility-aware strategy, and the parts of a film's record that it opens."""

    name: str
    description: str
    opens: tuple[str, ...] = ()


ANCHORING = Tactic(
    name="ANCHORING",
    description="Lead with one true fact as the point of reference, and win the seeker step by step from there.",
)
TACTICS: tuple[Tactic, ...] = (
    Tactic(
        name="LOGICAL APPEAL",
        description="Argue how the film's genres meet what the seeker asked for.",
        opens=("genres",),
    ),
    Tactic(
        name="EMOTION APPEAL",
        description="Tell of the film's story so that the seeker feels it, without promising what it does not hold.",
        opens=("plot",),
    ),
    Tactic(
        name="FRAMING",
        description="Put what speaks for watching a film of these genres first, positively and truly.",
        opens=("genres",),
    ),
    Tactic(
        name="EVIDENCE-BASED PERSUASION",
        description="Support the film with facts that anybody can look up: who directed it, wrote it and plays in it.",
        opens=("directors", "writers", "stars"),
    ),
    Tactic(
        name="SOCIAL PROOF",
        description="Point to what audiences think of the film, without inventing ratings or praise.",
    ),
    ANCHORING,
)


def shuffled(state: State) -> tuple[Tactic, ...]:
    """All tactics in an order drawn for this turn, so that none gains from its place in the list."""
    return tuple(sorted(TACTICS, key=lambda tactic: seeds.uniform(state.seed, state.turn, "tactics", tactic.name)))


def used(named: tuple[Tactic, ...]) -> tuple[Tactic, ...]:
    """Those of the named tactics that an explanation follows: the first, or all where anchoring is among them."""
    return named if ANCHORING in named else named[:1]


def opened(before: Iterable[str], tactics: Iterable[Tactic]) -> tuple[str, ...]:
    """Parts that were opened before and those that these tactics open, in the order of the record."""
    some = {*before, *(part for tactic in tactics for part in tactic.opens)}
    return tuple(part for part in _PARTS if part in some)


def exposed(item: Item, parts: Collection[str]) -> Item:
    """The item with only these parts of its record; its name always stays whole."""
    return replace(item, **{part: hidden for part, hidden in _PARTS.items() if part not in parts})


def read_facts(facts: Iterable[Fact], shown: Iterable[Item], item: str, parts: Collection[str]) -> tuple[Fact, ...]:
    """Those of the retriever's facts that the model has read: of the list, and what was opened of one film."""
    listed = {film.id for film in shown}
    return tuple(
        fact
        for fact in facts
        if (fact.item in listed and fact.relation in _relations(LISTED_PARTS))
        or (fact.item == item and fact.relation in _relations(parts))
    )


def _relations(parts: Iterable[str]) -> frozenset[str]:
    """A relation has its part's name in the singular; the year belongs to a film's name."""
    return frozenset(("year", *(part.removesuffix("s") for part in parts)))
