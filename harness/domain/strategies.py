"""The 13 macro-level strategies of the planner (paper, Table I) and the names that datasets give them.

The set goes back to the sociable strategies of INSPIRED (Hayati et al., EMNLP 2020). INSPIRED labels 14: its
``preference_confirmation`` is an alias of TRANSPARENCY here, whose Table I text covers both (decision 12);
``labels = "inspired14"`` keeps it apart. Descriptions are this project's own words; the actor reads them.
"""

from __future__ import annotations

from typing import Literal

from harness.core.errors import DataError
from harness.core.messages import Struct

Group = Literal["sociable", "elicitation", "none"]
"""The paper's three: sociable strategies, inquiries that elicit preferences, and none."""
LabelSet = Literal["rso13", "inspired14"]


class Strategy(Struct, frozen=True, kw_only=True):
    """One macro-level strategy: its key in logs and data, its name, what it asks the actor to do."""

    key: str
    name: str
    group: Group
    description: str
    aliases: tuple[str, ...] = ()


_TRANSPARENCY = Strategy(
    key="transparency",
    name="TRANSPARENCY",
    group="elicitation",
    description="Say openly what you have understood and how you arrive at your choice, and check that it is right.",
    aliases=("preference_confirmation",),
)
_CONFIRMATION = Strategy(
    key="preference_confirmation",
    name="PREFERENCE CONFIRMATION",
    group="elicitation",
    description="Ask whether the wishes you have understood, or the film you have in mind, are what the seeker wants.",
)

STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        key="acknowledgment",
        name="ACKNOWLEDGMENT",
        group="sociable",
        description="Answer shortly and cheerfully, so that the seeker feels heard.",
        aliases=("acknowledgement",),
    ),
    Strategy(
        key="credibility",
        name="CREDIBILITY",
        group="sociable",
        description="Win trust with verifiable facts about a film: genre, director, cast, year.",
    ),
    Strategy(
        key="encouragement",
        name="ENCOURAGEMENT",
        group="sociable",
        description="Compliment the seeker's taste and encourage them to watch the recommended film.",
    ),
    Strategy(
        key="experience_inquiry",
        name="EXPERIENCE INQUIRY",
        group="elicitation",
        description="Ask about films that the seeker has seen and how they were.",
    ),
    Strategy(
        key="offer_help",
        name="OFFER HELP",
        group="sociable",
        description="State that you are here to help and invite the seeker to use it.",
        aliases=("offer help",),
    ),
    Strategy(
        key="opinion_inquiry",
        name="OPINION INQUIRY",
        group="elicitation",
        description="Ask for the seeker's taste: genres, people or periods that they like or dislike.",
    ),
    Strategy(
        key="personal_experience",
        name="PERSONAL EXPERIENCE",
        group="sociable",
        description="Share an experience of your own with a film.",
    ),
    Strategy(
        key="personal_opinion",
        name="PERSONAL OPINION",
        group="sociable",
        description="Give your own view of a film, its plot or its people; contradict none of the listed facts.",
    ),
    Strategy(
        key="rephrase_preference",
        name="REPHRASE PREFERENCE",
        group="elicitation",
        description="Restate the seeker's wishes in your own words to show and check your understanding.",
        aliases=("rephrase_preferences",),
    ),
    Strategy(
        key="self_modeling",
        name="SELF MODELING",
        group="sociable",
        description="Set an example: you would watch, or have watched, the recommended film yourself.",
    ),
    Strategy(
        key="similarity",
        name="SIMILARITY",
        group="sociable",
        description="Express that you share the seeker's taste or view.",
    ),
    _TRANSPARENCY,
    Strategy(
        key="no_strategy",
        name="NO STRATEGY",
        group="none",
        description="Chat or greet without any persuasive aim.",
        aliases=("none", "no strategy"),
    ),
)
"""Table I, in the order of every probability vector of the default label set."""


def strategy_set(labels: LabelSet) -> tuple[Strategy, ...]:
    """The strategies of a label set, in the order of probability vectors."""
    if labels == "rso13":
        return STRATEGIES
    at = STRATEGIES.index(_TRANSPARENCY)
    bare = Strategy(
        key=_TRANSPARENCY.key,
        name=_TRANSPARENCY.name,
        group=_TRANSPARENCY.group,
        description="Say openly how you arrive at your choice.",
    )
    return (*STRATEGIES[:at], bare, _CONFIRMATION, *STRATEGIES[at + 1 :])


def resolve_label(label: str, strategies: tuple[Strategy, ...]) -> str:
    """A dataset's label -> strategy key; a label that no strategy owns is a `DataError`, never a new class."""
    wanted = label.strip().lower().replace(" ", "_")
    for strategy in strategies:
        if wanted == strategy.key or wanted in (alias.replace(" ", "_") for alias in strategy.aliases):
            return strategy.key
    raise DataError(f"unknown strategy label {label!r}; known labels: {', '.join(s.key for s in strategies)}")
