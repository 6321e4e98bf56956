"""A run keeps no finished episode: what it holds does not grow with what was played, nor does what reads its log."""

import gc
from pathlib import Path

import pytest
import trio
import trio.lowlevel
from rich.console import Console
from support.episodes import UNIFORM, scenario

from harness.app.console.progress import Progress
from harness.app.job.session import Session
from harness.app.settings.config import Config, Conversation
from harness.core.conversation import Cast, Spent
from harness.core.log.episode import Episode
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import EpisodeIndex
from harness.core.log.rundigest import run_digest
from harness.core.messages import (
    Decision,
    EpisodeEnded,
    Event,
    Fact,
    RecommenderTurn,
    Scenario,
    Score,
    SeekerReply,
    State,
    Transition,
    Usage,
)
from harness.core.scheduler import Stopping


class Part:
    """Recommender, seeker and judge that answer at once, with as much as a real one."""

    async def respond(self, state: State) -> RecommenderTurn:
        return RecommenderTurn(
            response="Try it. " * 20,
            ranking=tuple(str(n) for n in range(10)),
            decision=Decision(strategy="credibility", index=0, probabilities=tuple(UNIFORM), policy_version=0),
            facts=tuple(Fact(item=str(n), relation="genre", value="crime") for n in range(10)),
        )

    async def reply(self, scenario: Scenario, state: State) -> SeekerReply:
        return SeekerReply(text="Hello there. " * 10)

    async def score(self, state: State) -> Score:
        return Score(reward=0.1, raw=(2,) * 10)


class Players:
    def cast(self, version: int, *, evaluating: bool) -> Cast:
        part = Part()
        return Cast(recommender=part, seeker=part, judge=part)

    def spent(self, episode: str) -> Spent:
        return {"actor": Usage(calls=1)}, {"actor": 0.1}


def resident_mib() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def held() -> int:
    """Turns in memory."""
    gc.collect()
    return sum(type(thing) is Transition for thing in gc.get_objects())


def play(folder: Path, episodes: int, turns: int, seen_at: dict[int, float], look: object) -> None:
    """Play a phase; ``look`` is called when so many episodes have finished, at the end, and when all were read."""
    assert callable(look)

    async def inline(function: object) -> None:
        function()  # type: ignore[operator]
        await trio.lowlevel.checkpoint()

    async def main() -> None:
        path = folder / "episodes.jsonl"
        async with open_log(path, run_sync=inline) as log:
            progress = Progress(Console(quiet=True), quiet=True)
            config = Config(conversation=Conversation(max_turns=turns))
            session = Session(config, log, Players(), progress, Stopping(1.0), EpisodeIndex(path))
            record, finished = session.record, 0

            async def counted(event: Event) -> None:
                nonlocal finished
                await record(event)
                if isinstance(event, EpisodeEnded):
                    finished += 1
                    if finished in seen_at:
                        seen_at[finished] = look()

            session.record = counted  # type: ignore[method-assign]
            jobs = session.jobs("train", [scenario(f"s{n}") for n in range(episodes)], lambda index: 0)
            played = await session.play(jobs)
            assert len(played) == episodes
            run_digest(played)
            seen_at[episodes] = look()

    trio.run(main)


def test_no_finished_episode_is_kept(tmp_path: Path) -> None:
    at_once = 64
    seen = {100: 0.0, 400: 0.0}
    others = held()  # what the fixtures of other tests keep
    play(tmp_path, 500, 2, seen, lambda: held() - others)
    assert seen[100] <= 4 * at_once  # of those under way
    assert seen[400] <= 4 * at_once
    assert seen[500] <= 4
    index = EpisodeIndex(tmp_path / "episodes.jsonl")
    assert held() - others <= 4
    for number, episode in enumerate(index):
        assert isinstance(episode, Episode)
        if number == 300:
            assert held() - others <= 8


@pytest.mark.slow  # half a minute
def test_twenty_thousand_episodes_need_the_memory_of_two_thousand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = {2_000: 0.0, 10_000: 0.0, 19_900: 0.0}
    play(tmp_path, 20_000, 10, seen, resident_mib)
    with capsys.disabled():
        print("\nresident MiB by finished episodes:", {count: round(size, 1) for count, size in seen.items()})
    assert seen[19_900] - seen[2_000] < 8
    assert seen[20_000] - seen[2_000] < 24  # where each stands in the log
