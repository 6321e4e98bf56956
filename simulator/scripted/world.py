"""The mind of the scripted seeker: a pure fold over the dialogue, with the effect of each strategy in one table.

State (docs/world.md): which wishes were said, trust, rapport, intention, the film on the table and its fit, confirmed
or not, boredom, refusals, how often each act was used. `fold` starts from the persona's traits and steps over the
messages of the prompt; nothing else is remembered anywhere. Luck enters only as a jitter hashed from the message and
its place, so that the fold stays a function of the text.

Effects, all divided by 1 + 1.4 (used in the turn before) + 0.6 (earlier uses): repetition bores.

=====================  ======================================================================  =======================
act                    effect                                                                  idea from
=====================  ======================================================================  =======================
opinion_inquiry        asks for wishes: much from those who name attributes (`user.reveals`)   INSPIRED; elicitation
experience_inquiry     the same for those who tell of films seen                               INSPIRED
rephrase_preference    confirms what was said; trust, more for sceptics; a small reveal        grounding; UserSimCRS
transparency           with two or more wishes known: confirms, trust, strong for sceptics;    INSPIRED; explanations
                       before that slightly bad
offer_help             good as an opening, awkward later                                       INSPIRED
acknowledgment         a little rapport after something was told                               INSPIRED
no_strategy            rapport with the warm, costs patience                                   sociable strategies
similarity             rapport (strong with the warm) once something is known                  persuasion: liking
credibility            on a film: intention of the fact-minded, a little trust                 persuasion: credibility
personal_opinion,      on a film: intention of the warm; sceptics of low trust resent opinion  persuasion
personal_experience
self_modeling          on a film: works only at high trust                                     persuasion: social proof
encouragement          closes where intention and trust are there, pushy otherwise             persuasion: commitment
=====================  ======================================================================  =======================

A film that covers too few wishes is refused: trust and patience are lost, sometimes a wish is let out. A film that
misses one wish is lukewarm: it caps intention. Facts that the seeker knows to be wrong cost trust. An appeal
to the wrong taste cools the seeker and spoils that film for later appeals, and a question of the wrong kind costs
patience: this is why a planner has to read whom it talks to, and why no fixed schedule serves everybody.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace as _replace

from harness.core.messages import Attribute, Struct, Utterance
from harness.core.seeds import uniform
from harness.domain.titles import considered
from simulator.scripted.acts import NAMING
from simulator.scripted.hearing import Ear, Heard
from simulator.scripted.traits import Traits

BUDGET = {"small": 6.5, "middle": 9.0, "large": 12.0}
"""Patience in units of boredom."""
TURN_COST = 0.5
LUKEWARM = 0.6
"""A film has to cover this share of the wishes to be considered at all."""
ITEM_CAP = 0.45
"""Intention that a film missing a wish can reach at most."""
SOURED = 0.3
"""What an appeal is still worth after each appeal of the wrong kind for the same film."""
KNOWS_FILM = 0.7
"""Share of the graph's films that a seeker knows well enough to notice an invented fact."""


class Mind(Struct, frozen=True, kw_only=True):
    """The seeker's state after some messages. Numbers are in [0, 1], except boredom: at least 0, without a bound."""

    trust: float
    rapport: float = 0.3
    intention: float = 0.0
    boredom: float = 0.0
    confirmed: bool = False
    known: frozenset[Attribute] = frozenset()
    """Wishes of the goal that were said in words."""
    told: tuple[str, ...] = ()
    """Films that the seeker told of."""
    table: str = ""
    """The film being considered; empty if none."""
    fit: float = 0.0
    soured: int = 0
    """How often the film on the table was praised in the wrong manner: a first impression is hard to mend."""
    refused: frozenset[str] = frozenset()
    uses: tuple[str, ...] = ()
    """Acts met so far, in order."""
    event: str = "opening"
    """What the last message did, which decides what is answered (`user`)."""
    mood: float = 0.0
    """A passing like or dislike of the last message itself."""
    misread: frozenset[Attribute] = frozenset()
    """What the last message took for a wish and is none."""
    missing: frozenset[Attribute] = frozenset()
    """Wishes that the last message does not meet: not covered by its film, or not in its summary."""
    named: str = ""
    """The last film that was named."""


