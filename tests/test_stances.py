"""What words ask for and turn away: many forms of negation, doubled ones, and phrases that only sound negative."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.stances import Stance, covered, parts, wanted

GRAPH = KnowledgeGraph.load(Path(__file__).parent.parent / "fixtures" / "films.json")
FORMS = [
    ("I really don't like horror", "", "horror"),
    ("I’m not in the mood for comedies", "", "comedy"),
    ("anything but westerns", "", "western"),
    ("Anything but westerns, please", "", "western"),
    ("no more romance please", "", "romance"),
    ("No horror.", "", "horror"),
    ("I hate musicals, but I love dramas", "drama", "musical"),
    ("I hate musicals but love dramas", "drama", "musical"),
    ("a drama without romance", "drama", "romance"),
    ("a drama rather than a comedy", "drama", "comedy"),
    ("a comedy instead of a drama", "comedy", "drama"),
    ("I'd like a thriller, not a horror film", "thriller", "horror"),
    ("comedies, not horror", "comedy", "horror"),
    ("I'm tired of comedies", "", "comedy"),
    ("I am sick of romance and would love a western", "western", "romance"),
    ("I can't stand musicals", "", "musical"),
    ("I cannot stand musicals", "", "musical"),
    ("horror is not my thing", "", "horror"),
    ("Horror isn't for me", "", "horror"),
    ("westerns bore me", "", "western"),
    ("Horror I don't like", "", "horror"),
    ("musicals I hate", "", "musical"),
    ("I don't like horror, westerns or musicals", "", "horror musical western"),
    ("no horror, westerns, or musicals", "", "horror musical western"),
    ("I don't want horror and I don't want comedy", "", "comedy horror"),
    ("no horror and no comedies", "", "comedy horror"),
    ("neither comedy nor horror", "", "comedy horror"),
    ("I don't hate horror", "horror", ""),
    ("I don't dislike westerns", "western", ""),
    ("I don't mind horror", "", ""),
    ("I wouldn't mind a comedy", "comedy", ""),
    ("I wouldn't say no to a western", "western", ""),
    ("I can't get enough of westerns", "western", ""),
    ("I never get tired of comedies", "comedy", ""),
    ("It's not that I don't like horror", "horror", ""),
    ("not without romance", "romance", ""),
    ("I don't want anything without romance", "romance", ""),
    ("nothing but comedies", "comedy", ""),
    ("not only comedies but also dramas", "comedy drama", ""),
    ("why don't we watch a western?", "western", ""),
    ("Don't you have any comedies?", "comedy", ""),
    ("Isn't there a good western?", "western", ""),
    ("I haven't seen a good comedy in ages", "comedy", ""),
    ("I'm not against horror", "horror", ""),
    ("I have nothing against horror", "horror", ""),
    ("No, I want a comedy", "comedy", ""),
    ("No I want a comedy", "comedy", ""),
    ("No, I don't like horror", "", "horror"),
    ("I don't think I want a comedy", "", "comedy"),
    ("I don't think comedies are for me", "", "comedy"),
    ("I'm not a fan of horror", "", "horror"),
    ("not really into westerns", "", "western"),
    ("I do not enjoy war films", "", "war"),
    ("dont like horror", "", "horror"),
    ("I want a comedy I don't want horror", "comedy", "horror"),
    ("I don't want horror I want comedy", "comedy", "horror"),
    ("I don't like horror so give me a comedy", "comedy", "horror"),
    ("comedy? No thanks.", "", "comedy"),
    ("Please avoid horror and westerns", "", "horror western"),
    ("less romance, more action", "action", "romance"),
    ("I would rather not watch horror", "", "horror"),
    ("I'd rather pass on horror tonight", "", "horror"),
    ("A comedy never disappoints", "comedy", ""),
    ("it doesn't have to be a comedy", "", ""),
    ("I love horror", "horror", ""),
    ("Something with crime and drama", "crime drama", ""),
    ("I don't want no horror", "", "horror"),
    ("everything except horror", "", "horror"),
    ("horror is too much for me", "", "horror"),
    ("There's not enough romance", "romance", ""),
    ("I'm not sure, maybe a comedy", "comedy", ""),
    ("I don't know any good westerns", "western", ""),
    ("Not horror, comedy please", "comedy", "horror"),
    ("I like action, I don't like drama", "action", "drama"),
    ("stay away from horror", "", "horror"),
    ("Could you leave out the romance?", "", "romance"),
    ("other than comedies I like everything", "", "comedy"),
    ("I am in the mood for something from the 1990s and some crime.", "crime 1990s", ""),
    ("The crime does not matter to me.", "", ""),
    ("I never asked for crime, that does not matter.", "", ""),
    ("I loved it, though horror usually scares me", "", "horror"),
    ("Romance makes me yawn, action please", "action", "romance"),
    ("the last thing I want is a musical", "", "musical"),
]
"""(what the seeker says, genres and decades wanted, those avoided)"""


def named(text: str, stance: Stance) -> set[str]:
    found = (text[part.start : part.end] for part in parts(text) if part.stance == stance)
    return {attribute.value for said in found for attribute in GRAPH.attributes_in(said)}


@pytest.mark.parametrize(("said", "wants", "avoids"), FORMS, ids=[said for said, _, _ in FORMS])
def test_negated_wishes_are_no_wishes(said: str, wants: str, avoids: str) -> None:
    assert (named(said, "wants"), named(said, "avoids")) == (set(wants.split()), set(avoids.split()))
    kept = {attribute.value for attribute in GRAPH.attributes_in(wanted(said))}
    assert kept == set(wants.split())


def test_a_text_without_negation_stays_as_it_is() -> None:
    said = "Hello! I'd love a crime film, from the 1990s; with Al Pacino."
    assert wanted(said) is said


def test_titles_are_covered_before_the_text_is_read() -> None:
    said = "I loved No Country for Old Men (2007), a crime film."
    start, end = said.index("No"), said.index(",")
    bare = covered(said, [(start, end)])
    assert len(bare) == len(said)
    assert {part.stance for part in parts(bare)} == {"wants"}
    assert {part.stance for part in parts(said)} != {"wants"}


@given(st.text())
def test_parts_follow_each_other_inside_of_any_text(text: str) -> None:
    found = parts(text)
    places = [place for part in found for place in (part.start, part.end)]
    assert places == sorted(places)
    assert all(0 <= part.start < part.end <= len(text) for part in found)
