"""The network of experts: Algorithm 1's order, ablations, failures as themselves, many conversations at once."""

from __future__ import annotations

import json

import pytest
import trio
from support.experts import a_judge, a_network, a_reasoner, a_retriever, an_actor
from support.fakes import FILMS, FakeChatModel, hashed_words, run_on_fake_clock, state_of
from support.present import present

from experts.entity_index import build_index
from experts.network import NetworkOfExperts
from experts.planner import PolicyPlanner
from harness.core.errors import CallError, ExpertError, RunStopped
from harness.core.lane import run_inline
from harness.core.messages import RecommenderTurn
from harness.core.sections import parse
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.strategies import STRATEGIES
from learner.policy import UniformPolicy

GRAPH = KnowledgeGraph.from_items(FILMS)
INDEX = build_index(GRAPH, hashed_words, model_sha256="m")
STATE = state_of("I like crime films")


class OneHot:
    """Always the strategy whose index is the version."""

    def __init__(self, index: int) -> None:
        self.index = index

    def distribution(self, state):
        return [float(i == self.index) for i in range(len(STRATEGIES))]


def answer(request):
    if request.role == "preference_reasoner":
        return "Wants: crime; Al Pacino"
    if request.role == "actor":
        return json.dumps({"text": "See Heat (1995).", "items": [1] if "CANDIDATES" in asked(request) else []})
    return ["4"] * request.n


def asked(request) -> dict[str, str]:
    return parse(request.messages[1].content)


def network(model, *, policy_at=OneHot, run_sync=run_inline, **left_out) -> NetworkOfExperts:
    experts = {
        "actor": an_actor(model),
        "planner": PolicyPlanner(policy_at, STRATEGIES),
        "reasoner": a_reasoner(model),
        "retriever": a_retriever(GRAPH, INDEX, hashed_words),
        "reward": a_judge(model, mode="samples"),
    }
    return a_network(**(experts | left_out), run_sync=run_sync)


def respond(built: NetworkOfExperts, state=STATE, version=1) -> RecommenderTurn:
    async def main():
        async with built.open():
            return await built.at(version).respond(state)

    found: RecommenderTurn = run_on_fake_clock(main)
    return found


def test_a_turn_joins_what_the_experts_did():
    model = FakeChatModel(answer)
    turn = respond(network(model))
    assert turn.response == "See Heat (1995)."
    assert turn.recommended == ("heat",)
    assert turn.ranking[0] == "heat"
    assert turn.decision is not None
    assert (turn.decision.strategy, turn.decision.policy_version) == ("credibility", 1)
    assert turn.preferences == "Wants: crime; Al Pacino"
    assert {fact.item for fact in turn.facts} == set(turn.ranking)
    reasoner, actor = model.requests
    assert (reasoner.role, actor.role) == ("preference_reasoner", "actor")
    assert asked(actor)["STRATEGY"].startswith("CREDIBILITY: ")
    assert asked(actor)["PREFERENCES"] == "Wants: crime; Al Pacino"
    assert asked(actor)["CANDIDATES"].startswith("[1] Heat (1995) | ")


def test_each_conversation_acts_with_its_own_version():
    built = network(FakeChatModel(answer))

    async def main():
        got = {}

        async def ask(version):
            got[version] = await built.at(version).respond(STATE)

        async with built.open(), trio.open_nursery() as nursery:
            for version in range(5):
                nursery.start_soon(ask, version)
        return {v: (present(turn.decision).policy_version, present(turn.decision).index) for v, turn in got.items()}

    assert run_on_fake_clock(main) == {version: (version, version) for version in range(5)}


def test_threads_are_for_what_holds_the_event_loop_up():
    trips = []

    async def counted(function):
        trips.append(function.func.__name__)
        return await run_inline(function)

    keys = tuple(strategy.key for strategy in STRATEGIES)
    planners = {0: UniformPolicy(keys), 1: OneHot(1)}
    built = network(FakeChatModel(answer), policy_at=planners.__getitem__, run_sync=counted)

    async def main():
        async with built.open():
            for version in (0, 0, 1):
                await built.at(version).respond(STATE)

    run_on_fake_clock(main)
    assert trips == ["retrieve", "decide"]  # the wishes are embedded once; only the last planner may block


