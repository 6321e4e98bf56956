"""Personas: their texts carry their traits, and no trait value is rare."""

from collections import Counter

import pytest

from simulator.personas import PERSONAS, TRAIT_SENTENCES
from simulator.scripted.traits import traits_of


@pytest.mark.parametrize("persona", PERSONAS, ids=lambda persona: persona.id)
def test_traits_are_recovered_from_the_text_alone(persona):
    found = traits_of(persona.text)
    assert {name: getattr(found, name) for name in persona.traits} == persona.traits


@pytest.mark.parametrize(
    ("trait", "value", "sentence"),
    [(t, v, s) for t, values in TRAIT_SENTENCES.items() for v, sentences in values.items() for s in sentences],
)
def test_every_trait_sentence_is_read(trait, value, sentence):
    assert getattr(traits_of(f"You are Kim, a cook. {sentence}"), trait) == value


def test_there_are_enough_people_and_they_differ():
    assert len(PERSONAS) >= 16
    assert len({p.id for p in PERSONAS}) == len({p.text for p in PERSONAS}) == len(PERSONAS)


def test_traits_are_balanced():
    pairs = Counter((p.traits["taste"], p.traits["articulacy"]) for p in PERSONAS)
    assert len(pairs) == 4
    assert len(set(pairs.values())) == 1
    sceptical = sum(p.traits["trust"] == "sceptical" for p in PERSONAS)
    assert sceptical / len(PERSONAS) == pytest.approx(0.4)
    for taste in ("facts", "warmth"):
        assert {p.traits["patience"] for p in PERSONAS if p.traits["taste"] == taste} == {"small", "middle", "large"}


def test_a_text_without_cues_is_read_as_the_middle_of_the_road():
    found = traits_of("You are Kim.")
    assert (found.taste, found.articulacy, found.trust, found.patience) == ("warmth", "attributes", "open", "middle")
