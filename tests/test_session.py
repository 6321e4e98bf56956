"""A phase played with broken parts: every failure is a readable, finished episode of the log."""

from pathlib import Path

import pytest
import trio
from rich.console import Console
from support.episodes import scenario

from harness.app.console.progress import Progress
from harness.app.job.session import Session
from harness.app.settings.config import Config, Scheduler
from harness.core.conversation import Cast, Spent
from harness.core.errors import InputError
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import EpisodeIndex, LoggedEpisodes, read_episodes
from harness.core.messages import RecommenderTurn, Scenario, Score, SeekerReply, State
from harness.core.scheduler import Stopping


class Part:
    """Recommender, seeker and judge; in scenario ``late`` the recommender has a bug."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken

    async def respond(self, state: State) -> RecommenderTurn:
        if self.broken:
            raise ZeroDivisionError("a bug")
        return RecommenderTurn(response="Try it.")

    async def reply(self, scenario: Scenario, state: State) -> SeekerReply:
        return SeekerReply(text="Hello.")

    async def score(self, state: State) -> Score:
        return Score(reward=0.9)


class Players:
    """The second cast cannot even be put together; the third has a bug in its first turn."""

    def __init__(self) -> None:
        self.asked = 0

    def cast(self, version: int, *, evaluating: bool) -> Cast:
        self.asked += 1
        if self.asked == 2:
            raise KeyError("no such version")
        part = Part(broken=self.asked == 3)
        return Cast(recommender=part, seeker=part, judge=part, evaluator=part)

    def spent(self, episode: str) -> Spent:
        return {}, {}


def test_bugs_before_and_in_a_conversation_are_finished_episodes(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"

    async def main() -> LoggedEpisodes:
        async with open_log(path) as log:
            progress = Progress(Console(quiet=True), quiet=True)
            one_by_one = Config(scheduler=Scheduler(max_live_conversations=1))
            session = Session(one_by_one, log, Players(), progress, Stopping(1.0), EpisodeIndex(path))
            return await session.play(session.jobs("before", [scenario(f"s{n}") for n in range(4)], lambda index: 0))

    played = trio.run(main)
    assert list(read_episodes(path)) == list(played)
    assert [episode.ended.stop for episode in played if episode.ended] == ["judge", "error", "error", "judge"]
    failures = [episode.ended.failure for episode in played if episode.ended and episode.ended.failure]
    assert [failure.kind for failure in failures] == ["bug", "bug"]
    assert "no such version" in failures[0].message


def test_an_episode_of_another_person_or_goal_is_not_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_log(tmp_path / "episodes.jsonl") as log:
            progress = Progress(Console(quiet=True), quiet=True)
            finished = EpisodeIndex(tmp_path / "episodes.jsonl")
            session = Session(Config(), log, Players(), progress, Stopping(1.0), finished)
            await session.play(session.jobs("before", [scenario("s0")], lambda index: 0))
            with pytest.raises(InputError, match="episode before-000000 was played with another persona or goal"):
                await session.play(session.jobs("before", [scenario("s1")], lambda index: 0))

    trio.run(main)
