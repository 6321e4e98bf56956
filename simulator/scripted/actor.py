"""The scripted actor (Eq. 5): one message that carries the strategy, as JSON with the numbers of the films it names.

It is a template recommender. Persuasive strategies are about one film: the one on the table, or else the candidate that
has most of the inferred wishes and was not refused, seen or told of. Inquiries and rapport name none. Facts come from
the CANDIDATES section. Where that section is absent (an ablation) it does what language models do: it names a film from
its general knowledge and makes up part of the facts. Without STRATEGY it chooses for itself, badly: it sells early.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from harness.core.messages import Attribute, Struct, Utterance
from harness.core.sections import parse_dialogue
from harness.domain.strategies import strategy_set
from simulator.scripted.acts import NAMING, PLAIN, TEMPLATES
from simulator.scripted.dice import Dice
from simulator.scripted.hearing import Ear
from simulator.scripted.reasoner import NOTHING

_SPOKEN_AS = {"preference_confirmation": "transparency"}
"""INSPIRED's label beside Table I -> the strategy whose words it has."""
STRATEGIES_PLAYED = {
    s.name: s.key
    for s in (*strategy_set("rso13"), *strategy_set("inspired14"))
    if _SPOKEN_AS.get(s.key, s.key) in TEMPLATES
}
"""Name -> key of what this world has words for; a strategy added to Table I has none until they are written here."""
_OWN_CHOICE = (
    ("credibility", 0.35),
    ("personal_opinion", 0.55),
    ("encouragement", 0.75),
    ("opinion_inquiry", 0.88),
    ("no_strategy", 1.0),
)
"""What the actor does without a strategy: cumulative shares."""
MADE_UP = 0.6
"""Chance that a fact told without CANDIDATES is taken from another film."""
_LINE = re.compile(r"\[(\d+)\] (.+)")


class Candidate(Struct, frozen=True, kw_only=True):
    """One line of CANDIDATES; ``number`` is 0 for a film out of the actor's own memory."""

    number: int
    name: str
    genres: tuple[str, ...] = ()
    directors: tuple[str, ...] = ()
    stars: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    plot: str = ""


class Reply(Struct, frozen=True, kw_only=True):
    """The actor's structured reply (decision 13)."""

    text: str
    items: tuple[int, ...] = ()


def answer(sections: Mapping[str, str], dice: Dice, ear: Ear) -> str:
    """The actor role's JSON reply."""
    reply = write(sections, dice, ear)
    return msgspec.json.encode(reply).decode()


def write(sections: Mapping[str, str], dice: Dice, ear: Ear) -> Reply:
    """The message and the numbers of the candidates that it names."""
    strategy = _strategy(sections.get("STRATEGY", ""), dice)
    history = parse_dialogue(sections.get("DIALOGUE", ""))
    wishes = _wishes(sections.get("PREFERENCES", ""), ear)
    act = _SPOKEN_AS.get(strategy, strategy)
    if act in NAMING:
        listed = sections.get("CANDIDATES", "")
        film = choose(listed, history, wishes, dice, ear) if listed else _remember(history, wishes, dice, ear)
        if film is not None:
            facts = facts_of(film, dice)
            text = dice.pick(TEMPLATES[act], "wording").format(item=ear.spoken(film.name), facts=facts)
            return Reply(text=text, items=(film.number,) if film.number else ())
        act = "opinion_inquiry"
    if act in PLAIN and not wishes:
        return Reply(text=dice.pick(PLAIN[act], "wording"))
    wish = _word(dice.pick(wishes, "wish")) if wishes else ""
    wording = dice.pick(TEMPLATES[act], "wording")
    return Reply(text=wording.format(wishes=listing([_word(a) for a in wishes]), wish=wish))


def parse_candidates(text: str) -> list[Candidate]:
    """The lines ``[1] Heat (1995) | genres: crime, drama | directors: ... | stars: ... | plot: ...``."""
    found = []
    for line in text.split("\n"):
        match = _LINE.match(line)
        if match:
            name, *fields = match[2].split(" | ")
            written = {key: text for key, _, text in (field.partition(": ") for field in fields)}
            facts = {key: tuple(text.split(", ")) for key, text in written.items()}
            found.append(
                Candidate(
                    number=int(match[1]),
                    name=name,
                    genres=facts.get("genres", ()),
                    directors=facts.get("directors", ()),
                    stars=facts.get("stars", ()),
                    writers=facts.get("writers", ()),
                    plot=written.get("plot", ""),
                )
            )
    return found


