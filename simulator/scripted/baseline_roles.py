"""The recommender roles that only baselines have: prompted, lister, picker, selector, persuader, critic; templates all.

They stand for a language model with the baselines' prompts (`experts.baselines`) and have its known faults. Without
candidates a film comes from memory: by one wish, with made-up facts, in a list also with a wrong year. The picker asks
until it has heard some wishes, then sells early. The persuader sometimes adds a person who has nothing to do with the
film; the critic notices this, and after a critique the persuader keeps to its record. None of them sees a goal, a
persona or a planner's strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from harness.core.messages import Attribute, Struct
from harness.core.sections import parse_dialogue
from simulator.scripted import reasoner
from simulator.scripted.actor import MADE_UP, Candidate, Reply, choose, facts_of, listing, parse_candidates, write
from simulator.scripted.acts import TEMPLATES
from simulator.scripted.dice import Dice
from simulator.scripted.hearing import Ear
from simulator.scripted.records import check

_ENOUGH = 2
"""Wishes heard after which the picker recommends and the lister lists; a persuasive planner would wait longer."""
_EMBELLISHED = 0.35
"""Chance that a message without a critique names somebody who did not take part."""
_LISTED = 10
_REMEMBERED = 80
"""Films with a wish that come to mind."""
_MISDATED = 0.2
"""Chance that a film of a list has a wrong year, so that it is no film at all."""
_SOUNDS_LIKE = {
    "LOGICAL APPEAL": "credibility",
    "EMOTION APPEAL": "personal_opinion",
    "FRAMING": "personal_opinion",
    "EVIDENCE-BASED PERSUASION": "credibility",
    "SOCIAL PROOF": "self_modeling",
    "ANCHORING": "encouragement",
}
"""PC-CRS's strategies as acts that the scripted seeker recognises; of two, the first is heard."""
_OFFERS = ("How about {item}?", "Then {item} may be for you.", "{item} comes to mind.")
_LISTS = ("My list for tonight:", "These ten, then:", "Here are ten titles:")


class _Pick(Struct, frozen=True, kw_only=True):
    text: str
    items: tuple[int, ...] = ()
    move: str = "talk"


class _Named(Struct, frozen=True, kw_only=True):
    strategies: tuple[str, ...]


def constants() -> str:
    """What this world decides by a constant for the baselines, for the note below a comparison's tables."""
    return (
        f"of a film from memory every part of its record is made up with chance {MADE_UP}, and in a list a film has a "
        f"wrong year with chance {_MISDATED}; of a list the seeker considers the first film; InterCRS and PCCRS stop "
        f"asking once {_ENOUGH} wishes are heard; PCCRS's strategies are drawn at random, and an explanation names "
        f"somebody who did not take part with chance {_EMBELLISHED}, which its critic always finds"
    )


def chat(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """The prompted recommender: the actor without a strategy, with the wishes that the dialogue tells."""
    wishes = reasoner.infer(parse_dialogue(sections.get("DIALOGUE", "")), ear)
    return write({**sections, "PREFERENCES": wishes}, dice, ear).text


def clarify_or_list(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """A question while little was said, otherwise ten titles from memory, those with most wishes first."""
    wishes = _heard(sections, ear)
    if len(wishes) < _ENOUGH:
        return _question(dice)
    films: dict[str, int] = {}
    for place in range(3 * _LISTED):
        known = ear.covering(frozenset((dice.pick(wishes, "wish", place),)))[:_REMEMBERED]
        if known and len(films) < _LISTED:
            film = dice.pick(known, "film", place)
            films[film] = sum(wish in ear.graph.attributes(film) for wish in wishes)
    best = sorted(films, key=lambda film: -films[film])
    lines = [f"{number}. {_dated(film, dice, ear)}" for number, film in enumerate(best, start=1)]
    return "\n".join([dice.pick(_LISTS, "lead"), *lines])


def pick(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """The picker's JSON object: a question, a first recommendation, or the draft of an explanation."""
    history = parse_dialogue(sections.get("DIALOGUE", ""))
    wishes = _heard(sections, ear)
    film = None
    if len(wishes) >= _ENOUGH:
        film = choose(sections.get("CANDIDATES", ""), history, wishes, dice, ear)
    if film is None:
        return msgspec.json.encode(_Pick(text=_question(dice))).decode()
    before = next((ear.recommender(said.text).items for said in reversed(history) if said.speaker == "recommender"), ())
    again = ear.graph.find(film.name) in before
    item = ear.spoken(film.name)
    text = f"{item} is {listing(film.genres)}." if again else dice.pick(_OFFERS, "offer").format(item=item)
    return msgspec.json.encode(
        _Pick(text=text, items=(film.number,), move="explain" if again else "recommend")
    ).decode()


def select(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """Any two of the strategies."""
    names = sorted(_SOUNDS_LIKE, key=lambda name: dice.uniform("tactic", name))
    return msgspec.json.encode(_Named(strategies=tuple(names[:2]))).decode()


def persuade(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """The message about the one film, praised in the manner of the strategy, as a JSON object."""
    film = parse_candidates(sections.get("CANDIDATES", ""))[0]
    act = _SOUNDS_LIKE.get(sections.get("STRATEGY", "").partition(":")[0].strip(), "credibility")
    if "CRITIQUE" not in sections and dice.chance(_EMBELLISHED, "embellished"):
        film = _embellished(film, dice, ear)
    text = dice.pick(TEMPLATES[act], "wording").format(item=ear.spoken(film.name), facts=facts_of(film, dice))
    return msgspec.json.encode(Reply(text=text)).decode()


def criticise(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """What the record does not support, or NONE."""
    unsupported = check(sections.get("MESSAGE", ""), sections.get("FACTS", ""), ear).unsupported
    return f"not in the record: {'; '.join(unsupported)}" if unsupported else "NONE"


WRITERS: Mapping[str, Callable[[Mapping[str, str], Dice, Ear], str]] = {
    "prompted": chat,
    "lister": clarify_or_list,
    "picker": pick,
    "selector": select,
    "persuader": persuade,
    "critic": criticise,
}


def _question(dice: Dice) -> str:
    return dice.pick(TEMPLATES[dice.pick(("opinion_inquiry", "experience_inquiry"), "question")], "wording")


def _heard(sections: Mapping[str, str], ear: Ear) -> tuple[Attribute, ...]:
    wants = reasoner.infer(parse_dialogue(sections.get("DIALOGUE", "")), ear).partition("\n")[0]
    return ear.graph.attributes_in(wants.removeprefix("Wants: "))


def _dated(film: str, dice: Dice, ear: Ear) -> str:
    item = ear.graph.item(film)
    if item.year is not None and dice.chance(_MISDATED, "misdated", film):
        item = replace(item, year=item.year + 1)
    return item.name


def _embellished(film: Candidate, dice: Dice, ear: Ear) -> Candidate:
    other = dice.pick(ear.graph.items, "other film")
    return replace(film, stars=(*other.stars[:1], *film.stars[:1]))
