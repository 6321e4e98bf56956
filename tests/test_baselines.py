"""The baselines: what each asks and makes of answers, bounded repair; and that the scripted world can play them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.fakes import ALIEN, FILMS, HEAT, FakeChatModel, run_on_fake_clock, state_of

from experts.baselines.asking import films_named
from experts.baselines.intercrs import InterCRS
from experts.baselines.pccrs import PCCRS, REFLECTIONS
from experts.baselines.prompted import PromptedCRS
from experts.baselines.tactics import ANCHORING, TACTICS, exposed, shuffled
from harness.core.errors import ReplyError
from harness.core.log.episode import played
from harness.core.messages import Evidence, Item, Message, Persuasion, Score, SeekerReply, Transition, Turn
from harness.core.sections import parse, render, render_dialogue
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.scripted.roles import World, read

GRAPH = KnowledgeGraph.from_items(FILMS)
STATE = state_of("Hi!", "What do you like?", "Crime with Al Pacino; old or new.")
AGAIN = state_of("Hi!", "How about Heat (1995)?", "Tell me more.", recommended=[("heat",)])
RANKING = ("heat", "alien", "fargo")
FOUND = Evidence(ranking=RANKING, candidates=FILMS[:3], facts=tuple(f for film in FILMS for f in GRAPH.facts(film.id)))
NOTHING = Evidence(ranking=(), candidates=(), facts=())
NAMES = tuple(tactic.name for tactic in TACTICS)


def respond(kind, answer, state=STATE, evidence=FOUND):
    queries = []

    async def search(query):
        queries.append(query)
        return evidence

    model = FakeChatModel(answer)
    recommender = kind(model, search, GRAPH, temperature=0.7, max_tokens=100)

    async def main():
        return await recommender.respond(state)

    return run_on_fake_clock(main), model.requests, queries


def sections(request):
    return parse("\n".join(message.content for message in request.messages))


def by_role(**answers):
    """An answer by the request's role; a list gives one a call."""

    def answer(request):
        given = answers[request.role]
        return given.pop(0) if isinstance(given, list) else given

    return answer


def pick(text="Try Heat (1995).", items=(1,), **mark):
    return json.dumps({"text": text, "items": list(items), **mark})


def named(*names):
    return json.dumps({"strategies": list(names)})


def explanation(text="Heat (1995) is the one."):
    return json.dumps({"text": text})


def explained(names=("FRAMING", "SOCIAL PROOF"), state=AGAIN, critic="NONE", persuader=None):
    answers = by_role(
        picker=pick(move="explain"), selector=named(*names), persuader=persuader or explanation(), critic=critic
    )
    turn, requests, _ = respond(PCCRS, answers, state)
    return turn, requests


def after_explaining(*opened):
    last = Turn(
        strategy=None,
        preferences="",
        response="Heat (1995).",
        recommended=("heat",),
        reply="Go on.",
        persuasion=Persuasion(move="explain", opened=opened),
    )
    return STATE.after(last)


def test_prompted_is_one_prompt_with_the_dialogue_and_names_from_memory():
    turn, requests, queries = respond(PromptedCRS, lambda _: "Recommender: Try Fargo (1996) or Up (2009).\nSeeker: ok")
    assert (turn.response, turn.recommended) == ("Try Fargo (1996) or Up (2009).", ("fargo",))
    assert turn.ranking == RANKING  # of the shared retriever, which the prompt does not show
    assert (turn.decision, turn.persuasion, turn.facts, turn.preferences) == (None, None, (), "")
    assert list(sections(requests[0])) == ["ROLE", "INSTRUCTIONS", "EXAMPLES", "DIALOGUE", "TURN", "TASK"]
    assert (queries[0].preferences, queries[0].words) == ("", "last_two")


def test_intercrs_lists_films_from_memory_and_records_those_that_the_graph_knows():
    listed = "Here you are:\n1. Alien\n2) **Heat (1995)**\n3. Solaris (1972)\n- Fargo (1996)"
    turn, requests, queries = respond(InterCRS, lambda _: listed)
    assert turn.response == "Here you are: 1. Alien 2) **Heat (1995)** 3. Solaris (1972) - Fargo (1996)"
    assert turn.recommended == ("alien", "heat", "fargo")
    assert (turn.ranking, turn.facts) == (RANKING, ())
    assert list(sections(requests[0])) == ["ROLE", "INSTRUCTIONS", "DIALOGUE", "TASK"]
    assert (queries[0].preferences, queries[0].words) == ("", "last_two")


def test_intercrs_may_ask_instead_and_then_recommends_nothing():
    turn, requests, _ = respond(InterCRS, lambda _: "Which decade do you like?", evidence=NOTHING)
    assert (turn.response, turn.recommended, len(requests)) == ("Which decade do you like?", (), 1)


