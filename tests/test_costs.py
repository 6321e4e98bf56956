"""What a turn costs in things that can be counted: requests, prompt tokens to compute, bytes logged, fsyncs.

Bounds are tight and know no clock: who makes a turn dearer on purpose raises them here and says why. Time is measured
by `python -m harness bench`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from rich.console import Console
from support.episodes import started
from support.world import ROOT, World

from harness.app.commands.run import run
from harness.app.evaluation.summary import Summary
from harness.core.conversation import Cast, converse
from harness.core.lane import run_inline
from harness.core.log.eventlog import EventLog, open_log
from harness.core.log.loggedepisodes import read_episodes
from harness.core.messages import RecommenderTurn, Scenario, Score, SeekerReply, State

TURNS = 4


class Costs:
    """One small run of the main job against a fresh scripted server."""

    def __init__(self, folder: Path, summary: Summary, requests: int) -> None:
        self.episodes = read_episodes(folder / "episodes.jsonl")
        self.turns = sum(len(episode.transitions) for episode in self.episodes)
        self.serving = summary.serving["default"]
        self.requests = requests
        self.log_bytes = (folder / "episodes.jsonl").stat().st_size
        self.tape_bytes = (folder / "tape.jsonl").stat().st_size


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Costs]:
    folder = tmp_path_factory.mktemp("costs") / "run"
    changes = {
        "planner.kind": "tabular",
        "warmup.epochs": 1,
        "evaluation.dialogues": 4,
        "rl.dialogues_per_epoch": 8,
        "conversation.max_turns": TURNS,
    }
    world = World()
    try:
        changes |= {"models.default.base_url": world.base_url}
        overrides = [f"{key}={value}" for key, value in changes.items()]
        summary = run(ROOT / "experiments" / "tiny.toml", folder, overrides, Console(quiet=True), quiet=True)
        yield Costs(folder, summary, world.requests())
    finally:
        world.die()


def test_a_turn_is_four_requests_and_an_episode_one_or_two_more(costs: Costs) -> None:
    evaluated = sum(episode.started.phase != "train" for episode in costs.episodes)
    probes = 2
    assert len(costs.episodes) == 3 * 4 + 8
    assert costs.requests == 4 * costs.turns + len(costs.episodes) + evaluated + probes


def test_most_of_a_prompt_is_in_the_servers_prefix_cache(costs: Costs) -> None:
    """By the scripted server's block model: instructions once a run, of a dialogue what is new."""
    served = costs.serving.server
    assert served is not None
    assert served.computed_prompt_tokens_per_turn is not None
    assert served.computed_prompt_tokens_per_turn <= 455
    assert served.computed_prompt_tokens / served.prompt_tokens <= 0.225


def test_bytes_on_disk_a_turn(costs: Costs) -> None:
    assert costs.log_bytes / costs.turns <= 4_550  # 20 bytes of it are the checksum of a line
    assert costs.tape_bytes / costs.turns <= 1_180  # 44 bytes likewise


class Part:
    """Recommender, seeker and judge at once."""

    async def respond(self, state: State) -> RecommenderTurn:
        await trio.lowlevel.checkpoint()
        return RecommenderTurn(response="Try it.")

    async def reply(self, scenario: Scenario, state: State) -> SeekerReply:
        await trio.lowlevel.checkpoint()
        return SeekerReply(text="Hello.")

    async def score(self, state: State) -> Score:
        await trio.lowlevel.checkpoint()
        return Score(reward=0.1)


@pytest.mark.parametrize("conversations", [1, 256])
def test_one_fsync_serves_all_that_speak_at_once(tmp_path: Path, conversations: int) -> None:
    """As many as one conversation has events, however many conversations there are."""
    part = Part()

    async def play(log: EventLog, number: int) -> None:
        await converse(
            started(f"e{number}", number, max_turns=TURNS),
            Cast(recommender=part, seeker=part, judge=part),
            threshold=0.9,
            record=log.append,
            spent=lambda episode: ({}, {}),
        )

    async def main() -> None:
        async with open_log(tmp_path / "log", run_sync=run_inline) as log:
            async with trio.open_nursery() as nursery:
                for number in range(conversations):
                    nursery.start_soon(play, log, number)
            events = TURNS + 3
            assert log.events == events * conversations
            assert log.fsyncs <= events

    trio.run(main)
