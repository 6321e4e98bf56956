"""The whole harness as `run` wires it (log, tape, lanes, planner, retriever, ledger), and the same calls made bare.

`play` plays conversations against a server that somebody started; `bare` sends what `Listening` heard again, each
conversation's bodies one after the other, by nothing but a transport. Both tell turns, seconds and CPU seconds of this
process. Every conversation has all its turns: the fixed server's judge never stops one, and a real one is told not to
by a threshold of 1.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import trio
from rich.console import Console

from harness.app.console.progress import Progress
from harness.app.job.session import Session
from harness.app.settings.config import Config
from harness.app.settings.configfile import config_from_tree
from harness.app.setup.inputs import Inputs, read_inputs
from harness.app.setup.wiring import index_of, open_players, planner_of
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import EpisodeIndex
from harness.core.log.tape import TAPE, open_tape
from harness.core.messages import ChatReply, ChatRequest, Scenario, Struct
from harness.core.model.llm import OpenAIChat
from harness.core.model.retry import RetryPolicy
from harness.core.model.transport import PlainTransport, Post, Reply, post
from harness.core.scheduler import Stopping
from learner.versions import PolicyVersions

ROOT = Path(__file__).parents[1]
CALLS = 4
"""Model calls of one turn, one after the other: reasoner, actor, seeker, judge."""

Chains = Sequence[Sequence[bytes]]
"""A conversation's request bodies in order, for each conversation."""
Send = Callable[[bytes], Awaitable[bytes]]


class Played(Struct, frozen=True, kw_only=True):
    """One measurement."""

    turns: int
    wall_s: float
    cpu_s: float
    """Of this process, all threads."""
    output_tokens: int = 0

    @property
    def cpu_ms(self) -> float:
        """Milliseconds a turn."""
        return 1e3 * self.cpu_s / self.turns


class Listening(PlainTransport):
    """The harness's transport, which keeps every chat body that it sends."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[bytes] = []
        self.replies: list[bytes] = []

    async def send(self, to: Post, body: bytes) -> Reply:
        reply = await super().send(to, body)
        if b"/chat/completions" in to.head:
            self.heard.append(body)
            self.replies.append(reply.body)
        return reply


class _Noting:
    """A `Served` that notes which conversation a request's seed belongs to."""

    def __init__(self, client: OpenAIChat, episodes: dict[int, str]) -> None:
        self._client = client
        self._episodes = episodes
        self.capabilities = client.capabilities

    async def complete(self, request: ChatRequest) -> ChatReply:
        self._episodes[request.seed] = request.episode
        return await self._client.complete(request)


def config_for(conversations: int, turns: int, changes: Mapping[str, Any] | None = None) -> Config:
    """The tiny world's films, a tabular planner, exact retrieval."""
    tree: dict[str, Any] = {
        "data": {
            "inspired": str(ROOT / "fixtures" / "tiny" / "inspired_synthetic.tsv"),
            "knowledge_graph": str(ROOT / "fixtures" / "tiny" / "films.json"),
        },
        "planner": {"kind": "tabular"},
        "scheduler": {"max_live_conversations": conversations},
        "conversation": {"max_turns": turns},
        "reward": {"threshold": 1.0},
        "rl": {"epochs": 0},
        "evaluation": {"dialogues": 4},
    }
    return config_from_tree(tree | dict(changes or {}))


@asynccontextmanager
async def at_work(
    config: Config, base_url: str, model: str, folder: Path, *, listen: Listening | None = None
) -> AsyncIterator[tuple[Session, Inputs, dict[int, str]]]:
    """A session whose experts all ask the model at ``base_url``; also the inputs, and seed -> conversation."""
    inputs = read_inputs(config)
    progress = Progress(Console(quiet=True), quiet=True)
    versions = PolicyVersions()
    planner = planner_of(config, inputs.strategies)
    assert planner is not None
    versions.publish(0, planner)
    index = index_of(config, inputs, lambda done, total: None)
    client = OpenAIChat(
        base_url,
        model,
        max_connections=config.scheduler.max_live_conversations,
        transport=listen,
        timeout_s=600.0,
        retry=RetryPolicy(budget_s=90.0),
    )
    episodes: dict[int, str] = {}
    with open_tape(folder / TAPE) as tape:
        async with (
            client,
            open_players(
                config,
                inputs,
                {"default": tape.recording(_Noting(client, episodes), "default")},
                versions.at,
                index,
                progress,
            ) as players,
            open_log(folder / "episodes.jsonl", run_sync=tape.then_log) as events,
        ):
            finished = EpisodeIndex(folder / "episodes.jsonl")
            yield Session(config, events, players, progress, Stopping(0.0), finished), inputs, episodes


