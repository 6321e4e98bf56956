"""`resume --retry-failed`: which finished episodes are played again, and what the log's earlier state left behind.

A failed training episode was a part of its update, and all later versions of the planner come from that update. To play
it again, everything that depends on it is withdrawn too: the training episodes that acted with a later version, and the
evaluation after RL. The log that is left is that of a run in which nothing failed, so the finished run is what it would
have been without the failures.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.app.job.metricsfile import keep_metrics
from harness.app.job.outcomes import lost
from harness.app.job.session import episode_id
from harness.app.settings.config import Config
from harness.core.log import rundir
from harness.core.log.episode import Episode
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import EpisodeIndex, LoggedEpisodes
from harness.core.messages import TRAIN, Withdrawn
from learner.checkpoint import checkpoint_name, newest_checkpoint
from learner.updates import due
from learner.versions import acting_version


def to_play_again(episodes: Iterable[Episode], config: Config) -> tuple[str, ...]:
    """Ids of the episodes that failed or could not be scored, and of those that rest on them, in the given order."""
    # Only what is needed of each: a long run's episodes do not fit into memory.
    played = [(e.started.episode, e.started.phase, e.started.index, bool(lost(e))) for e in episodes]
    trained = [index for _, phase, index, failed in played if failed and phase == TRAIN]
    if not trained:
        return tuple(name for name, _, _, failed in played if failed)
    batch, lag = config.rl.batch_episodes, config.rl.policy_lag
    update = min(trained) // batch
    """The first that has to be made again; versions above its number come from it."""

    def rests_on_it(phase: str, index: int) -> bool:
        return phase == "rl" or (phase == TRAIN and acting_version(index, batch, lag) > update)

    return tuple(name for name, phase, index, failed in played if failed or rests_on_it(phase, index))


async def withdraw_failed(log: Path, config: Config) -> int:
    """Withdraw from a log that nobody writes what is `to_play_again`; returns how many episodes that are."""
    again = to_play_again(EpisodeIndex(log), config)
    if again:
        async with open_log(log) as events:
            await events.append(Withdrawn(episodes=again))
    return len(again)


def keep_what_the_log_covers(folder: Path, finished: LoggedEpisodes, wanted: Mapping[str, int], config: Config) -> int:
    """Set checkpoints aside and drop metrics of updates and evaluations whose episodes the log does not hold .

    They are functions of the log: old ones would be mistaken for the new ones. Done before every sitting, so that a
    crash after a withdrawal does no harm. A checkpoint is never deleted: a real model's replies, and with them its
    weights, do not come back the same.

    Returns:
        How many checkpoints were set aside.
    """
    counts = finished.counts
    made = updates_of({at for at in range(config.training_episodes) if finished.has(episode_id(TRAIN, at))}, config)
    aside = 0
    while (newest := newest_checkpoint(folder / rundir.CHECKPOINTS)) and newest.name > checkpoint_name(made):
        newest.rename(_free_name(newest))
        aside += 1

    def stands(line: Mapping[str, object]) -> bool:
        if line.get("type") == "update":
            version = line.get("version")
            return isinstance(version, int) and version <= made
        name = line.get("name")
        return line.get("type") != "evaluation" or (isinstance(name, str) and counts.get(name) == wanted.get(name))

    keep_metrics(folder, stands)
    return aside


def _free_name(checkpoint: Path) -> Path:
    names = (checkpoint.with_name(f"{checkpoint.name}.set-aside-{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def updates_of(trained: set[int], config: Config) -> int:
    """Updates whose training episodes, by index, are all finished, and those of all updates before."""
    update = 0
    while (wanted := due(update, config.rl.batch_episodes, config.training_episodes)) and trained.issuperset(wanted):
        update += 1
    return update