class Wishes(Struct, frozen=True, kw_only=True):
    """The goal as the seeker's prompt tells it."""

    attributes: tuple[Attribute, ...]


def budget(traits: Traits) -> float:
    """Units of boredom until this seeker may leave."""
    return BUDGET[traits.patience]


def fold(ear: Ear, traits: Traits, person: str, wishes: Wishes, history: Sequence[Utterance]) -> Mind:
    """The mind after all messages; ``person`` (any text that names the persona) decides which films it knows."""
    mind = Mind(trust=0.2 if traits.trust == "sceptical" else 0.5)
    for place, utterance in enumerate(history):
        if utterance.speaker == "seeker":
            mind = _after_own_words(ear, wishes, mind, utterance.text)
        else:
            jitter = 0.75 + 0.5 * uniform("jitter", place, utterance.text)
            mind = _step(ear, traits, person, wishes, mind, ear.recommender(utterance.text), jitter)
    return mind


def satisfaction(mind: Mind, traits: Traits, wishes: Wishes) -> float:
    """How content the seeker is, in [0, 1]; its mood phrase shows this to the judge."""
    share = len(mind.known) / max(len(wishes.attributes), 1)
    tired = max(0.0, mind.boredom / budget(traits) - 0.5)
    level = (
        0.14
        + 0.46 * mind.intention
        + 0.20 * mind.trust
        + 0.12 * mind.rapport
        + 0.10 * share
        + 0.06 * mind.confirmed
        + mind.mood
        - 0.30 * tired
    )
    return min(1.0, max(0.0, level))


def wants_to_accept(mind: Mind) -> float:
    """Probability that the seeker takes the film on the table now."""
    if not mind.table or mind.trust < 0.42:
        return 0.0
    if mind.event == "closed":
        return 0.9
    return 0.3 if mind.intention >= 0.88 else 0.0


def _after_own_words(ear: Ear, wishes: Wishes, mind: Mind, text: str) -> Mind:
    said = ear.seeker(text)
    told = tuple(item for item in said.liked if item != mind.named and item not in mind.told)
    known = {a for a in wishes.attributes if a in said.wants}
    return _replace(mind, known=mind.known | known, told=mind.told + told)


def _step(ear: Ear, traits: Traits, person: str, wishes: Wishes, mind: Mind, heard: Heard, jitter: float) -> Mind:
    worn = 1.0 + 1.4 * (mind.uses[-1:] == (heard.act,)) + 0.6 * mind.uses.count(heard.act)
    strength = jitter / worn
    repeated = worn >= 2.0
    mind = _replace(
        mind,
        boredom=mind.boredom + TURN_COST + (0.5 if repeated else 0.0),
        uses=(*mind.uses, heard.act),
        mood=-0.05 if repeated else 0.0,
        missing=frozenset(),
        misread=frozenset(),
        event=heard.act,
    )
    if heard.items and (heard.act in NAMING or heard.act not in _ASKING):
        mind = _offered(ear, wishes, mind, considered(heard.items))
    elif heard.unknown_title and heard.act in NAMING:
        mind = _replace(mind, event="unheard", mood=-0.05, trust=_unit(mind.trust - 0.04), table="", intention=0.0)
    if heard.false_claims and heard.items and _notices(person, heard.items[-1]):
        return _replace(mind, event="caught", trust=_unit(mind.trust - 0.22), intention=0.5 * mind.intention, mood=-0.2)
    if mind.event in ("refused", "seen", "again", "unheard"):
        return mind
    return _EFFECTS[heard.act](mind, traits, wishes, heard, strength)


GROUNDING = frozenset(("transparency", "rephrase_preference"))
_ASKING = frozenset(("opinion_inquiry", "experience_inquiry", "offer_help"))


def _notices(person: str, item: str) -> bool:
    return uniform("knows", person, item) < KNOWS_FILM


