"""Hand-written planners for `trial`: simple ones, a fixed schedule, one that reads, one that knows the persona.

They bound what there is to learn. `reading_rule` sees what a learned planner sees: the dialogue and its own earlier
strategies. `knowing_rule` is the same rule with the traits given, an upper bound that no planner need reach.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from harness.core.messages import Struct, Utterance
from harness.domain.strategies import STRATEGIES
from simulator.scripted import phrases

KEYS = tuple(strategy.key for strategy in STRATEGIES)


class View(Struct, frozen=True, kw_only=True):
    """What a rule may look at."""

    turn: int
    history: tuple[Utterance, ...]
    strategies: tuple[str, ...]
    """Its own choices so far."""
    luck: float
    """One uniform in [0, 1) for rules that draw."""
    traits: dict[str, str]
    """The persona's; only `knowing_rule` looks."""


_HUMAN: tuple[dict[str, int], ...] = (
    {"opinion_inquiry": 64, "no_strategy": 23, "experience_inquiry": 20, "acknowledgment": 18, "similarity": 14,
     "offer_help": 12, "personal_opinion": 6, "personal_experience": 4, "encouragement": 4, "credibility": 3,
     "transparency": 5, "self_modeling": 2},
    {"opinion_inquiry": 38, "experience_inquiry": 36, "personal_opinion": 27, "similarity": 21, "acknowledgment": 13,
     "encouragement": 12, "credibility": 11, "self_modeling": 10, "transparency": 8, "no_strategy": 5,
     "rephrase_preference": 2, "personal_experience": 2, "offer_help": 2},
    {"credibility": 37, "personal_opinion": 34, "opinion_inquiry": 26, "experience_inquiry": 23, "similarity": 18,
     "encouragement": 17, "transparency": 10, "personal_experience": 9, "acknowledgment": 8, "self_modeling": 6,
     "rephrase_preference": 5, "no_strategy": 4, "offer_help": 3},
    {"credibility": 38, "personal_opinion": 30, "encouragement": 28, "opinion_inquiry": 25, "acknowledgment": 19,
     "experience_inquiry": 18, "transparency": 9, "similarity": 8, "offer_help": 6, "personal_experience": 6,
     "rephrase_preference": 5, "self_modeling": 5, "no_strategy": 5},
    {"encouragement": 29, "credibility": 25, "personal_opinion": 20, "opinion_inquiry": 18, "experience_inquiry": 15,
     "no_strategy": 15, "acknowledgment": 12, "transparency": 10, "similarity": 8, "offer_help": 8,
     "personal_experience": 4, "self_modeling": 3, "rephrase_preference": 2},
    {"credibility": 41, "personal_opinion": 34, "encouragement": 27, "no_strategy": 22, "experience_inquiry": 13,
     "transparency": 11, "opinion_inquiry": 11, "acknowledgment": 10, "personal_experience": 5, "offer_help": 4,
     "similarity": 2, "self_modeling": 2, "rephrase_preference": 2},
    {"credibility": 51, "personal_opinion": 26, "encouragement": 20, "no_strategy": 16, "transparency": 12,
     "acknowledgment": 11, "experience_inquiry": 9, "offer_help": 7, "opinion_inquiry": 6, "similarity": 4,
     "personal_experience": 4, "rephrase_preference": 3, "self_modeling": 2},
    {"credibility": 37, "personal_opinion": 34, "no_strategy": 27, "encouragement": 23, "acknowledgment": 16,
     "similarity": 11, "experience_inquiry": 8, "self_modeling": 6, "transparency": 6, "opinion_inquiry": 4,
     "personal_experience": 4, "offer_help": 2, "rephrase_preference": 1},
    {"no_strategy": 44, "encouragement": 27, "credibility": 22, "personal_opinion": 17, "acknowledgment": 16,
     "transparency": 12, "similarity": 9, "personal_experience": 6, "experience_inquiry": 6, "opinion_inquiry": 4,
     "self_modeling": 2, "offer_help": 2, "rephrase_preference": 1},
)  # fmt: skip
"""How often INSPIRED's recommenders used each strategy in their turns 2 to 10 (first labels of the dev split); the
first turn is left out, as there the recommender opens and here the seeker does."""

SCHEDULE: tuple[str, ...] = (
    "opinion_inquiry",
    "experience_inquiry",
    "opinion_inquiry",
    "transparency",
    "credibility",
    "personal_opinion",
    "encouragement",
    "credibility",
    "personal_experience",
    "encouragement",
)
"""A sensible fixed order, from which the search for the best one starts."""


def uniform_choice(view: View) -> str:
    """Every strategy alike."""
    return KEYS[int(view.luck * len(KEYS))]


def human_counts(turn: int) -> dict[str, int]:
    """How often people chose each strategy in this turn, from 1; one that they never chose is left out."""
    return _HUMAN[min(turn, len(_HUMAN)) - 1]


