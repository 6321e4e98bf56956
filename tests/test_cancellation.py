"""A conversation cancelled at every single step of every task: whole records, free slots, a network fit to go on."""

import json
from pathlib import Path

import trio
from support.episodes import started
from support.experts import a_judge, a_network, a_reasoner, a_retriever, an_actor
from support.fakes import FILMS, Answer, FakeChatModel, hashed_words
from trio.testing import MockClock

from experts.entity_index import build_index
from experts.planner import PolicyPlanner
from harness.core.conversation import Cast, converse
from harness.core.lane import run_inline
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import read_episodes, read_events
from harness.core.messages import ChatRequest, State
from harness.core.model.ledger import Ledger
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.strategies import STRATEGIES
from simulator.seeker import LLMSeeker

GRAPH = KnowledgeGraph.from_items(FILMS)
INDEX = build_index(GRAPH, hashed_words, model_sha256="m")
TURNS = 2


class Uniform:
    def distribution(self, state: State) -> list[float]:
        return [1 / len(STRATEGIES)] * len(STRATEGIES)


class Steps(trio.abc.Instrument):
    """Counts every step of every task and cancels a scope at one of them."""

    def __init__(self, at: int, scope: trio.CancelScope) -> None:
        self.count = 0
        self._at = at
        self._scope = scope

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1
        if self.count == self._at:
            self._scope.cancel()


def answer(request: ChatRequest) -> Answer:
    if request.role == "preference_reasoner":
        return "Wants: crime"
    if request.role == "actor":
        return json.dumps({"text": "See Heat (1995).", "items": [1]})
    return ["3"] * request.n if request.role == "reward" else "Reply: Tell me more."


async def cancelled_at(step: int, path: Path) -> int:
    """One conversation cancelled at this step, checked, and a second one that must succeed; steps that it took."""
    model, ledger = FakeChatModel(answer, seconds=1.0), Ledger()
    metered = ledger.metered(model)
    network = a_network(
        actor=an_actor(metered),
        planner=PolicyPlanner(lambda version: Uniform(), STRATEGIES),
        reasoner=a_reasoner(metered),
        retriever=a_retriever(GRAPH, INDEX, hashed_words),
        reward=a_judge(metered, mode="samples"),
        run_sync=run_inline,
    )
    seeker = LLMSeeker(metered, temperature=0.5, max_tokens=50)
    cast = Cast(recommender=network.at(0), seeker=seeker, judge=network)

    async def write(function: object) -> None:
        function()  # type: ignore[operator]

    async with network.open(), open_log(path, run_sync=write) as log:
        scope = trio.CancelScope()
        steps = Steps(step, scope)
        trio.lowlevel.add_instrument(steps)
        with scope:
            await converse(
                started("first", 0, max_turns=TURNS), cast, threshold=0.9, record=log.append, spent=ledger.take
            )
        trio.lowlevel.remove_instrument(steps)
        await trio.testing.wait_all_tasks_blocked()
        assert model.live == 0, "a call outlived its conversation"
        for lane in network.lanes:
            assert (lane.statistics().waiting, lane.statistics().in_flight) == (0, 0), lane.name
        ended = await converse(
            started("second", 1, max_turns=TURNS), cast, threshold=0.9, record=log.append, spent=ledger.take
        )
        assert (ended.stop, ended.turns) == ("turns", TURNS)
    return steps.count


def test_at_every_step_of_a_conversation(tmp_path: Path) -> None:
    def run(step: int) -> int:
        clock = MockClock(autojump_threshold=0)
        path = tmp_path / str(step)
        count: int = trio.run(cancelled_at, step, path, clock=clock)
        assert path.read_bytes().endswith(b"\n")
        finished = [episode.id for episode in read_episodes(path)]
        assert finished == (["first", "second"] if len(list(read_events(path))) == 2 * (3 + TURNS) else ["second"])
        return count

    whole = run(0)
    assert whole > 50
    for step in range(1, whole + 1):
        run(step)