@pytest.mark.parametrize("kind", [InterCRS, PromptedCRS])
def test_blank_chat_is_asked_for_once_more_with_other_luck_and_then_fails_as_data(kind):
    with pytest.raises(ReplyError, match="no readable reply"):
        respond(kind, lambda _: "Seeker: hello \n")
    answers = [" \n", "Hello."]
    turn, requests, _ = respond(kind, lambda _: answers.pop(0))
    assert turn.response == "Hello."
    assert requests[0].seed != requests[1].seed


def test_pccrs_shows_five_candidates_with_name_and_genres():
    many = Evidence(ranking=(), candidates=FILMS * 2, facts=())
    _, requests, queries = respond(PCCRS, by_role(picker=pick("Hello.", (), move="talk")), evidence=many)
    shown = sections(requests[0])["CANDIDATES"].split("\n")
    assert len(shown) == 5
    assert shown[0] == "[1] Heat (1995) | genres: crime, drama"
    assert queries[0].words == "last_two"


def test_pccrs_sends_a_question_or_a_first_recommendation_as_it_is():
    turn, requests, _ = respond(PCCRS, by_role(picker=pick("And the decade?", (), move="talk")))
    assert (turn.response, turn.recommended, len(requests)) == ("And the decade?", (), 1)
    assert turn.persuasion == Persuasion(move="talk")
    turn, requests, _ = respond(PCCRS, by_role(picker=pick(move="recommend")))
    assert (turn.response, turn.recommended, len(requests)) == ("Try Heat (1995).", ("heat",), 1)
    assert turn.persuasion == Persuasion(move="recommend")
    assert {fact.relation for fact in turn.facts} == {"year", "genre"}
    assert {fact.item for fact in turn.facts} == {"heat", "alien", "fargo"}


@pytest.mark.parametrize(
    ("mark", "state", "move"),
    [
        ({"move": "explain"}, STATE, "explain"),
        ({"move": "explain"}, AGAIN, "explain"),
        ({}, AGAIN, "explain"),  # the film of the turn before, without a mark
        ({"move": "talk"}, AGAIN, "explain"),
        ({"move": "recommend"}, AGAIN, "recommend"),
        ({}, STATE, "talk"),
        ({"move": "nonsense"}, STATE, "talk"),
    ],
)
def test_the_mark_and_the_film_decide_the_route(mark, state, move):
    answers = by_role(picker=pick(**mark), selector=named("FRAMING"), persuader=explanation(), critic="NONE")
    turn, _, _ = respond(PCCRS, answers, state)
    assert turn.persuasion.move == move
    assert turn.recommended == ("heat",)


def test_an_explanation_without_a_film_is_sent_as_an_answer():
    turn, requests, _ = respond(PCCRS, by_role(picker=pick("It is long.", (), move="explain")))
    assert (turn.response, turn.persuasion.move, len(requests)) == ("It is long.", "talk", 1)


def test_of_two_strategies_the_first_is_used_and_both_with_anchoring():
    turn, requests = explained(("FRAMING", "EVIDENCE-BASED PERSUASION"))
    assert sections(requests[2])["STRATEGY"].startswith("FRAMING: ")
    assert "EVIDENCE" not in sections(requests[2])["STRATEGY"]
    assert (turn.persuasion.used, turn.persuasion.opened) == (("FRAMING",), ("genres",))
    assert turn.persuasion.named == ("FRAMING", "EVIDENCE-BASED PERSUASION")
    turn, _ = explained(("EVIDENCE-BASED PERSUASION", "ANCHORING"))
    assert turn.persuasion.used == ("EVIDENCE-BASED PERSUASION", "ANCHORING")
    assert {"directors", "stars"} <= set(turn.persuasion.opened)
    turn, _ = explained(("ANCHORING", "LOGICAL APPEAL"))
    assert turn.persuasion.used == ("ANCHORING", "LOGICAL APPEAL")


@pytest.mark.parametrize("tactic", TACTICS, ids=lambda tactic: tactic.name)
def test_a_strategy_opens_only_its_own_facts_for_writer_and_critic(tactic):
    turn, requests = explained((tactic.name, "FRAMING") if tactic is not ANCHORING else (tactic.name,))
    shown, checked = sections(requests[2])["CANDIDATES"], sections(requests[3])["FACTS"]
    assert shown == checked
    for field in ("genres", "directors", "stars"):
        assert (field in shown) == (field in tactic.opens)
    assert "Heat (1995)" in shown
    assert "Fargo" not in shown
    read = {fact.relation for fact in turn.facts if fact.item == "heat"}
    assert ("director" in read) == ("directors" in tactic.opens)


