"""What the phases of one run share: the log, the players, the count of what was spent, and playing a phase.

A phase is a list of scenarios. Those that the log already holds finished are not played again, and `resume` needs
nothing else. Every recorded event passes through `Session.record`: to the log, to the progress line and to the budget,
in this order. Finished episodes are not kept: what was played is read from the log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

import trio

from harness.app.console.progress import CONVERSATIONS, Progress
from harness.app.evaluation.metrics import first_return
from harness.app.evaluation.protocol import turn_limit, within
from harness.app.job.outcomes import Outcomes
from harness.app.job.watch import Watch
from harness.app.settings.config import Config
from harness.app.setup.inputs import episode_seed
from harness.core.conversation import Cast, Spent, converse
from harness.core.errors import InputError, Interrupted, RunFailed, RunStopped
from harness.core.log.episode import Assembler, Episode
from harness.core.log.eventlog import EventLog
from harness.core.log.loggedepisodes import EpisodeIndex, LoggedEpisodes
from harness.core.messages import (
    TRAIN,
    EpisodeEnded,
    EpisodeStarted,
    Event,
    Failure,
    Scenario,
    Transition,
    Usage,
    Withdrawn,
)
from harness.core.scheduler import Stopping, Tally, run_conversations


class Players(Protocol):
    """The experts at work, as wiring built them."""

    def cast(self, version: int, *, evaluating: bool) -> Cast:
        """Who plays in a conversation that acts with this policy version."""
        ...

    def spent(self, episode: str) -> Spent:
        """Usage and seconds by role since it was last asked."""
        ...


class Session:
    """One run at work."""

    def __init__(
        self,
        config: Config,
        log: EventLog,
        players: Players,
        progress: Progress,
        stopping: Stopping,
        finished: EpisodeIndex,
    ) -> None:
        """``finished``: those of the log that ``log`` writes."""
        self.config = config
        self.log = log
        self.players = players
        self.progress = progress
        self.stopping = stopping
        self.finished = finished
        """As of the end of the last phase."""
        self.outcomes = Outcomes(finished)
        """Of the whole run, earlier sittings included."""
        self.turns = 0
        """Played in this sitting."""
        self._assembler = Assembler()
        self._finished: trio.MemorySendChannel[Episode] | None = None
        self._watch = Watch(progress.say, config.reward.mass_floor)
        self._budget = _Budget(config, finished)
        self._sitting = Tally("of this sitting")

    def jobs(self, phase: str, scenarios: Sequence[Scenario], version_of: Callable[[int], int]) -> list[EpisodeStarted]:
        """One job a scenario."""
        return [
            EpisodeStarted(
                episode=episode_id(phase, index),
                phase=phase,
                index=index,
                policy_version=version_of(index),
                scenario=scenario,
                seed=episode_seed(self.config, scenario),
                max_turns=turn_limit(self.config, phase),
            )
            for index, scenario in enumerate(scenarios)
        ]

    async def play(
        self,
        jobs: Sequence[EpisodeStarted],
        *,
        admit: Callable[[EpisodeStarted], Awaitable[None]] | None = None,
        learned_from: trio.MemorySendChannel[Episode] | None = None,
    ) -> LoggedEpisodes:
        """Play the jobs that are not finished yet; returns all of them finished, in order.

        Args:
            jobs: of one phase.
            admit: waits until a job may begin.
            learned_from: gets each episode that is played here, once it is durable.

        Raises `Interrupted` where a stop was requested before all were played, `RunFailed` where too many failed or
        none could be scored.
        """
        _refuse_other_scenarios(jobs, self.finished)
        waiting = [job for job in jobs if not self.finished.has(job.episode)]
        self.progress.begin(jobs[0].phase, len(jobs), len(jobs) - len(waiting), unit=CONVERSATIONS)
        tally = Tally(f"in phase {jobs[0].phase}")

        async def play(job: EpisodeStarted) -> EpisodeEnded:
            cast = self.players.cast(job.policy_version, evaluating=job.phase != TRAIN)
            self.progress.live = tally.live
            return await converse(
                job,
                cast,
                threshold=self.config.reward.threshold,
                record=self.record,
                spent=self.players.spent,
                within=within(self.config, job.phase),
            )

        async def failed(job: EpisodeStarted, failure: Failure) -> None:
            if not self._assembler.is_open(job.episode):
                await self.record(job)  # it raised before its first event: an end without a start cannot be read
            usage, timing = self.players.spent(job.episode)
            await self.record(
                EpisodeEnded(episode=job.episode, stop="error", turns=0, failure=failure, usage=usage, timing=timing)
            )

        self._finished = learned_from
        await run_conversations(
            waiting,
            play,
            max_live=self.config.scheduler.max_live_conversations,
            stopping=self.stopping,
            tallies=(tally, self._sitting),
            fail_on_error=self.config.scheduler.fail_on_error,
            failed=failed,
            admit=admit,
        )
        await trio.to_thread.run_sync(self.finished.refresh)
        if any(not self.finished.has(job.episode) for job in jobs):
            raise Interrupted("interrupted")
        if reason := self.outcomes.unscored(jobs[0].phase):
            raise RunFailed(reason)
        return self.finished.only(job.episode for job in jobs)

    async def record(self, event: Event) -> None:
        """Make an event part of the run; for an episode's end, return when it is durable."""
        self._budget.count(event)
        await self.log.append(event)
        episode = self._assembler.add(event)
        self.progress.saw(event)
        if isinstance(event, Transition):
            self.turns += 1
            self.progress.turn()
        if episode is not None:
            self.outcomes.add(episode)
            gained = None if episode.failed else first_return(episode, self.config.rl.gamma, "literal")
            self.progress.ended(gained, episode.failed)
            if self._finished is not None:
                await self._finished.send(episode)
        self._watch.saw(event)
        self._budget.check()

    def spend(self, usage: Mapping[str, Usage]) -> None:
        """Count what was asked beside the dialogues; `RunStopped` where a budget is spent."""
        self._budget.add(usage)
        self._budget.check()