def test_without_planner_the_actor_chooses():
    model = FakeChatModel(answer)
    turn = respond(network(model, planner=None))
    assert turn.decision is None
    assert "STRATEGY" not in asked(model.requests[-1])


def test_without_reasoner_the_retriever_reads_the_seeker():
    model = FakeChatModel(answer)
    turn = respond(network(model, reasoner=None), state_of("something with Al Pacino"))
    assert (turn.preferences, turn.ranking[0]) == ("", "heat")
    assert [request.role for request in model.requests] == ["actor"]
    assert "PREFERENCES" not in asked(model.requests[0])


def test_without_retriever_there_are_no_candidates():
    model = FakeChatModel(answer)
    turn = respond(network(model, retriever=None))
    assert (turn.ranking, turn.facts, turn.recommended) == ((), (), ())
    assert "CANDIDATES" not in asked(model.requests[-1])


def test_planner_and_reasoner_work_side_by_side():
    async def slow(function):
        await trio.sleep(3)
        return function()

    model = FakeChatModel(answer, seconds=3)
    built = a_network(
        actor=an_actor(model),
        planner=PolicyPlanner(OneHot, STRATEGIES),
        reasoner=a_reasoner(model),
        run_sync=slow,
    )

    async def main():
        async with built.open():
            await built.at(0).respond(STATE)
            return trio.current_time()

    start = 0.0
    assert run_on_fake_clock(main) - start == pytest.approx(6.0)


def test_the_network_is_its_own_judge():
    built = network(FakeChatModel(answer))

    async def main():
        async with built.open():
            return await built.score(state_of("hi", "See Heat (1995).", "Yes"))

    assert run_on_fake_clock(main).reward == pytest.approx(0.75)


class Broken:
    def distribution(self, state):
        raise ExpertError("no logits")


def test_a_planners_failure_comes_out_as_itself_and_cancels_the_reasoner():
    model = FakeChatModel(answer, seconds=60)
    built = network(model, policy_at=lambda _: Broken())

    async def main():
        async with built.open():
            with pytest.raises(ExpertError, match="no logits") as raised:
                await built.at(0).respond(STATE)
            assert type(raised.value) is ExpertError
            await trio.testing.wait_all_tasks_blocked()
            return trio.current_time(), model.live

    assert run_on_fake_clock(main) == (0.0, 0)


@pytest.mark.parametrize("role", ["preference_reasoner", "actor"])
@pytest.mark.parametrize("error", [CallError("the server is gone"), RunStopped("the budget is spent")])
def test_a_models_failure_comes_out_as_itself(role, error):
    built = network(FakeChatModel(lambda request: error if request.role == role else answer(request)))
    with pytest.raises(type(error), match=str(error)):
        respond(built)


def test_a_failing_conversation_leaves_its_siblings_alone():
    def picky(request):
        return CallError("bad luck") if request.episode == "e7" else answer(request)

    built = network(FakeChatModel(picky, seconds=1))

    async def main():
        outcomes = {}

        async def ask(name):
            try:
                outcomes[name] = (await built.at(1).respond(state_of("crime", episode=name))).response
            except ExpertError as error:
                outcomes[name] = str(error)

        async with built.open(), trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, f"e{number}")
        return outcomes

    outcomes = run_on_fake_clock(main)
    assert outcomes.pop("e7") == "bad luck"
    assert set(outcomes.values()) == {"See Heat (1995)."}
    assert len(outcomes) == 49


def test_a_cancelled_turn_leaves_no_call_behind():
    model = FakeChatModel(answer, seconds=10)
    built = network(model)

    async def main():
        async with built.open():
            with trio.move_on_after(5) as scope:
                await built.at(1).respond(STATE)
            await trio.testing.wait_all_tasks_blocked()
            assert scope.cancelled_caught
            assert model.live == 0
            return await built.at(1).respond(STATE)

    assert run_on_fake_clock(main).response == "See Heat (1995)."


def test_serve_ends_after_close():
    built = network(FakeChatModel(answer))

    async def main():
        async with trio.open_nursery() as nursery:
            await nursery.start(built.serve)
            turn = await built.at(1).respond(STATE)
            built.close()
        return turn

    assert run_on_fake_clock(main).response == "See Heat (1995)."