def facts_of(film: Candidate, dice: Dice) -> str:
    """A clause of two or three facts in varying order."""
    clauses = []
    if film.genres:
        clauses.append(f"it is {listing(film.genres)}")
    if film.directors:
        clauses.append(f"it was directed by {listing(film.directors)}")
    if film.stars:
        clauses.append(f"the cast has {listing(film.stars[:2])}")
    clauses.sort(key=lambda clause: dice.uniform("fact order", clause[:8]))
    return listing(clauses) if clauses else "it was released in its year as listed"


def listing(words: tuple[str, ...] | list[str]) -> str:
    """``a, b and c``."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def strategy_named(section: str) -> str:
    """The name that a STRATEGY section begins with, in capitals; empty without one."""
    return section.partition("\n")[0].partition(":")[0].strip().upper()


def _strategy(section: str, dice: Dice) -> str:
    name = strategy_named(section)
    if name:
        return STRATEGIES_PLAYED[name]
    mark = dice.uniform("own choice")
    return next(key for key, share in _OWN_CHOICE if mark < share)


def _wishes(preferences: str, ear: Ear) -> tuple[Attribute, ...]:
    for line in preferences.split("\n"):
        if line.startswith("Wants: ") and line != NOTHING:
            return ear.graph.attributes_in(line.removeprefix("Wants: "))
    return ()


def _word(attribute: Attribute) -> str:
    return f"the {attribute.value}" if attribute.kind == "decade" else attribute.value


def _standing(history: tuple[Utterance, ...], ear: Ear) -> tuple[str, frozenset[str]]:
    """The film under discussion ("" if none), and the films to leave out: turned down, seen or told of."""
    table = ""
    out: set[str] = set()
    for utterance in history:
        if utterance.speaker == "recommender":
            items = ear.recommender(utterance.text).items
            table = items[-1] if items else table
        else:
            said = ear.seeker(utterance.text)
            if said.refused and table:
                out.add(table)
                table = ""
            out.update(item for item in said.liked if item != table)
    return table, frozenset(out)


def choose(
    listed: str, history: tuple[Utterance, ...], wishes: tuple[Attribute, ...], dice: Dice, ear: Ear
) -> Candidate | None:
    """The candidate with most wishes that was not turned down, seen or told of; the film on the table where it ties."""
    table, out = _standing(history, ear)
    candidates = parse_candidates(listed)
    known = {c.number: ear.graph.find(c.name) for c in candidates}
    on_table = [c for c in candidates if table and known[c.number] == table]
    fresh = [c for c in candidates if known[c.number] not in out]
    if not fresh:
        return None
    best = max(fresh, key=lambda c: (_covers(c, wishes, ear), -c.number))
    # A film that fits better replaces one that misses newer wishes; otherwise the talk stays with the present film.
    if on_table and _covers(on_table[0], wishes, ear) >= _covers(best, wishes, ear):
        return on_table[0]
    return best


def _covers(candidate: Candidate, wishes: tuple[Attribute, ...], ear: Ear) -> int:
    has = {*candidate.genres, *candidate.directors, *candidate.stars}
    year = re.search(r"\((\d{4})\)$", candidate.name)
    if year:
        has.add(f"{year[1][:3]}0s")
    return sum(attribute.value in has for attribute in wishes)


def _remember(history: tuple[Utterance, ...], wishes: tuple[Attribute, ...], dice: Dice, ear: Ear) -> Candidate | None:
    table, out = _standing(history, ear)
    if table:
        item = table
    else:
        options = ear.covering(frozenset(dice.pick(wishes, "memory") for _ in wishes[:1]))[:80]
        options = tuple(option for option in options if option not in out)
        if not options:
            return None
        item = dice.pick(options, "remembered")
    film = ear.graph.item(item)

    def recalled(field: str) -> tuple[str, ...]:
        if not dice.chance(MADE_UP, "made up", field):
            return getattr(film, field)  # type: ignore[no-any-return]
        other = dice.pick(ear.graph.items, "other film", field)
        return getattr(other, field)  # type: ignore[no-any-return]

    return Candidate(
        number=0, name=film.name, genres=recalled("genres"), directors=recalled("directors"), stars=recalled("stars")
    )