def human_choice(view: View) -> str:
    """The human frequencies of the turn."""
    counts = human_counts(view.turn)
    mark = view.luck * sum(counts.values())
    for key, count in counts.items():
        mark -= count
        if mark < 0:
            return key
    return "no_strategy"


def open_loop(schedule: Sequence[str]) -> Callable[[View], str]:
    """One strategy per turn index, the last one from then on."""
    return lambda view: schedule[min(view.turn, len(schedule)) - 1]


def reading_rule(view: View) -> str:
    """Ask in the way that suits the seeker, check once, persuade by its taste, close when it sounds ready."""
    return _rule(view, _guessed(view))


def knowing_rule(view: View) -> str:
    """The same with the traits given."""
    return _rule(view, view.traits)


_LEADS = (*phrases.WISH_LEADS, *phrases.HOPES, *phrases.FILM_WHY)
_WISHED = re.compile("|".join(re.escape(lead.partition("{")[0]) for lead in _LEADS), re.IGNORECASE)
_TOLD = re.compile(r"\ba while ago\b|really enjoyed|glued to|seen .* twice", re.IGNORECASE)
_REFUSED = re.compile("|".join(re.escape(t.replace("{item}", "")) for t in (*phrases.REFUSALS, *phrases.SEEN_IT)))


def _guessed(view: View) -> dict[str, str]:
    """The traits that cues and the effects of earlier moves show."""
    traits: dict[str, str] = {}
    said = [utterance.text for utterance in view.history if utterance.speaker == "seeker"]
    for text in said:
        for trait, values in (("taste", ("facts", "warmth")), ("articulacy", ("attributes", "films"))):
            for value in values:
                if _holds(text, phrases.CUES[value]):
                    traits[trait] = value
        if _holds(text, phrases.CUES["sceptical"]):
            traits["trust"] = "sceptical"
    for strategy, text in zip(view.strategies, said[1:], strict=False):
        if strategy in _ASKS and "articulacy" not in traits:
            hit = bool(_WISHED.search(text)) if strategy == "opinion_inquiry" else bool(_TOLD.search(text))
            traits["articulacy"] = _ASKS[strategy][0 if hit else 1]
        if strategy in _APPEALS and "taste" not in traits and _refusal(text) is None:
            traits["taste"] = _APPEALS[strategy][0 if _grade(text) >= 5 else 1]
    return traits


_ASKS = {"opinion_inquiry": ("attributes", "films"), "experience_inquiry": ("films", "attributes")}
_APPEALS = {
    "credibility": ("facts", "warmth"),
    "personal_opinion": ("warmth", "facts"),
    "personal_experience": ("warmth", "facts"),
}


def _rule(view: View, traits: dict[str, str]) -> str:
    said = [utterance.text for utterance in view.history if utterance.speaker == "seeker"]
    asked = [s for s in view.strategies if s in _ASKS]
    checked = [s for s in view.strategies if s in ("transparency", "rephrase_preference")]
    items = sum("(" in u.text for u in view.history if u.speaker == "recommender")
    wishes = sum(len(_WISHED.findall(text)) for text in said)
    wishes += sum(text.count(" and ") for text in said if _WISHED.search(text))
    last = said[-1]
    ready = _holds(last, phrases.CUES["tempted"]) or (items > 0 and _grade(last) >= 6)
    out = _refusal(last) is not None
    if ready and view.strategies[-1:] != ("encouragement",):
        return "encouragement"
    if wishes < 3 and len(asked) < 4 and not items:
        first = "experience_inquiry" if traits.get("articulacy") == "films" else "opinion_inquiry"
        if view.strategies[-1:] == (first,) and "articulacy" not in traits:
            return "experience_inquiry" if first == "opinion_inquiry" else "opinion_inquiry"
        return first
    if len(checked) < (2 if traits.get("trust") == "sceptical" and not items else 1):
        return "rephrase_preference" if checked == ["transparency"] else "transparency"
    if out and len(checked) < 3 and view.strategies[-1] not in ("rephrase_preference", "transparency"):
        return "rephrase_preference"
    if "taste" not in traits and not items and "rephrase_preference" not in view.strategies:
        return "rephrase_preference"
    warm = traits.get("taste", "warmth" if view.luck < 0.5 else "facts") == "warmth"
    if not warm:
        return "credibility"
    return "personal_experience" if view.strategies[-1:] == ("personal_opinion",) else "personal_opinion"


def _holds(text: str, options: Sequence[str]) -> bool:
    return any(option in text for option in options)


def _refusal(text: str) -> re.Match[str] | None:
    return _REFUSED.search(text)


def _grade(text: str) -> int:
    return next((g for g, options in enumerate(phrases.MOODS) if _holds(text, options)), 4)