def scenarios(inputs: Inputs, count: int) -> list[Scenario]:
    """As many as wanted, each with a name (and so luck) of its own."""
    drawn = islice(cycle(inputs.held_out), count)
    return [msgspec.structs.replace(scenario, id=f"{scenario.id}-{n}") for n, scenario in enumerate(drawn)]


def play(
    base_url: str,
    conversations: int,
    turns: int,
    *,
    model: str = "fixed",
    warm: bool = True,
    changes: Mapping[str, Any] | None = None,
) -> tuple[Played, Chains]:
    """Play one batch of conversations, all at once; what they sent, in chains.

    ``warm``: a turn each before that, so that connections are open and torch has been called.
    """

    async def main(folder: Path) -> tuple[Played, Chains]:
        listen = Listening()
        config = config_for(conversations, turns, changes)
        async with at_work(config, base_url, model, folder, listen=listen) as (session, inputs, episodes):
            wanted = scenarios(inputs, conversations)
            if warm:
                short = [msgspec.structs.replace(j, max_turns=1) for j in session.jobs("warm", wanted, lambda i: 0)]
                await session.play(short)
            before = session.turns
            listen.heard.clear()
            listen.replies.clear()
            wall, cpu = time.perf_counter(), time.process_time()
            await session.play(session.jobs("train", wanted, lambda i: 0))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            chains: dict[str, list[bytes]] = defaultdict(list)
            for body in listen.heard:
                chains[episodes[msgspec.json.decode(body)["seed"]]].append(body)
            played = Played(
                turns=session.turns - before, wall_s=wall, cpu_s=cpu, output_tokens=output_tokens(listen.replies)
            )
            return played, list(chains.values())

    with tempfile.TemporaryDirectory() as folder:
        return trio.run(main, Path(folder))


def bare(base_url: str, chains: Chains, turns: int, *, stock: bool = False, warm: bool = True) -> Played:
    """The same calls by the harness's transport alone, or by ``stock`` httpx2 as it comes; all chains at once."""

    async def main() -> Played:
        url = httpx2.URL(f"{base_url}/chat/completions")
        headers = httpx2.Headers({"authorization": "Bearer none", "content-type": "application/json"})
        replies: list[bytes] = []
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=len(chains))
        async with PlainTransport() as plain, httpx2.AsyncClient(timeout=None, limits=limits, trust_env=False) as http:
            prepared = post(url, headers)

            async def by_plain(body: bytes) -> bytes:
                reply = await plain.send(prepared, body)
                return _answered(reply.status, reply.body)

            async def by_stock(body: bytes) -> bytes:
                response = await http.post(url, content=body, headers=headers)
                return _answered(response.status_code, response.content)

            async def chain(send: Send, bodies: Sequence[bytes]) -> None:
                for body in bodies:
                    replies.append(await send(body))

            send = by_stock if stock else by_plain
            if warm:
                await _all(lambda bodies: chain(send, bodies[:1]), chains)
                replies.clear()
            wall, cpu = time.perf_counter(), time.process_time()
            await _all(lambda bodies: chain(send, bodies), chains)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Played(turns=turns, wall_s=wall, cpu_s=cpu, output_tokens=output_tokens(replies))

    return trio.run(main)


async def _all(run: Callable[[Sequence[bytes]], Awaitable[None]], chains: Chains) -> None:
    async with trio.open_nursery() as nursery:
        for bodies in chains:
            nursery.start_soon(run, bodies)


def _answered(status: int, body: bytes) -> bytes:
    if status != 200:  # the harness would try again; the pair would then not have made the same calls
        raise RuntimeError(f"the server answered a bare call with status {status}: {body[:200]!r}")
    return body


def output_tokens(replies: Sequence[bytes]) -> int:
    """By the server's own count."""
    return sum(msgspec.json.decode(reply)["usage"]["completion_tokens"] for reply in replies)
