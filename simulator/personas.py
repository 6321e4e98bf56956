"""The simulated users: twenty personas of this project's own making, and the trait sentences they are rendered from.

A persona has four hidden traits (docs/world.md): *taste* (`facts` or `warmth` moves it), *articulacy* (it names
`attributes` or tells of `films` it has seen), *trust* (`open` or `sceptical` at the start, two in five are sceptical)
and *patience* (`small`, `middle`, `large`). Traits and the short biography become one text; that text is all a model
reads, the scripted world included (`simulator.scripted.traits` recovers the traits from it). ``traits`` is for grouping
results.

Users with traits such as patience and cooperativeness are known from earlier simulators. The people, the words and the
balance are ours. Left out: age, gender and taste in films as traits, since no effect of the world depends on them.
"""

from __future__ import annotations

from typing import Literal

from harness.core.messages import Persona

Taste = Literal["facts", "warmth"]
Articulacy = Literal["attributes", "films"]
Trust = Literal["open", "sceptical"]
Patience = Literal["small", "middle", "large"]

TRAIT_SENTENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "taste": {
        "facts": (
            "You decide by facts: who made a film, who plays in it, when it came out; other people's feelings about "
            "it leave you cold.",
            "Solid facts win you over, such as the director, the cast and the year; personal raving does not.",
        ),
        "warmth": (
            "You decide by warmth: what somebody felt while watching matters to you; lists of names and dates leave "
            "you cold.",
            "A warm personal word wins you over, such as how a film touched somebody; dry data does not.",
        ),
    },
    "articulacy": {
        "attributes": (
            "You name what you want in plain words when you are asked for your taste; you find it hard to remember "
            "films you have seen.",
            "Asked for your taste, you name kinds of film, people and periods; stories about past evenings bore you.",
        ),
        "films": (
            "You cannot put your taste into words; instead you tell of films you have seen when you are asked about "
            "them.",
            "Asked about past evenings, you tell of films you have seen; abstract questions about taste puzzle you.",
        ),
    },
    "trust": {
        "open": (
            "You trust people who want to help you.",
            "You are open and take advice at face value.",
        ),
        "sceptical": (
            "You are sceptical of recommendations and want to see that you were understood first.",
            "You distrust advice until somebody shows that they have understood you.",
        ),
    },
    "patience": {
        "small": ("You have little patience and leave when a talk drags on.",),
        "middle": ("You have ordinary patience.",),
        "large": ("You have a lot of patience and all evening.",),
    },
}
"""Trait -> value -> phrasings. Personas take them in turn, so that no value hangs on one sentence."""

_PEOPLE: tuple[tuple[str, str, Taste, Articulacy, Trust, Patience], ...] = (
    ("Nora", "a bridge engineer who watches films on night trains", "facts", "attributes", "open", "small"),
    ("Tomasz", "a pharmacist who keeps a card index of everything he rents", "facts", "attributes", "open", "middle"),
    ("Ines", "a court interpreter with one free evening a week", "facts", "attributes", "open", "large"),
    ("Viktor", "a retired watchmaker who has been sold bad films before", "facts", "attributes", "sceptical", "middle"),
    ("Aiko", "a tax auditor choosing a film for a flight", "facts", "attributes", "sceptical", "large"),
    ("Ruben", "a chess coach who remembers casts better than plots", "facts", "films", "open", "small"),
    ("Hanne", "a lab technician who goes to the pictures alone", "facts", "films", "open", "middle"),
    ("Salim", "a cartographer who likes to wander through old catalogues", "facts", "films", "open", "large"),
    ("Greta", "a proofreader who checks every claim twice", "facts", "films", "sceptical", "small"),
    ("Owen", "a dispatcher on the late shift", "facts", "films", "sceptical", "middle"),
    ("Lucia", "a florist looking for a film after closing time", "warmth", "attributes", "open", "small"),
    ("Marek", "a tram driver who watches with his sister on the phone", "warmth", "attributes", "open", "middle"),
    ("Zeynep", "a primary school teacher on her first day of leave", "warmth", "attributes", "open", "large"),
    ("Paul", "a barber who hears too many tips all day", "warmth", "attributes", "sceptical", "small"),
    ("Sofie", "a nurse who wants the evening to be worth it", "warmth", "attributes", "sceptical", "middle"),
    ("Dario", "a baker who falls asleep early", "warmth", "films", "open", "small"),
    ("Amara", "a choir singer who picks a film for her flatmates", "warmth", "films", "open", "middle"),
    ("Jonas", "a gardener with a rainy week ahead", "warmth", "films", "open", "large"),
    ("Mei", "a ceramics student who was let down by the last three tips", "warmth", "films", "sceptical", "middle"),
    ("Colm", "a lighthouse guide who has heard every sales talk", "warmth", "films", "sceptical", "large"),
)


def _persona(index: int) -> Persona:
    name, who, taste, articulacy, trust, patience = _PEOPLE[index]
    traits: dict[str, str] = {"taste": taste, "articulacy": articulacy, "trust": trust, "patience": patience}
    sentences = [f"You are {name}, {who}."]
    for trait, value in traits.items():
        phrasings = TRAIT_SENTENCES[trait][value]
        sentences.append(phrasings[index % len(phrasings)])
    return Persona(id=name.lower(), name=name, text=" ".join(sentences), traits=traits)


PERSONAS: tuple[Persona, ...] = tuple(_persona(index) for index in range(len(_PEOPLE)))
"""Twenty personas: each pair of taste and articulacy five times, two of the five sceptical, all patiences in each."""