def episode_id(phase: str, index: int) -> str:
    """``before-000012``."""
    return f"{phase}-{index:06d}"


def _refuse_other_scenarios(jobs: Sequence[EpisodeStarted], finished: LoggedEpisodes) -> None:
    """`InputError` where a finished episode is of another person or goal than its job: two samples would be mixed."""
    wanted = {job.episode: job.scenario for job in jobs if finished.has(job.episode)}
    for known in finished.only(wanted):
        if known.started.scenario != wanted[known.id]:
            raise InputError(
                f"episode {known.id} was played with another persona or goal than these settings and this version "
                "give: the run cannot go on; begin a new one"
            )


class _Budget:
    """Calls, tokens and seconds that may be spent; what a resumed run spent before counts too, but for the time."""

    def __init__(self, config: Config, finished: Iterable[Episode]) -> None:
        self._limits = config.budget
        self._calls = self._tokens = 0
        self._since = trio.current_time()
        for episode in finished:
            for event in episode.events:
                self.count(event)

    def count(self, event: Event) -> None:
        if not isinstance(event, EpisodeStarted | Withdrawn):
            self.add(event.usage)

    def add(self, by_role: Mapping[str, Usage]) -> None:
        for usage in by_role.values():
            self._calls += usage.calls
            self._tokens += usage.prompt_tokens + usage.completion_tokens

    def check(self) -> None:
        spent = {"calls": self._calls, "tokens": self._tokens, "seconds": trio.current_time() - self._since}
        for name, amount in spent.items():
            limit = getattr(self._limits, name)
            if limit and amount >= limit:
                raise RunStopped(f"budget.{name} = {limit:g} is reached; resume with a larger budget to go on")
