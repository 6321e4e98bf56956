"""Acts: the strategy of a recommender's message is heard in its words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.messages import Attribute, Item, Utterance
from harness.core.sections import render_dialogue
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.strategies import STRATEGIES
from simulator.scripted import actor
from simulator.scripted.acts import NAMING, PLAIN, TEMPLATES, act_of
from simulator.scripted.dice import Dice
from simulator.scripted.hearing import Ear

ITEMS = (
    Item(id="a", title="Heat", year=1995, genres=("crime", "drama"), directors=("Michael Mann",), stars=("Al Pacino",)),
    Item(id="b", title="I Think I Love My Wife", year=2007, genres=("comedy",), directors=("Chris Rock",)),
    Item(id="c", title="What Did You Watch Myself", year=1971, genres=("war",), stars=("Jane Doe", "John Roe")),
)
EAR = Ear(KnowledgeGraph.from_items(ITEMS))
WISHES = ("Wants: nothing known yet", "Wants: crime", "Wants: crime; Al Pacino; 1990s", "Wants: comedy; war")


def candidates(*items):
    return "\n".join(
        f"[{n}] {i.name} | genres: {', '.join(i.genres)} | directors: {', '.join(i.directors)} | "
        f"stars: {', '.join(i.stars)}"
        for n, i in enumerate(items, 1)
    )


def test_every_strategy_has_several_wordings():
    assert set(TEMPLATES) == {strategy.key for strategy in STRATEGIES}
    assert all(len(set(wordings)) >= 4 for wordings in TEMPLATES.values())


def test_at_least_95_percent_of_written_messages_are_recognised():
    heard = total = 0
    missed = set()
    for strategy in STRATEGIES:
        for seed in range(60):
            for wishes in WISHES:
                for first in ITEMS:
                    sections = {
                        "DIALOGUE": render_dialogue([Utterance(speaker="seeker", text="Hi.")]),
                        "PREFERENCES": wishes,
                        "CANDIDATES": candidates(first),
                        "STRATEGY": f"{strategy.name}: {strategy.description}",
                    }
                    text = actor.write(sections, Dice(seed), EAR).text
                    right = EAR.recommender(text).act == strategy.key
                    heard, total = heard + right, total + 1
                    if not right:
                        missed.add((strategy.key, EAR.recommender(text).act, text))
    assert heard / total >= 0.95, sorted(missed)[:10]


@pytest.mark.parametrize(("act", "text"), [(act, text) for act, texts in PLAIN.items() for text in texts])
def test_wordings_without_a_wish_are_recognised_too(act, text):
    assert act_of(text) == act


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("Hey, what genre of movies do you usually like?", "opinion_inquiry"),
        ("Have you watched Alien or anything like it?", "experience_inquiry"),
        ("It was directed by Ridley Scott and has a strong cast.", "credibility"),
        ("Thanks, I appreciate that!", "acknowledgment"),
        ("You should give it a try, you won't regret it!", "encouragement"),
        ("Good morning!", "no_strategy"),
        ("", "no_strategy"),
    ],
)
def test_free_text_is_recognised_by_simple_cues(text, act):
    assert act_of(text) == act


@given(st.text(max_size=200))
def test_any_text_is_some_act(text):
    assert act_of(text) in TEMPLATES


def test_only_the_wordings_of_naming_acts_have_room_for_a_film():
    for act, wordings in TEMPLATES.items():
        assert all(("{item}" in wording) == (act in NAMING) for wording in wordings)


def test_wishes_of_wordings_are_heard():
    text = TEMPLATES["rephrase_preference"][0].format(wishes="crime and Al Pacino", wish="", item="", facts="")
    assert EAR.recommender(text).wishes == (
        Attribute(kind="genre", value="crime"),
        Attribute(kind="person", value="Al Pacino"),
    )
