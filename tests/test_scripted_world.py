"""The seeker's mind: each effect of the table in world.py, and purity of the fold."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.messages import Attribute, Item, Utterance
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.scripted import phrases
from simulator.scripted.acts import TEMPLATES
from simulator.scripted.hearing import Ear
from simulator.scripted.traits import Traits
from simulator.scripted.world import Mind, Wishes, budget, fold, satisfaction, wants_to_accept

ITEMS = (
    Item(
        id="fit", title="Heat", year=1995, genres=("crime", "drama"), directors=("Michael Mann",), stars=("Al Pacino",)
    ),
    Item(id="near", title="Dust", year=1985, genres=("crime", "drama"), directors=("Jane Doe",), stars=("John Roe",)),
    Item(id="off", title="Jest", year=1991, genres=("comedy",), directors=("Chris Rock",)),
)
EAR = Ear(KnowledgeGraph.from_items(ITEMS))
WISHES = Wishes(
    attributes=(
        Attribute(kind="genre", value="crime"),
        Attribute(kind="genre", value="drama"),
        Attribute(kind="decade", value="1990s"),
    )
)
ALL = "I want some crime and some drama and something from the 1990s."
FACTS = "it was directed by Michael Mann and it is crime and drama"
SENTENCES = {
    act: wordings[0].format(item="Heat (1995)", wishes="crime, drama and the 1990s", wish="crime", facts=FACTS)
    for act, wordings in TEMPLATES.items()
}


def traits(taste="facts", articulacy="attributes", trust="open", patience="large"):
    return Traits(taste=taste, articulacy=articulacy, trust=trust, patience=patience)


def mind(person, *messages, said=ALL):
    talk = [Utterance(speaker="seeker", text=said)]
    for message in messages:
        talk.append(Utterance(speaker="recommender", text=SENTENCES.get(message, message)))
        talk.append(Utterance(speaker="seeker", text="Okay, go on."))
    return fold(EAR, person, "a person", WISHES, talk)


def appeals(taste):
    return {
        act: mind(traits(taste=taste), act).intention
        for act in ("credibility", "personal_opinion", "personal_experience")
    }


def test_facts_move_the_fact_minded_and_feelings_the_warm():
    facts, warmth = appeals("facts"), appeals("warmth")
    assert facts["credibility"] > warmth["credibility"] + 0.1
    assert warmth["personal_opinion"] > facts["personal_opinion"] + 0.1
    assert warmth["personal_experience"] > facts["personal_experience"] + 0.1


def test_the_wrong_appeal_spoils_the_right_one():
    person = traits(taste="facts")
    assert mind(person, "personal_opinion", "credibility").intention < mind(person, "credibility").intention


def test_inquiries_cost_less_where_they_suit():
    for act, suits, other in (
        ("opinion_inquiry", "attributes", "films"),
        ("experience_inquiry", "films", "attributes"),
    ):
        good = mind(traits(articulacy=suits), act, said="Hi.")
        bad = mind(traits(articulacy=other), act, said="Hi.")
        assert good.boredom < bad.boredom
        assert good.trust > bad.trust


@pytest.mark.parametrize("act", ["transparency", "rephrase_preference"])
def test_grounding_wins_trust_most_of_all_with_sceptics(act):
    gains = {}
    for trust in ("open", "sceptical"):
        before = mind(traits(trust=trust))
        after = mind(traits(trust=trust), act)
        assert after.confirmed
        gains[trust] = after.trust - before.trust
    assert gains["sceptical"] > gains["open"] > 0.0


def test_transparency_before_enough_is_known_is_slightly_bad():
    early = TEMPLATES["transparency"][0].format(wishes="crime")
    assert mind(traits(), early, said="I want some crime.").trust < mind(traits(), said="I want some crime.").trust


def test_a_wrong_summary_does_not_confirm():
    wrong = mind(traits(), "So you are looking for comedy, right?")
    assert not wrong.confirmed
    assert wrong.event == "misread"
    part = mind(traits(), "So you are looking for crime, drama, the 1990s and comedy, right?")
    assert not part.confirmed
    assert part.misread == {Attribute(kind="genre", value="comedy")}


def test_offering_help_is_an_opening_and_awkward_later():
    assert mind(traits(), "offer_help").rapport > mind(traits()).rapport
    late = mind(traits(), "acknowledgment", "offer_help")
    assert late.rapport < mind(traits(), "acknowledgment").rapport


def test_similarity_needs_something_to_share_and_pleases_the_warm():
    assert mind(traits(taste="warmth"), "similarity").rapport > mind(traits(taste="facts"), "similarity").rapport
    assert mind(traits(), "similarity", said="Hi.").trust < mind(traits(), said="Hi.").trust


def test_chat_warms_the_warm_and_costs_patience():
    warm, cool = (mind(traits(taste=taste), "no_strategy") for taste in ("warmth", "facts"))
    assert warm.rapport > cool.rapport > mind(traits()).rapport
    assert cool.boredom > warm.boredom > mind(traits(), "acknowledgment").boredom


def test_self_modeling_works_only_at_high_trust():
    low = mind(traits(trust="sceptical"), "self_modeling")
    high = mind(traits(), "transparency", "rephrase_preference", "self_modeling")
    assert low.event == "resented"
    assert high.event == "moved"
    assert high.intention > low.intention


def test_sceptics_of_low_trust_resent_opinion():
    assert mind(traits(trust="sceptical"), "personal_opinion").event == "resented"


def test_encouragement_closes_when_ready_and_pushes_otherwise():
    assert mind(traits(), "encouragement").event == "pushed"
    ready = mind(traits(), "transparency", "credibility", "credibility")
    assert ready.intention >= 0.45
    closed = mind(traits(), "transparency", "credibility", "credibility", "encouragement")
    assert closed.event == "closed"
    assert closed.intention > ready.intention
    assert wants_to_accept(closed) > 0.8
    assert wants_to_accept(ready) < wants_to_accept(closed)


def test_repetition_weakens_and_bores():
    gains = [mind(traits(), *["rephrase_preference"] * n).trust for n in range(4)]
    steps = [after - before for before, after in pairwise(gains)]
    assert steps[0] > max(steps[1:])
    twice = mind(traits(), "acknowledgment", "acknowledgment").boredom
    varied = mind(traits(), "acknowledgment", "rephrase_preference").boredom
    assert twice > varied


def test_a_film_that_misses_too_much_is_refused():
    offer = TEMPLATES["personal_opinion"][0].format(item="Jest (1991)")
    before, after = mind(traits()), mind(traits(), offer)
    assert (after.event, after.table, after.refused) == ("refused", "", {"off"})
    assert after.trust < before.trust
    assert mind(traits(), offer, offer).trust < after.trust


def test_a_film_that_misses_one_wish_caps_intention():
    facts = TEMPLATES["credibility"][0].format(item="Dust (1985)", facts="it is crime and drama")
    near = mind(traits(), "transparency", facts, facts, facts, facts)
    assert near.table == "near"
    assert near.missing == frozenset()  # named again it is no news
    assert near.intention <= 0.45 < mind(traits(), "transparency", *["credibility"] * 4).intention


def test_a_film_already_told_of_is_not_taken():
    told = mind(traits(), "credibility", said="I saw Heat (1995) a while ago and loved it.")
    assert (told.event, told.table) == ("seen", "")


def test_invented_facts_cost_trust_with_those_who_know_the_film():
    lie = "Some facts on Heat (1995): it was directed by Jane Doe and it is comedy."
    talk = [Utterance(speaker="seeker", text=ALL), Utterance(speaker="recommender", text=lie)]
    events = [fold(EAR, traits(), f"person {n}", WISHES, talk).event for n in range(200)]
    assert 0.6 < events.count("caught") / 200 < 0.8
    caught = [fold(EAR, traits(), f"person {n}", WISHES, talk) for n in range(200)][events.index("caught")]
    assert caught.trust < mind(traits(), "credibility").trust - 0.2


def test_a_film_out_of_nowhere_wins_nothing():
    assert mind(traits(), "I think Blue Moon Rising (1999) is great").event == "unheard"


def test_only_films_of_its_own_are_told():
    praised = fold(
        EAR,
        traits(),
        "p",
        WISHES,
        [
            Utterance(speaker="recommender", text=SENTENCES["credibility"]),
            Utterance(speaker="seeker", text="Okay, go on. Heat (1995) fits my wishes."),
        ],
    )
    assert praised.told == ()


def test_boredom_tires_and_budgets_are_ordered():
    person = traits(patience="small")
    fresh = Mind(trust=0.5)
    assert satisfaction(fresh, person, WISHES) > satisfaction(Mind(trust=0.5, boredom=budget(person)), person, WISHES)
    assert budget(traits(patience="small")) < budget(traits(patience="middle")) < budget(traits(patience="large"))


acts = st.lists(st.sampled_from(sorted(TEMPLATES)), max_size=8)
people = st.builds(
    traits,
    taste=st.sampled_from(["facts", "warmth"]),
    articulacy=st.sampled_from(["attributes", "films"]),
    trust=st.sampled_from(["open", "sceptical"]),
    patience=st.sampled_from(["small", "middle", "large"]),
)


@given(people, acts)
def test_the_fold_is_pure_and_stays_in_bounds(person, played):
    found = mind(person, *played)
    assert found == mind(person, *played)
    for value in (found.trust, found.rapport, found.intention, satisfaction(found, person, WISHES)):
        assert 0.0 <= value <= 1.0
    assert found.uses == tuple(played)
    boredom = [mind(person, *played[:n]).boredom for n in range(len(played) + 1)]
    assert boredom == sorted(boredom)


def test_the_seekers_phrases_do_not_change_what_is_known():
    for options in phrases.MOODS:
        for text in options:
            assert mind(traits(), said=text).known == frozenset()