def _offered(ear: Ear, wishes: Wishes, mind: Mind, item: str) -> Mind:
    if item == mind.table:
        return mind
    bad = {"intention": 0.0, "table": "", "fit": 0.0, "soured": 0, "named": item}
    if item in mind.refused:
        return _replace(
            mind, **bad, event="again", trust=_unit(mind.trust - 0.12), boredom=mind.boredom + 0.9, mood=-0.15
        )
    has = ear.graph.attributes(item)
    missing = frozenset(a for a in wishes.attributes if a not in has)
    fit = 1.0 - len(missing) / max(len(wishes.attributes), 1)
    refused = mind.refused | {item}
    if item in mind.told:
        return _replace(mind, **bad, event="seen", refused=refused, boredom=mind.boredom + 0.4, mood=-0.05)
    if fit < LUKEWARM:
        return _replace(
            mind,
            **bad,
            event="refused",
            refused=refused,
            missing=missing,
            trust=_unit(mind.trust - 0.11),
            boredom=mind.boredom + 0.8,
            mood=-0.08,
        )
    start = 0.18 if not missing else 0.06
    return _replace(mind, table=item, named=item, fit=fit, soured=0, missing=missing, intention=start)


def _raise(mind: Mind, gain: float) -> float:
    """Intention after an appeal: more at high trust, more once the wishes were confirmed, capped by the fit."""
    reach = 1.0 if mind.fit >= 1.0 else ITEM_CAP
    gain *= (0.45 + 0.75 * mind.trust) * (1.15 if mind.confirmed else 0.9) * SOURED**mind.soured
    return min(reach, mind.intention + gain)


def _ask(mind: Mind, traits: Traits, wishes: Wishes, heard: Heard, strength: float) -> Mind:
    suits = (heard.act == "opinion_inquiry") == (traits.articulacy == "attributes")
    nothing_left = len(mind.known) == len(wishes.attributes)
    if nothing_left:
        return _replace(mind, event="all_said", boredom=mind.boredom + 0.6, mood=mind.mood - 0.05)
    if suits:
        return _replace(mind, rapport=_unit(mind.rapport + 0.03 * strength), mood=mind.mood + 0.03)
    return _replace(mind, boredom=mind.boredom + 0.6, trust=_unit(mind.trust - 0.02), mood=mind.mood - 0.05)


def _ground(mind: Mind, traits: Traits, wishes: Wishes, heard: Heard, strength: float) -> Mind:
    transparent = heard.act == "transparency"
    wrong = [a for a in heard.wishes if a not in wishes.attributes]
    right = [a for a in heard.wishes if a in wishes.attributes]
    missing = frozenset(a for a in wishes.attributes if a not in heard.wishes)
    mind = _replace(mind, missing=missing, misread=frozenset(wrong))
    if not right or len(right) < len(wrong):
        return _replace(mind, event="misread", trust=_unit(mind.trust - 0.03), mood=mind.mood - 0.04)
    if transparent and len(right) < 2:
        return _replace(mind, event="partly", trust=_unit(mind.trust - 0.02), mood=mind.mood - 0.03)
    sceptical = traits.trust == "sceptical"
    gain = (0.34 if sceptical else 0.12) if transparent else (0.22 if sceptical else 0.10)
    confirmed = len(right) >= max(2, len(wishes.attributes) - 1) and not wrong
    return _replace(
        mind,
        event="confirmed" if len(right) == len(wishes.attributes) and not wrong else "partly",
        trust=_unit(mind.trust + gain * strength),
        confirmed=mind.confirmed or confirmed,
        mood=mind.mood + 0.04,
    )


def _offer_help(mind: Mind, traits: Traits, wishes: Wishes, heard: Heard, strength: float) -> Mind:
    if len(mind.uses) == 1:
        return _replace(mind, trust=_unit(mind.trust + 0.07), rapport=_unit(mind.rapport + 0.08), mood=0.03)
    return _replace(mind, rapport=_unit(mind.rapport - 0.03), boredom=mind.boredom + 0.5, mood=mind.mood - 0.04)


def _acknowledge(mind: Mind, traits: Traits, wishes: Wishes, heard: Heard, strength: float) -> Mind:
    if mind.known:
        return _replace(mind, rapport=_unit(mind.rapport + 0.08 * strength), mood=mind.mood + 0.02)
    return _replace(mind, boredom=mind.boredom + 0.4, mood=mind.mood - 0.03)


