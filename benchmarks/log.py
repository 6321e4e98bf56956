"""The event log: records a second with group fsync, and how fast a log is read and played again.

Writing: 256 tasks append the events of a real run (the scripted world's, over and over) as conversations do, each
waiting for its episode's end to be durable. Replay: one run of the scripted world is played, then its log is read back
and every episode is played again from the tape (``replay --verify``).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio
from rich.console import Console

from benchmarks.measure import Bench, Goal, Result, main, median, spread
from benchmarks.pipeline import ROOT
from harness.app.commands.run import run as play_run
from harness.app.console.progress import Progress
from harness.app.replay.recorded_run import open_recorded_run
from harness.app.replay.verify import verified
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import read_episodes, read_events
from harness.core.log.rundir import EPISODES
from harness.core.messages import Event, Withdrawn

_WRITERS = 256


def run(bench: Bench) -> Result:
    """A run of 3 x 30 + 32 episodes (of 3 x 2 + 4 where tiny) and its log."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        held_out, episodes = (2, 4) if bench.tiny else (30, 32)
        changes = [
            "planner.kind=tabular",
            f"evaluation.dialogues={held_out}",
            f"rl.dialogues_per_epoch={episodes}",
            "scheduler.max_live_conversations=64",
        ]
        quiet = Console(quiet=True)
        play_run(ROOT / "experiments" / "tiny.toml", folder, changes, quiet, quiet=True)
        events = list(read_events(folder / EPISODES))
        writers, repeats = (8, 2) if bench.tiny else (_WRITERS, 8)
        rates, fsyncs = [], []
        for number in range(bench.rounds()):
            rate, per_episode = _written(Path(name) / f"log-{number}", events, writers, repeats)
            rates.append(rate)
            fsyncs.append(per_episode)
        reads = [_rate(lambda: len(read_episodes(folder / EPISODES))) for _ in range(bench.rounds())]
        again: list[float] = []
        for _ in range(bench.rounds(2)):
            started = time.perf_counter()
            found = verified(open_recorded_run(folder, ()), Progress(quiet, quiet=True))
            again.append(found.episodes / (time.perf_counter() - started))
            if found.divergences:
                raise RuntimeError(f"{len(found.divergences)} episodes differ from their log")
    lines = f"{len(events):,} events of {found.episodes} episodes, {found.turns} turns"
    return Result(
        name="log",
        title="Event log",
        columns=("what", "figure"),
        rows=(
            (f"records/s durable, {writers} writers", spread(rates, 0)),
            ("fsyncs an episode", spread(fsyncs, 3)),
            ("episodes/s read", spread(reads, 0)),
            ("episodes/s played again from the tape", spread(again, 0)),
        ),
        goals=(
            Goal(what="records/s durable", figure=median(rates), bound=5_000, kind="at least"),
            Goal(what="episodes/s played again", figure=median(again), bound=50, kind="at least"),
        ),
        notes=(f"The log that was read: {lines}.",),
        limit="one local disk; with few conversations each end waits for an fsync of its own.",
        seconds=time.perf_counter() - began,
    )


def _rate(work: object) -> float:
    assert callable(work)
    began = time.perf_counter()
    return float(work()) / (time.perf_counter() - began)


def _written(path: Path, events: Sequence[Event], writers: int, repeats: int) -> tuple[float, float]:
    """(records/s, fsyncs an episode); each writer appends whole episodes under names of its own."""
    by_episode: dict[str, list[Event]] = {}
    for event in events:
        assert not isinstance(event, Withdrawn)  # a benchmark's run withdraws nothing
        by_episode.setdefault(event.episode, []).append(event)
    episodes = list(by_episode.values())

    async def main() -> tuple[float, float]:
        async with open_log(path) as log:

            async def write(number: int) -> None:
                for repeat in range(repeats):
                    for event in episodes[(number + repeat) % len(episodes)]:
                        await log.append(msgspec.structs.replace(event, episode=f"e{number}-{repeat}"))

            began = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for number in range(writers):
                    nursery.start_soon(write, number)
            return log.events / (time.perf_counter() - began), log.fsyncs / (writers * repeats)

    return trio.run(main)


if __name__ == "__main__":
    main(run)
