"""The Network-of-Experts as one `Recommender`: Algorithm 1's recommender side, each expert a lane of its own.

At turn t the Planner and the Preference Reasoner work at the same time, from the same state. The retriever waits for
the preferences, and the actor for all three. So the Planner sees only the preferences and facts of earlier turns.
The Reward expert is the fifth lane, and the network is a `Judge` through it. Experts are plain classes that know no
lane; here they get inboxes, batches and limits. An ablation leaves an expert out (None).

Left out: the conversation itself (``harness.core.conversation``) and the experts' own work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from experts.actor import Actor
from experts.fact_retriever import FactRetriever
from experts.planner import PlannerQuery, PolicyPlanner
from experts.preference_reasoner import PreferenceReasoner
from experts.prompted_planner import PromptedPlanner
from experts.replies import ActorReply
from experts.wishes import RetrieverQuery
from harness.core.errors import HarnessError
from harness.core.lane import Lane, RunSync, batch_lane, call_lane
from harness.core.messages import Decision, Evidence, Item, RecommenderTurn, Score, State, Struct
from harness.core.seams import Judge, Recommender

A = TypeVar("A")
B = TypeVar("B")


class ActorQuery(Struct, frozen=True, kw_only=True):
    """The input of the actor for one message."""

    state: State
    strategy: str | None
    preferences: str
    candidates: tuple[Item, ...]


class NetworkOfExperts:
    """Planner, reasoner, retriever, actor and reward expert, for many conversations at once.

    Args:
        actor: writes the messages.
        planner: None lets the actor choose its own way; turns then have no decision.
        reasoner: None gives no preferences; the retriever then searches with the seeker's words.
        retriever: None gives no candidates, no facts and an empty ranking.
        reward: None makes the network no judge.
        max_batch: items that one lane takes at a time.
        max_in_flight: role -> most calls under way to its model.
        capacity: places in each inbox; further callers wait.
        run_sync: runs a batch that blocks; by default a worker thread of the lane.
    """

    def __init__(
        self,
        *,
        actor: Actor,
        planner: PolicyPlanner | PromptedPlanner | None = None,
        reasoner: PreferenceReasoner | None = None,
        retriever: FactRetriever | None = None,
        reward: Judge | None = None,
        max_batch: int,
        max_in_flight: Callable[[str], int],
        capacity: int,
        run_sync: RunSync | None = None,
    ) -> None:
        def batches(name: str, handle: Callable[..., Any], blocks: Callable[..., bool]) -> Lane[Any, Any]:
            return batch_lane(name, handle, max_batch=max_batch, capacity=capacity, blocks=blocks, run_sync=run_sync)

        def calls(role: str, handle: Callable[[Any], Awaitable[Any]]) -> Lane[Any, Any]:
            name, limit = role.replace("_", " "), max_in_flight(role)
            return call_lane(name, handle, max_batch=max_batch, capacity=capacity, max_in_flight=limit)

        async def act(query: ActorQuery) -> ActorReply:
            return await actor.speak(
                query.state, strategy=query.strategy, preferences=query.preferences, candidates=query.candidates
            )

        self._planner: Lane[PlannerQuery, Decision] | None = None
        if isinstance(planner, PromptedPlanner):
            self._planner = calls("planner", planner.choose)
        elif planner is not None:
            self._planner = batches("planner", planner.decide, planner.blocks)
        self._reasoner: Lane[State, str] | None = calls("preference_reasoner", reasoner.infer) if reasoner else None
        self._retriever: Lane[RetrieverQuery, Evidence] | None = (
            batches("fact retriever", retriever.retrieve, retriever.blocks) if retriever else None
        )
        self._actor: Lane[ActorQuery, ActorReply] = calls("actor", act)
        self._reward: Lane[State, Score] | None = calls("reward", reward.score) if reward else None

    @property
    def lanes(self) -> tuple[Lane[Any, Any], ...]:
        """The experts at work, for their statistics."""
        lanes = (self._planner, self._reasoner, self._retriever, self._actor, self._reward)
        return tuple(lane for lane in lanes if lane is not None)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run all lanes until `close` and everything asked before is answered; once."""
        async with trio.open_nursery() as nursery:
            for lane in self.lanes:
                await nursery.start(lane.serve)
            task_status.started()

    def close(self) -> None:
        """Accept no further request."""
        for lane in self.lanes:
            lane.close()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[NetworkOfExperts]:
        """Run the network while the block runs; cancel the requests under way at its end.

        An exception of the block is raised as it is, not in a group.
        """
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.serve)
                yield self
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from None
            raise

    def at(self, version: int) -> Recommender:
        """A recommender for one conversation: this network with a fixed policy version."""
        return _Pinned(self, version)

    async def score(self, state: State) -> Score:
        """The Reward expert's reading of a state, which makes the network a `Judge`."""
        if self._reward is None:
            raise RuntimeError("this network was built without a reward expert")
        return await self._reward.ask(state)

    async def respond(self, state: State, policy_version: int) -> RecommenderTurn:
        """One turn of Algorithm 1; raises an expert's `ExpertError` as it is, not in a group."""
        decision, preferences = await _side_by_side(self._decide(state, policy_version), self._infer(state))
        evidence = await self._retrieve(state, preferences)
        spoken = await self._actor.ask(
            ActorQuery(
                state=state,
                strategy=decision.strategy if decision else None,
                preferences=preferences,
                candidates=evidence.candidates,
            )
        )
        return RecommenderTurn(
            response=spoken.text,
            recommended=spoken.recommended,
            ranking=evidence.ranking,
            decision=decision,
            preferences=preferences,
            facts=evidence.facts,
        )

    async def _decide(self, state: State, version: int) -> Decision | None:
        if self._planner is None:
            return None
        return await self._planner.ask(PlannerQuery(state=state, policy_version=version))

    async def _infer(self, state: State) -> str:
        return "" if self._reasoner is None else await self._reasoner.ask(state)

    async def _retrieve(self, state: State, preferences: str) -> Evidence:
        if self._retriever is None:
            return Evidence(ranking=(), candidates=(), facts=())
        return await self._retriever.ask(RetrieverQuery(state=state, preferences=preferences))


class _Pinned:
    """A `Recommender`: the network with one policy version."""

    def __init__(self, network: NetworkOfExperts, version: int) -> None:
        self._network = network
        self._version = version

    async def respond(self, state: State) -> RecommenderTurn:
        return await self._network.respond(state, self._version)


async def _side_by_side(beside: Awaitable[A], own: Awaitable[B]) -> tuple[A, B]:
    """Both results. The first expected failure cancels the other task and is raised as it is, not in a group.

    Only one of the two has a task of its own: with hundreds of conversations, a second task would cost a megabyte.
    """
    results: list[A] = []
    failures: list[HarnessError] = []

    async def run() -> None:
        try:
            results.append(await beside)
        except HarnessError as error:
            failures.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        try:
            mine = await own
        except HarnessError as error:
            failures.append(error)
            nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return results[0], mine
