"""Statements about a film against a record of it, as the scripted critic and examiner read them: from the prompt alone.

A record is a line of CANDIDATES or FACTS; statements are the genres, people, decades and years that a message names
outside of titles. A plot supports the genres, people and years that it names itself. What the reader cannot recognise
(feelings, what happens in a film, prizes) is no statement.
"""

from __future__ import annotations

import re
from functools import lru_cache

from harness.core.messages import Attribute, Struct
from harness.domain.knowledge_graph import decade
from simulator.scripted.actor import Candidate, parse_candidates
from simulator.scripted.hearing import Ear

_YEAR = re.compile(r"\b(?:19|20)\d{2}\b(?!s)")
_NAMED_YEAR = re.compile(r"\((\d{4})\)$")


class Checked(Struct, frozen=True, kw_only=True):
    """A message's statements, as words, in the order found."""

    supported: tuple[str, ...]
    unsupported: tuple[str, ...]


def check(message: str, facts: str, ear: Ear) -> Checked:
    """Compare a message with the records of the films that it speaks of."""
    records = parse_candidates(facts)
    held = {value for record in records for value in values(record)}
    for record in records:
        held |= {attribute.value for attribute in ear.graph.attributes_in(record.plot)}
        held |= {match[0] for match in _YEAR.finditer(record.plot)}
    films = (ear.graph.find(record.name) for record in records)
    bare = ear.graph.titles.without(message, (film for film in films if film), "this")
    said = [attribute.value for attribute in ear.graph.attributes_in(bare)]
    said += [match[0] for match in _YEAR.finditer(bare)]
    return Checked(
        supported=tuple(word for word in said if word in held),
        unsupported=tuple(word for word in said if word not in held),
    )


def values(record: Candidate) -> frozenset[str]:
    """Everything that a record lists: genres, people, year and decade."""
    found = {*record.genres, *record.directors, *record.writers, *record.stars}
    year = _NAMED_YEAR.search(record.name)
    if year:
        found |= {year[1], decade(int(year[1]))}
    return frozenset(found)


@lru_cache(maxsize=4096)
def coverage(wishes: tuple[Attribute, ...], facts: str) -> float:
    """Share of the wishes that the first record meets, in [0, 1]."""
    records = parse_candidates(facts)
    if not records or not wishes:
        return 0.0
    held = values(records[0])
    return sum(wish.value in held for wish in wishes) / len(wishes)
