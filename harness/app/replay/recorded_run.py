"""A run directory read back, and its conversations played again through the code that plays them in a run.

The same experts, seeker, judges, lanes and `converse`; only the models answer from the tape (or live, where a caller
says so) and the planner repeats what it was logged to have done. Nothing is written into the run directory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from harness.app.console.progress import CONVERSATIONS, Progress
from harness.app.evaluation.log_check import refuse_another_log
from harness.app.evaluation.protocol import within
from harness.app.identity.manifest import config_of, read_manifest, refuse_other_files
from harness.app.job.summaryfile import read_summary
from harness.app.settings.config import Config
from harness.app.setup.inputs import Inputs, read_inputs
from harness.app.setup.wiring import NetworkPlayers, index_of, open_players
from harness.core.conversation import converse
from harness.core.errors import ExpertError, InputError
from harness.core.log import rundir
from harness.core.log.episode import Episode, build
from harness.core.log.loggedepisodes import EpisodeIndex
from harness.core.log.tape import TAPE, NotRecorded, Recorded
from harness.core.messages import TRAIN, Event, State, Struct
from harness.core.seams import Immediate, Policy, Served

LIVE = 32
"""Conversations at a time: enough for batches, few enough for the memory."""


class RecordedRun(Struct, frozen=True, kw_only=True):
    """What a run directory holds of a run."""

    folder: Path
    config: Config
    inputs: Inputs
    episodes: Sequence[Episode]
    """Finished ones, by phase and index."""

    def episode(self, name: str) -> Episode:
        """One episode by id; `InputError` where there is none."""
        for episode in self.episodes:
            if episode.id == name:
                return episode
        shown = ", ".join(episode.id for episode in self.episodes[:3])
        raise InputError(f"{self.folder} has no finished episode {name!r}; it has {shown}, ...")

    def tape(self) -> Recorded:
        """The recorded model calls; `InputError` where the run has none."""
        return Recorded(self.folder / TAPE)

    def recorded_models(self) -> dict[str, Served]:
        """Every model that the run used, answering from the tape."""
        tape = self.tape()
        return {name: tape.replaying(name) for name in self.config.models_in_use}


def open_recorded_run(folder: Path, phases: Sequence[str] = ()) -> RecordedRun:
    """Read a run directory: its config, its data (which must be unchanged) and its finished episodes.

    ``phases``: only these. `InputError` where something is missing or no episode is left.
    """
    manifest = read_manifest(folder)
    config = config_of(manifest, folder)
    inputs = read_inputs(config)
    refuse_other_files(manifest, inputs.files)
    path = folder / rundir.EPISODES
    episodes = EpisodeIndex(path)
    refuse_another_log(folder, read_summary(folder))
    kept = episodes.of(*phases) if phases else episodes
    if not kept:
        there = ", ".join(sorted(episodes.counts)) or "none"
        raise InputError(f"{folder} has no finished episode to replay (phases with any: {there})")
    return RecordedRun(folder=folder, config=config, inputs=inputs, episodes=kept)


class Unlogged(ExpertError):
    """The planner is asked for a turn that the log does not hold."""

    kind = "unlogged"


class LoggedPolicy(Immediate):
    """A `Policy` that repeats the logged distributions of the episodes under way; `Unlogged` beyond them."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[float, ...]] = {}

    @contextmanager
    def repeating(self, episode: Episode) -> Iterator[None]:
        """Know this episode while the block lasts."""
        known = {
            (episode.id, transition.turn): transition.decision.probabilities
            for transition in episode.transitions
            if transition.decision is not None
        }
        self._known |= known
        try:
            yield
        finally:
            for key in known:
                del self._known[key]

    def distribution(self, state: State) -> tuple[float, ...]:
        try:
            return self._known[state.episode, state.turn]
        except KeyError:
            raise Unlogged(f"the log holds no decision of turn {state.turn} of episode {state.episode}") from None


Outcome = Episode | NotRecorded
"""A conversation played to its end, or the request with which it left the tape."""


async def play_again(
    run: RecordedRun,
    models: Mapping[str, Served],
    progress: Progress,
    seen: Callable[[Episode, Outcome], None],
    *,
    config: Config | None = None,
) -> None:
    """Play every episode of ``run`` again with these models; ``seen`` gets the logged one and what came of it.

    ``config``: the run's own, or one that differs in what is to be changed.
    """
    policy = LoggedPolicy()

    async with with_players(run, models, progress, config=config, policy=policy) as players:

        async def play(episode: Episode) -> None:
            with policy.repeating(episode):
                await _play(run, players, episode, progress, seen)

        progress.begin("replay", len(run.episodes), unit=CONVERSATIONS)
        await for_each(run.episodes, play)


async def _play(
    run: RecordedRun,
    players: NetworkPlayers,
    logged: Episode,
    progress: Progress,
    seen: Callable[[Episode, Outcome], None],
) -> None:
    events: list[Event] = []

    async def record(event: Event) -> None:
        events.append(event)

    started = logged.started
    cast = players.cast(started.policy_version, evaluating=started.phase != TRAIN)
    try:
        await converse(
            started,
            cast,
            threshold=run.config.reward.threshold,
            record=record,
            spent=players.spent,
            within=within(run.config, started.phase),
        )
        outcome: Outcome = build(events)
    except NotRecorded as departure:
        outcome = departure
        players.spent(logged.id)
    progress.ended(None, isinstance(outcome, NotRecorded))
    seen(logged, outcome)


@asynccontextmanager
async def with_players(
    run: RecordedRun,
    models: Mapping[str, Served],
    progress: Progress,
    *,
    config: Config | None = None,
    policy: Policy | None = None,
) -> AsyncIterator[NetworkPlayers]:
    """The run's players with other models and planner behind them (without one, where only judges are asked)."""
    progress.begin("reading the films", len(run.inputs.graph.items), unit="films")
    index = await trio.to_thread.run_sync(index_of, run.config, run.inputs, progress.advance)
    acting = policy or LoggedPolicy()
    async with open_players(
        config or run.config, run.inputs, models, lambda version: acting, index, progress
    ) as players:
        yield players


async def for_each(episodes: Iterable[Episode], act: Callable[[Episode], Awaitable[None]]) -> None:
    """``act`` on every episode, `LIVE` at a time; those that wait are not read yet."""
    slots = trio.Semaphore(LIVE)

    async def one(episode: Episode) -> None:
        try:
            await act(episode)
        finally:
            slots.release()

    async with trio.open_nursery() as nursery:
        for episode in episodes:
            await slots.acquire()
            nursery.start_soon(one, episode)
