"""Traits of a persona, recovered from its text by cue words: the scripted seeker has no other access to them.

The cues are broader than `simulator.personas` needs, so that a persona written by somebody else is read too; what a
text does not say takes the ordinary value (warm, names attributes, open, ordinary patience).
"""

from __future__ import annotations

import re
from functools import lru_cache

from harness.core.messages import Struct
from simulator.personas import Articulacy, Patience, Taste, Trust


class Traits(Struct, frozen=True, kw_only=True):
    """The four traits of a persona (docs/world.md)."""

    taste: Taste
    articulacy: Articulacy
    trust: Trust
    patience: Patience


_FACTS = re.compile(r"decides? by facts|\bfacts\b[^.]* wins? you|facts win|hard facts|checkable", re.IGNORECASE)
_FILMS = re.compile(r"(?<!remember )films you have seen\b(?=[^.]*(?:ask|;|\.))", re.IGNORECASE)
_NAMES = re.compile(r"name (?:what you want|kinds of film)|plain words", re.IGNORECASE)
_SCEPTICAL = re.compile(r"\bscepti|\bskepti|\bdistrust|\bsuspicious|\bwary\b", re.IGNORECASE)
_SMALL = re.compile(r"little patience|impatient|no patience|in a hurry", re.IGNORECASE)
_LARGE = re.compile(r"lot of patience|very patient|great patience|endless patience", re.IGNORECASE)
_ANY = (
    _FACTS, _FILMS, _NAMES, _SCEPTICAL, _SMALL, _LARGE,
    re.compile(r"\bwarm(?:th)?\b|\bpatien(?:t|ce)\b|\bimpatient\b|\btrust\b|\bopen\b|at face value", re.IGNORECASE),
)  # fmt: skip
"""What tells any trait, those of the middle of the road too."""


@lru_cache(maxsize=4096)
def shows_a_trait(text: str) -> bool:
    """Whether the text says anything that this world reads about a person."""
    return any(cue.search(text) for cue in _ANY)


@lru_cache(maxsize=4096)
def traits_of(text: str) -> Traits:
    """Read the traits of a persona text."""
    return Traits(
        taste="facts" if _FACTS.search(text) else "warmth",
        articulacy="attributes" if _NAMES.search(text) or not _FILMS.search(text) else "films",
        trust="sceptical" if _SCEPTICAL.search(text) else "open",
        patience="small" if _SMALL.search(text) else "large" if _LARGE.search(text) else "middle",
    )