def test_what_was_opened_stays_open_while_the_talk_stays_with_the_film():
    turn, requests = explained(state=after_explaining("directors"))
    assert turn.persuasion.opened == ("genres", "directors")
    assert sections(requests[3])["FACTS"] == "[1] Heat (1995) | genres: crime, drama | directors: Michael Mann"
    other = after_explaining("stars").after(Turn(strategy=None, preferences="", response="Hm.", reply="Well."))
    turn, _ = explained(state=other)
    assert turn.persuasion.opened == ("genres",)


def test_every_part_of_a_record_that_no_strategy_opened_is_hidden():
    assert exposed(HEAT, ()) == Item(id="heat", title="Heat", year=1995)
    assert exposed(ALIEN, ("genres",)).genres == ALIEN.genres
    told = replace(HEAT, writers=("Michael Mann",), plot="Two men circle each other.")
    assert exposed(told, ("plot",)) == Item(id="heat", title="Heat", year=1995, plot=told.plot)


def test_the_order_of_the_strategies_is_drawn_by_conversation_and_turn():
    orders = {tuple(t.name for t in shuffled(state_of("Hi!", seed=seed))) for seed in range(40)}
    assert len(orders) > 30
    assert {frozenset(order) for order in orders} == {frozenset(NAMES)}
    assert {order[0] for order in orders} == set(NAMES)
    _, requests = explained()
    offered = sections(requests[1])["STRATEGIES"].split("\n")
    assert [line.partition(":")[0] for line in offered] == [t.name for t in shuffled(AGAIN)]


def test_a_supported_explanation_is_not_rewritten():
    turn, requests = explained(critic="None.")
    assert [request.role for request in requests] == ["picker", "selector", "persuader", "critic"]
    assert (turn.response, turn.persuasion.rewrites) == ("Heat (1995) is the one.", 0)


def test_a_critique_is_answered_by_rewriting_at_most_twice():
    drafts = [explanation(f"Heat (1995), draft {n}.") for n in range(5)]
    turn, requests = explained(persuader=drafts, critic=["no Oscar", "no sequel", "never asked"])
    roles = [request.role for request in requests]
    assert roles == ["picker", "selector", "persuader", *("critic", "persuader") * REFLECTIONS]
    assert (turn.response, turn.persuasion.rewrites) == ("Heat (1995), draft 2.", 2)
    second = sections(requests[4])
    assert (second["DRAFT"], second["CRITIQUE"]) == ("Heat (1995), draft 0.", "no Oscar")
    assert len({request.seed for request in requests if request.role == "persuader"}) == 3


def test_the_picked_film_is_the_recommendation_though_the_explanation_says_it():
    turn, _ = explained(persuader=explanation("It has what you asked for."))
    assert turn.recommended == ("heat",)


@pytest.mark.parametrize("said", ["whatever works", named("FLATTERY"), named()])
def test_strategies_that_are_none_of_the_six_fail_as_data(said):
    with pytest.raises(ReplyError, match="selector"):
        respond(PCCRS, by_role(picker=pick(move="explain"), selector=said), AGAIN)


def test_a_conversation_hands_on_what_was_opened():
    transition = Transition(
        episode="e0",
        turn=1,
        decision=None,
        preferences="",
        facts=(),
        ranking=(),
        response="Heat (1995).",
        recommended=("heat",),
        reply=SeekerReply(text="Go on."),
        score=Score(),
        persuasion=Persuasion(move="explain", opened=("stars",)),
    )
    read = played(transition).persuasion
    assert read is not None
    assert read.opened == ("stars",)


@pytest.mark.parametrize("kind", [PromptedCRS, InterCRS, PCCRS])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("state", [STATE, AGAIN, state_of("Hi!")], ids=["wishes", "film", "nothing"])
def test_the_scripted_world_plays_every_role_readably(kind, seed, state):
    world = World(KnowledgeGraph.load(Path(__file__).parent.parent / "fixtures" / "films.json"))

    def answer(request):
        return world.replies(read(request.messages), n=1, seed=request.seed, temperature=request.temperature)

    turn, requests, _ = respond(kind, answer, replace(state, seed=seed))
    assert turn.response
    assert len(requests) <= 7


def test_scripted_intercrs_lists_ten_once_two_wishes_are_heard():
    graph = KnowledgeGraph.load(Path(__file__).parent.parent / "fixtures" / "films.json")
    world = World(graph)
    state = state_of("I want some crime and a bit of drama.")
    dialogue = {"ROLE": "lister", "DIALOGUE": render_dialogue(state.history)}
    lists = [
        world.replies(read([Message(role="user", content=render(dialogue))]), n=1, seed=seed, temperature=1.0)[0]
        for seed in range(20)
    ]
    assert all(len(text.split("\n")) == 11 for text in lists)
    known = [len(films_named(text, graph)) for text in lists]
    assert 6 <= sum(known) / len(known) < 10  # wrong years are no films