def _chat(mind: Mind, traits: Traits, wishes: Wishes, heard: Heard, strength: float) -> Mind:
    gain, cost = (0.12, 0.5) if traits.taste == "warmth" else (0.03, 0.8)
    return _replace(mind, rapport=_unit(mind.rapport + gain * strength), boredom=mind.boredom + cost)


def _similar(mind: Mind, traits: Traits, wishes: Wishes, heard: Heard, strength: float) -> Mind:
    if not mind.known:
        return _replace(mind, trust=_unit(mind.trust - 0.04), boredom=mind.boredom + 0.3, mood=mind.mood - 0.03)
    warm = traits.taste == "warmth"
    gain = 0.24 if warm else 0.06
    intention = _raise(mind, 0.10 * strength) if warm and mind.table else mind.intention
    return _replace(
        mind, rapport=_unit(mind.rapport + gain * strength), intention=intention, mood=mind.mood + 0.03 * warm
    )


def _cite(mind: Mind, traits: Traits, wishes: Wishes, heard: Heard, strength: float) -> Mind:
    if not mind.table:
        return _nothing_to_say(mind)
    if traits.taste == "facts":
        return _replace(
            mind, intention=_raise(mind, 0.59 * strength), trust=_unit(mind.trust + 0.06 * strength), event="moved"
        )
    return _cold(mind)


def _share(mind: Mind, traits: Traits, wishes: Wishes, heard: Heard, strength: float) -> Mind:
    if not mind.table:
        return _nothing_to_say(mind)
    if heard.act == "personal_opinion" and traits.trust == "sceptical" and mind.trust < 0.4:
        return _replace(mind, event="resented", trust=_unit(mind.trust - 0.10), mood=mind.mood - 0.08)
    if traits.taste == "warmth":
        gain = (0.58 if heard.act == "personal_opinion" else 0.56) * (0.8 + 0.5 * mind.rapport)
        return _replace(
            mind,
            intention=_raise(mind, gain * strength),
            rapport=_unit(mind.rapport + 0.06 * strength),
            event="moved",
        )
    return _cold(mind)


def _model(mind: Mind, traits: Traits, wishes: Wishes, heard: Heard, strength: float) -> Mind:
    if not mind.table:
        return _nothing_to_say(mind)
    if mind.trust >= 0.65:
        return _replace(mind, intention=_raise(mind, 0.20 * strength), event="moved")
    return _replace(mind, event="resented", trust=_unit(mind.trust - 0.07), mood=mind.mood - 0.06)


def _encourage(mind: Mind, traits: Traits, wishes: Wishes, heard: Heard, strength: float) -> Mind:
    if not mind.table:
        return _nothing_to_say(mind)
    if mind.intention >= 0.45 and mind.trust >= 0.42:
        return _replace(mind, intention=_raise(mind, 0.50 * strength), event="closed", mood=mind.mood + 0.05)
    return _replace(
        mind,
        event="pushed",
        trust=_unit(mind.trust - 0.08),
        boredom=mind.boredom + 0.6,
        mood=mind.mood - 0.10,
    )


def _cold(mind: Mind) -> Mind:
    return _replace(
        mind,
        event="cold",
        intention=_unit(mind.intention - 0.12),
        soured=mind.soured + 1,
        rapport=_unit(mind.rapport - 0.06),
        trust=_unit(mind.trust - 0.05),
        boredom=mind.boredom + 0.7,
        mood=mind.mood - 0.06,
    )


def _nothing_to_say(mind: Mind) -> Mind:
    # An appeal without a film, as in an ablation without candidates.
    return _replace(mind, event="empty", boredom=mind.boredom + 0.4, mood=mind.mood - 0.04)


_EFFECTS = {
    "opinion_inquiry": _ask,
    "experience_inquiry": _ask,
    "rephrase_preference": _ground,
    "transparency": _ground,
    "offer_help": _offer_help,
    "acknowledgment": _acknowledge,
    "no_strategy": _chat,
    "similarity": _similar,
    "credibility": _cite,
    "personal_opinion": _share,
    "personal_experience": _share,
    "self_modeling": _model,
    "encouragement": _encourage,
}


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
