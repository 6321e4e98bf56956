"""The scripted seeker's reply: read persona, goal and dialogue, compute the seeker's state, write the answer.

An agenda-based user in the tradition of Zhang & Balog (KDD 2020): the agenda is the list of wishes not yet said, popped
by the questions that suit the persona. A reply is a mood phrase (graded, for the judge to read), the reaction to the
last message, what is revealed, and in about half of the turns a cue of taste, articulacy, doubt or readiness.

Who names attributes answers OPINION INQUIRY; who tells of films answers EXPERIENCE INQUIRY with films it has seen that
share some of its wishes, never one that covers them all (the goal's films stay unsaid).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import get_args

from harness.core.messages import Attribute, AttributeKind
from harness.core.sections import parse_dialogue
from harness.domain.titles import spoken_name
from simulator.scripted import phrases
from simulator.scripted.dice import Dice
from simulator.scripted.hearing import Ear
from simulator.scripted.traits import Traits, traits_of
from simulator.scripted.world import GROUNDING, Mind, Wishes, budget, fold, satisfaction, wants_to_accept

CUE_RATE = 0.5
"""Share of turns in which a trait shows; lower and a planner cannot read, higher and nothing is hidden."""
_MOOD_NOISE = 0.4
"""Standard deviation, in grades, between what is felt and the mood phrase that is said."""
_KINDS: tuple[AttributeKind, ...] = get_args(AttributeKind)


def answer(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """The whole reply of the seeker role: feelings, reply, ``[END]`` or ``[LEAVE]``."""
    person = sections.get("PERSONA", "")
    traits = traits_of(person)
    wishes = parse_goal(sections.get("GOAL", ""))
    history = parse_dialogue(sections.get("DIALOGUE", ""))
    if not any(utterance.speaker == "recommender" for utterance in history):
        return _open(traits, wishes, dice, ear)
    mind = fold(ear, traits, person, wishes, history)
    level = satisfaction(mind, traits, wishes)
    feelings = f"Feelings: {_feelings(mind)}"
    mood = _mood(level, dice)
    item = spoken_name(ear.graph.item(mind.table)) if mind.table else ""
    if dice.chance(wants_to_accept(mind), "accept"):
        words = f"{_say_mood(max(mood, 7), dice)} {dice.pick(phrases.ACCEPTS, 'accepts').format(item=item)} [END]"
        return f"{feelings}\nReply: {words}"
    worn_out = mind.boredom / budget(traits)
    if worn_out >= 1.0 and dice.chance(0.45 if worn_out < 1.2 else 0.85, "leave"):
        words = f"{_say_mood(min(mood, 1), dice)} {dice.pick(phrases.LEAVES, 'leaves')} [LEAVE]"
        return f"{feelings}\nReply: {words}"
    parts = [_say_mood(mood, dice), *_react(mind, dice, ear), *reveals(mind, traits, wishes, dice, ear)]
    parts += _cue(mind, traits, wishes, dice)
    return f"{feelings}\nReply: {' '.join(parts)}"


@lru_cache(maxsize=4096)
def parse_goal(text: str) -> Wishes:
    """The lines ``- kind: value`` of the GOAL section."""
    found = []
    for line in text.split("\n"):
        for kind in _KINDS:
            if line.startswith(f"- {kind}: "):
                found.append(Attribute(kind=kind, value=line.partition(": ")[2].strip()))
    return Wishes(attributes=tuple(found))


def reveals(mind: Mind, traits: Traits, wishes: Wishes, dice: Dice, ear: Ear) -> list[str]:
    """The sentences in which the seeker tells wishes, as many as the last message asks for."""
    unsaid = _shuffled((a for a in wishes.attributes if a not in mind.known), dice)
    missing = _shuffled(mind.missing, dice)
    worn = mind.uses[-2:-1] == (mind.event,)
    match mind.event:
        case "opinion_inquiry" if traits.articulacy == "attributes":
            return _wish(unsaid[: 1 if worn else 2], phrases.WISH_LEADS, dice)
        case "opinion_inquiry":
            if dice.chance(0.12, "slip"):
                return _wish(unsaid[:1], phrases.WISH_LEADS, dice)
            return [dice.pick(phrases.PUZZLED, "puzzled")]
        case "experience_inquiry" if traits.articulacy == "films":
            return _tell(unsaid, mind, wishes, dice, ear)
        case "experience_inquiry":
            if dice.chance(0.12, "slip"):
                return _wish(unsaid[:1], phrases.WISH_LEADS, dice)
            return [dice.pick(phrases.PUZZLED, "puzzled")]
        case "all_said":
            again = _shuffled(wishes.attributes, dice)[:1] if dice.chance(0.4, "again") else []
            return [dice.pick(phrases.ALL_SAID, "all said"), *_wish(again, phrases.HOPES, dice)]
        case "misread":
            return _wish(missing[:1], phrases.HOPES, dice) if dice.chance(0.3, "correct") else []
        case "partly":
            # A summary is no question: with each further one the seeker adds less.
            rate = 0.5 * 0.5 ** (sum(act in GROUNDING for act in mind.uses) - 1)
            return _wish(missing[:1], phrases.HOPES, dice) if dice.chance(rate, "add") else []
        case "refused":
            return _wish(missing[:1], phrases.HOPES, dice) if dice.chance(0.5, "object") else []
        case _ if mind.missing and mind.table:
            return _wish(missing[:1], phrases.HOPES, dice) if dice.chance(0.75, "nearly") else []
        case _:
            return _wish(unsaid[:1], phrases.HOPES, dice) if dice.chance(0.06, "volunteer") else []


def _open(traits: Traits, wishes: Wishes, dice: Dice, ear: Ear) -> str:
    parts = [dice.pick(phrases.OPENINGS, "opening")]
    unsaid = _shuffled(wishes.attributes, dice)
    if dice.chance(0.4, "first word"):
        if traits.articulacy == "attributes":
            parts += _wish(unsaid[:1], phrases.WISH_LEADS, dice)
        else:
            parts += _tell(unsaid, Mind(trust=0.5), wishes, dice, ear)
    elif dice.chance(CUE_RATE, "first cue"):
        parts.append(dice.pick(phrases.CUES[traits.articulacy], "cue"))
    return f"Feelings: curious what comes.\nReply: {' '.join(parts)}"


def _tell(unsaid: list[Attribute], mind: Mind, wishes: Wishes, dice: Dice, ear: Ear) -> list[str]:
    """A film seen that shares wishes not yet said, sometimes with the reason."""
    for shared in (unsaid[:2], unsaid[:1], unsaid[1:2]):
        if not shared:
            continue
        goal = ear.covering(frozenset(wishes.attributes))
        options = [
            item
            for item in ear.covering(frozenset(shared))[:60]
            if item not in goal and item not in mind.told and item not in mind.refused and item != mind.table
        ]
        if options:
            item = dice.pick(options, "film")
            two = len(shared) > 1 and dice.chance(0.6, "both")
            said = [dice.pick(phrases.FILM_TOLD, "told").format(item=spoken_name(ear.graph.item(item)))]
            if dice.chance(0.9, "why"):
                wish = " and ".join(_phrase(attribute, dice) for attribute in shared[: 1 + two])
                said.append(dice.pick(phrases.FILM_WHY, "reason").format(wish=wish))
            return said
    return _wish(unsaid[:1], phrases.WISH_LEADS, dice)


def _wish(attributes: Iterable[Attribute], leads: tuple[str, ...], dice: Dice) -> list[str]:
    parts = [_phrase(attribute, dice) for attribute in attributes]
    return [dice.pick(leads, "lead").format(wishes=" and ".join(parts))] if parts else []


def _phrase(attribute: Attribute, dice: Dice) -> str:
    return dice.pick(phrases.WISH[attribute.kind], "wish", attribute.value).format(value=attribute.value)


def _shuffled(attributes: Iterable[Attribute], dice: Dice) -> list[Attribute]:
    return sorted(attributes, key=lambda a: dice.uniform("order", a.kind, a.value))


_REACTIONS: dict[str, tuple[str, ...]] = {
    "refused": phrases.REFUSALS,
    "seen": phrases.SEEN_IT,
    "again": phrases.AGAIN,
    "caught": phrases.CAUGHT,
    "pushed": phrases.PUSHY,
    "misread": phrases.WRONG_WISH,
    "confirmed": phrases.CONFIRMED,
    "partly": phrases.PARTLY,
}


def _react(mind: Mind, dice: Dice, ear: Ear) -> list[str]:
    name = spoken_name(ear.graph.item(mind.named)) if mind.named else "that one"
    said = []
    if mind.misread:
        word = dice.pick(sorted(mind.misread, key=lambda a: (a.kind, a.value)), "misread")
        wish = f"the {word.value}" if word.kind == "decade" else word.value
        sentence = dice.pick(phrases.NO_WISH, "no wish").format(wish=wish)
        said.append(sentence[0].upper() + sentence[1:])
    elif mind.event in _REACTIONS:
        said.append(dice.pick(_REACTIONS[mind.event], "reaction").format(item=name))
    elif mind.table and mind.uses and mind.event in ("moved", "cold", "closed", "resented"):
        first = mind.missing or mind.intention < 0.5
        if dice.chance(0.6 if first else 0.3, "about it"):
            options = phrases.CLOSE if mind.fit < 1.0 else phrases.TAKEN
            said.append(dice.pick(options, "reaction").format(item=name))
    if mind.uses[-2:-1] == mind.uses[-1:] and dice.chance(0.5, "repeated"):
        said.append(dice.pick(phrases.REPEATED, "repeated"))
    return said


def _cue(mind: Mind, traits: Traits, wishes: Wishes, dice: Dice) -> list[str]:
    """At most one cue of the seeker's traits or readiness; which one depends on the state of the talk."""
    told_all = len(mind.known) == len(wishes.attributes)
    if mind.table and mind.intention >= 0.5 and mind.trust >= 0.45:
        slip, rate = "tempted", 0.6
    elif traits.trust == "sceptical" and mind.trust < 0.42 and len(mind.known) >= 2:
        slip, rate = "sceptical", 0.6
    elif told_all and not mind.table and dice.chance(0.5, "asks"):
        slip, rate = "curious", 0.7
    else:
        about_films = mind.table or len(mind.known) >= 2
        if dice.chance(0.2, "other cue"):
            about_films = not about_films
        slip, rate = (traits.taste if about_films or told_all else traits.articulacy), CUE_RATE
    return [dice.pick(phrases.CUES[slip], "cue")] if dice.chance(rate, "cue shown") else []


def _mood(level: float, dice: Dice) -> int:
    top = len(phrases.MOODS) - 1
    return min(top, max(0, round(level * top + _MOOD_NOISE * dice.normal("mood"))))


def _say_mood(grade: int, dice: Dice) -> str:
    return dice.pick(phrases.MOODS[grade], "mood phrase")


def _feelings(mind: Mind) -> str:
    def degree(value: float) -> str:
        return "low" if value < 0.35 else "middling" if value < 0.65 else "high"

    film = f", drawn to the film {degree(mind.intention)}" if mind.table else ", no film yet"
    return f"trust {degree(mind.trust)}, warmth {degree(mind.rapport)}{film}."
