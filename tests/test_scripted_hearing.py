"""Hearing: wishes, refusals, films and false facts are found in texts; titles are no wishes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.messages import Attribute, Item, Utterance
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.scripted import phrases
from simulator.scripted.hearing import Ear
from simulator.scripted.reasoner import infer
from simulator.scripted.records import check

ITEMS = (
    Item(
        id="heat", title="Heat", year=1995, genres=("crime", "drama"), directors=("Michael Mann",), stars=("A. B. Cox",)
    ),
    Item(id="thief", title="Thief", year=1981, genres=("crime", "thriller"), directors=("Michael Mann",)),
    Item(id="war", title="War of the Comedy", year=2005, genres=("sci-fi",), stars=("Al Pacino", "John Roe, Jr.")),
    Item(id="jest", title="Jest", year=1991, genres=("comedy", "war")),
)
EAR = Ear(KnowledgeGraph.from_items(ITEMS))
SEEKER = EAR.seeker


def genre(value):
    return Attribute(kind="genre", value=value)


def values(attributes):
    return [attribute.value for attribute in attributes]


def seeker(text):
    return Utterance(speaker="seeker", text=text)


def recommender(text):
    return Utterance(speaker="recommender", text=text)


@pytest.mark.parametrize("kind", phrases.WISH)
@pytest.mark.parametrize("lead", [*phrases.WISH_LEADS, *phrases.HOPES, *phrases.FILM_WHY])
def test_every_wording_of_a_wish_is_heard(kind, lead):
    value = {"genre": "crime", "person": "A. B. Cox", "decade": "1990s"}[kind]
    for wording in phrases.WISH[kind]:
        phrase = wording.format(value=value)
        said = SEEKER("Okay, go on. " + lead.format(wishes=phrase, wish=phrase))
        assert values(said.wants) == [value]
        assert said.avoids == ()


@pytest.mark.parametrize("options", [v for k, v in vars(phrases).items() if k.isupper() and isinstance(v, tuple)])
def test_no_other_phrase_holds_a_wish(options):
    texts = [t for t in options if isinstance(t, str)] or [t for o in options if isinstance(o, tuple) for t in o]
    for text in texts:
        if "{" not in text:
            assert SEEKER(text).wants == SEEKER(text).avoids == ()


def test_negated_clauses_are_avoided_and_indifferent_ones_ignored():
    said = SEEKER("I want crime, but no comedy please. War does not matter to me.")
    assert (said.wants, said.avoids, said.indifferent) == ((genre("crime"),), (genre("comedy"),), (genre("war"),))


@pytest.mark.parametrize(
    ("text", "wants", "avoids"),
    [
        ("I'd like a drama without comedy.", ["drama"], ["comedy"]),
        ("Anything but war.", [], ["war"]),
        ("I don't hate war, really.", ["war"], []),
        ("I don't like comedy, war or crime.", [], ["comedy", "war", "crime"]),
    ],
)
def test_the_reasoner_infers_no_wish_from_negated_words(text, wants, avoids):
    said = SEEKER(text)
    assert (values(said.wants), values(said.avoids)) == (wants, avoids)
    assert infer([seeker(text)], EAR).partition("\n")[0] == (f"Wants: {'; '.join(wants) or 'nothing known yet'}")


def test_turning_a_genre_down_refuses_no_film():
    assert not SEEKER("I really don't like comedy.").refused
    assert SEEKER("I don't like it. I want crime.").refused


def test_titles_are_no_wishes():
    said = SEEKER("I saw War of the Comedy (2005) and loved it.")
    assert (said.wants, said.liked) == ((), ("war",))


@pytest.mark.parametrize("text", [*phrases.REFUSALS, *phrases.SEEN_IT, *phrases.AGAIN])
def test_refusals_are_heard(text):
    assert SEEKER("Hmm. " + text.format(item="Heat (1995)")).refused


@pytest.mark.parametrize("text", [*phrases.CLOSE, *phrases.TAKEN, *phrases.ACCEPTS, *phrases.CAUGHT])
def test_other_words_about_a_film_are_no_refusal(text):
    assert not SEEKER("Okay, go on. " + text.format(item="Heat (1995)")).refused


def test_each_mood_phrase_shows_its_grade_in_order():
    shown = [{SEEKER(text).satisfaction for text in options} for options in phrases.MOODS]
    assert all(len(grade) == 1 for grade in shown)
    levels = [grade.pop() for grade in shown]
    assert levels == sorted(set(levels))


def test_acceptance_shows_more_than_its_mood():
    assert SEEKER("Well, maybe. I will watch Heat (1995) tonight.").satisfaction > 0.9


def test_free_text_is_read_by_plain_praise_and_complaint():
    assert SEEKER("That sounds great, thanks, I love it").satisfaction > 0.6
    assert SEEKER("No, that is boring and I hate it").satisfaction < 0.4


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        ("Heat (1995): it was directed by Michael Mann and it is crime", 2, 0),
        ("Heat (1995): it was directed by Al Pacino and it is crime", 1, 1),
        ("Heat (1995) was released in 1994", 0, 1),
        ("Take Heat (1995) or Thief (1981), both crime", 0, 0),
        ("I like crime", 0, 0),
    ],
)
def test_facts_are_checked_against_the_graph(text, true, false):
    heard = EAR.recommender(text)
    assert (heard.true_claims, heard.false_claims) == (true, false)


def test_a_plot_and_writers_support_what_they_say():
    record = "[1] Heat (1995) | genres: crime | writers: Al Pacino | plot: In 1953, a comedy club is robbed."
    said = check("Heat (1995), written by Al Pacino, a comedy of 1953 with A. B. Cox", record, EAR)
    assert (set(said.supported), said.unsupported) == ({"Al Pacino", "comedy", "1953"}, ("A. B. Cox",))


def test_unknown_titles_are_noticed():
    assert EAR.recommender("I think Blue Moon Rising (1999) is great").unknown_title
    assert not EAR.recommender("I think Heat (1995) is great").unknown_title


def test_the_reasoner_infers_only_what_was_said():
    assert infer([seeker("Hi!")], EAR) == "Wants: nothing known yet"
    talk = [
        seeker("Hi, I want crime."),
        recommender("comedy?"),
        seeker("I hate comedy. I want a film by Michael Mann."),
    ]
    assert infer(talk, EAR) == "Wants: crime; Michael Mann\nAvoids: comedy"


def test_the_reasoner_infers_from_films_told_and_takes_correction():
    talk = [seeker("I loved Heat (1995)."), recommender("What else?"), seeker("I loved Thief (1981) too.")]
    assert infer(talk, EAR) == "Wants: crime; Michael Mann\nSeen: Heat (1995); Thief (1981)"
    talk += [recommender("Michael Mann?"), seeker("Michael Mann does not matter to me.")]
    assert infer(talk, EAR).startswith("Wants: crime\n")


def test_a_refused_film_is_listed_as_seen_and_a_praised_offer_is_not():
    talk = [seeker("Hi."), recommender("Go for Jest (1991)!"), seeker("Jest (1991) is not for me.")]
    assert infer(talk, EAR) == "Wants: nothing known yet\nSeen: Jest (1991)"
    talk = [seeker("Hi."), recommender("Go for Jest (1991)!"), seeker("Jest (1991) fits my wishes.")]
    assert infer(talk, EAR) == "Wants: nothing known yet"


@given(st.text(max_size=300))
def test_any_text_can_be_heard(text):
    assert 0.0 <= SEEKER(text).satisfaction <= 1.0
    assert EAR.recommender(text).true_claims >= 0
