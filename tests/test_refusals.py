"""Refused and seen films: the seeker's words move a film down, for every system by one rule; the last word counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fakes import FILMS, state_of

from experts.refusals import FilmTalk
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.scripted import phrases
from simulator.scripted.hearing import Ear

TALK = FilmTalk(KnowledgeGraph.from_items(FILMS))
OFFER = "How about Heat (1995)?"


def out(*said: str) -> set[str]:
    """The films that are out after the seeker's messages, the first of them after Heat was offered."""
    texts = [OFFER, said[0], *(text for later in said[1:] for text in ("Hm.", later))]
    offers: list[tuple[str, ...]] = [("heat",), *(() for _ in said[1:])]
    return set(TALK.known(state_of("Hi!", *texts, recommended=offers)).out)


@pytest.mark.parametrize(
    "no",
    [
        "I've seen that.",
        "I have already seen it.",
        "Already seen it, sorry.",
        "I’ve already watched that one.",
        "We saw it last week.",
        "Seen it twice already.",
        "I know that one already.",
        "Not that one.",
        "no thanks",
        "No, thank you.",
        "I'm not interested.",
        "That's not for me.",
        "Heat is not for me.",
        "It isn't really my thing.",
        "I don't like it.",
        "I don't like Heat.",
        "I really didn't enjoy that one.",
        "I don't want to watch that.",
        "Hmm, that doesn't appeal to me.",
        "I would rather pass on Heat (1995).",
        "I'll pass.",
        "Pass.",
        "Can you suggest something else?",
        "Do you have another one?",
        "Not what I'm looking for.",
        "It looks boring.",
        "That one is too violent for me.",
        "I hated it.",
        "Anything but that.",
        "I turned down Heat before.",
    ],
)
def test_a_film_that_is_refused_or_seen_is_out(no: str) -> None:
    assert out(no) == {"heat"}
    assert out(no, "What else is there?") == {"heat"}


@pytest.mark.parametrize(
    "other",
    [
        "Who directed it?",
        "I haven't seen it.",
        "I've never seen that one.",
        "That sounds great!",
        "Heat comes close.",
        "I don't like horror.",
        "Horror is not for me, you know.",
        "I don't want romance.",
        "Hmm, that leaves me cold.",
        "I am not sure this is going anywhere.",
        "I don't know, tell me more about Heat.",
        "It's not that I don't like crime.",
        "Have you seen it?",
        "I like it when a film is quiet.",
        "I will watch Heat (1995) tonight.",
        "Actually, it doesn't sound bad.",
        "I heard it's not too scary.",
        "Period films are not quite my thing.",
        "The last film I saw was that one with the dog.",
        "Is there anything else about it that you enjoyed?",
        "I've seen it, but I would watch it again.",
        "",
    ],
)
def test_other_words_leave_the_film_where_it_is(other: str) -> None:
    assert out(other) == set()


def test_the_last_word_about_a_film_counts() -> None:
    assert out("Not that one.", "Actually, tell me more about Heat (1995).") == set()
    assert out("I will try Heat.", "No, I don't like Heat (1995).") == {"heat"}


def test_words_about_one_film_leave_the_other_alone() -> None:
    assert out("Heat is not for me, but Alien (1979) is something I want to watch.") == {"heat"}
    assert out("I've already seen that. Something like Fargo (1996)?") == {"heat", "fargo"}


def test_a_film_that_the_seeker_brings_up_is_known_and_a_model_of_what_is_liked() -> None:
    known = TALK.known(state_of("I saw Heat (1995) and loved it, but I hated Alien (1979)."))
    assert (set(known.out), known.liked) == ({"heat", "alien"}, ("heat",))
    assert not TALK.known(state_of("Do you have Heat (1995)?")).out


@pytest.mark.parametrize("told", phrases.FILM_TOLD)
def test_the_scripted_seekers_films_are_known_and_liked(told: str) -> None:
    known = TALK.known(state_of("Hi. " + told.format(item="Fargo (1996)")))
    assert (set(known.out), known.liked) == ({"fargo"}, ("fargo",))


def test_the_rule_and_the_scripted_reasoner_read_every_phrase_of_the_scripted_seeker_alike() -> None:
    ear = Ear(KnowledgeGraph.load(Path(__file__).parent.parent / "fixtures" / "films.json"))
    options = [v for k, v in vars(phrases).items() if k.isupper() and isinstance(v, tuple)]
    texts = [t for o in options for t in o if isinstance(t, str)] + [t for grade in phrases.MOODS for t in grade]
    texts += [t for cues in phrases.CUES.values() for t in cues]
    for text in texts:
        said = text.format(item="Heat (1995)", wishes="some crime", wish="crime")
        if "{item}" in text and text in phrases.FILM_TOLD:
            continue
        assert (out(said) == {"heat"}) == ear.seeker(said).refused, said
