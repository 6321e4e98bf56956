"""The baselines: what each asks and makes of answers, bounded repair; and that the scripted world can play them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.fakes import ALIEN, FILMS, HEAT, FakeChatModel, run_on_fake_clock, state_of

from experts.baselines.intercrs import InterCRS
from experts.baselines.pccrs import ASK, PCCRS, REFLECTIONS, TACTICS, exposed
from experts.baselines.prompted import PromptedCRS
from harness.core.errors import ReplyError
from harness.core.messages import Evidence
from harness.core.sections import parse
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.scripted.roles import World, read

STATE = state_of("Hi!", "What do you like?", "Crime with Al Pacino; old or new.")
RANKING = ("heat", "fargo", "alien")
FOUND = Evidence(ranking=RANKING, candidates=FILMS[:2], facts=())
NOTHING = Evidence(ranking=(), candidates=(), facts=())


def respond(kind, answer, state=STATE, evidence=FOUND):
    queries = []

    async def search(query):
        queries.append(query)
        return evidence

    model = FakeChatModel(answer)
    recommender = kind(model, search, temperature=0.7, max_tokens=100)

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


def spoken(text="Try Heat (1995)."):
    return json.dumps({"text": text, "items": [1]})


def test_prompted_recommends_what_it_names_from_the_shared_ranking():
    turn, requests, queries = respond(PromptedCRS, lambda _: spoken())
    assert (turn.response, turn.recommended, turn.ranking) == ("Try Heat (1995).", ("heat",), RANKING)
    assert turn.decision is None
    found = sections(requests[0])
    assert found["ROLE"] == "actor"
    assert "STRATEGY" not in found
    assert "High Noon (1952)" in found["EXAMPLES"]
    assert found["CANDIDATES"].startswith("[1] Heat (1995) | genres: crime, drama")
    assert (queries[0].preferences, queries[0].words) == ("", "last_two")


def test_prompted_repairs_once_with_other_luck_and_then_fails_as_data():
    with pytest.raises(ReplyError, match="actor"):
        respond(PromptedCRS, lambda _: "prose")
    turn, requests, _ = respond(PromptedCRS, by_role(actor=["prose", spoken()]))
    assert turn.recommended == ("heat",)
    assert requests[0].seed != requests[1].seed


def test_intercrs_names_the_first_of_its_ranking_after_the_chat():
    turn, requests, queries = respond(InterCRS, lambda _: "Recommender: Which decade?\nSeeker: the 90s")
    assert turn.response == "Which decade? My pick for you is Heat (1995)."
    assert (turn.recommended, turn.ranking) == (("heat",), RANKING)
    assert "CANDIDATES" not in sections(requests[0])
    assert (queries[0].preferences, queries[0].words) == ("", "dialogue")


def test_intercrs_only_chats_where_nothing_was_found():
    turn, _, _ = respond(InterCRS, lambda _: "Which decade?", evidence=NOTHING)
    assert (turn.response, turn.recommended) == ("Which decade?", ())


def test_blank_chat_fails_as_data():
    with pytest.raises(ReplyError, match="clarifier"):
        respond(InterCRS, lambda _: " \n")


def test_pccrs_may_ask_instead():
    turn, requests, _ = respond(PCCRS, by_role(selector=ASK, clarifier="And the decade?"))
    assert (turn.response, turn.recommended, turn.ranking) == ("And the decade?", (), RANKING)
    assert requests[0].choices == (ASK, *(tactic.name for tactic in TACTICS))


@pytest.mark.parametrize("tactic", TACTICS, ids=lambda tactic: tactic.name)
def test_a_tactic_exposes_only_its_own_facts(tactic):
    _, requests, _ = respond(PCCRS, by_role(selector=tactic.name, persuader=spoken(), critic="NONE"))
    shown = sections(requests[1])["CANDIDATES"]
    for field in ("genres", "directors", "stars"):
        assert (field in shown) == (field in tactic.fields)
    assert "Heat (1995)" in shown
    assert "Fargo" not in shown
    assert sections(requests[2])["FACTS"].count(":") == 3  # the critic sees the whole record


def test_no_tactic_exposes_nothing_and_they_differ():
    assert len({tactic.name for tactic in TACTICS}) == 6
    assert all(exposed(HEAT, tactic).name == HEAT.name for tactic in TACTICS)
    assert exposed(ALIEN, TACTICS[1]).directors == ()
    told = replace(HEAT, writers=("Michael Mann",), plot="Two men circle each other.")
    assert all(exposed(told, tactic).plot == "" for tactic in TACTICS if "plot" not in tactic.fields)
    assert all(exposed(told, tactic).writers == () for tactic in TACTICS if "writers" not in tactic.fields)


def test_a_supported_message_is_not_rewritten():
    turn, requests, _ = respond(PCCRS, by_role(selector="FRAMING", persuader=spoken(), critic="None."))
    assert [request.role for request in requests] == ["selector", "persuader", "critic"]
    assert turn.response == "Try Heat (1995)."


def test_a_critique_is_answered_by_rewriting_at_most_twice():
    drafts = [spoken(f"Heat (1995), draft {n}.") for n in range(5)]
    turn, requests, _ = respond(
        PCCRS, by_role(selector="FRAMING", persuader=drafts, critic=["no Oscar", "no sequel", "never asked"])
    )
    roles = [request.role for request in requests]
    assert roles == ["selector", "persuader", *("critic", "persuader") * REFLECTIONS]
    assert turn.response == "Heat (1995), draft 2."
    second = sections(requests[3])
    assert (second["DRAFT"], second["CRITIQUE"]) == ("Heat (1995), draft 0.", "no Oscar")
    assert len({request.seed for request in requests if request.role == "persuader"}) == 3


def test_an_unreadable_choice_fails_as_data():
    with pytest.raises(ReplyError, match="selector"):
        respond(PCCRS, by_role(selector="whatever works"))


@pytest.mark.parametrize("kind", [PromptedCRS, InterCRS, PCCRS])
@pytest.mark.parametrize("seed", range(12))
def test_the_scripted_world_plays_every_role_readably(kind, seed):
    world = World(KnowledgeGraph.load(Path(__file__).parent.parent / "fixtures" / "films.json"))

    def answer(request):
        return world.replies(read(request.messages), n=1, seed=request.seed, temperature=request.temperature)

    state = state_of("Hi!", "What do you like?", "I want some crime and a bit of drama.", seed=seed)
    turn, requests, _ = respond(kind, answer, state)
    assert turn.response
    assert len(requests) <= 6
    assert set(turn.recommended) <= {film.id for film in FOUND.candidates}
