"""Training the planner of one seed: the main job's own warm-up and RL (`job.training`), without evaluations.

One training serves all systems whose experiments agree: the warm-up-only system takes its version 0, the full system
and the ablations its last version. It lives in a directory of its own and goes on where it was stopped, as a run does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import trio

from harness.app.comparison.plan import Stage, Training
from harness.app.comparison.specs import at, keep_spec
from harness.app.comparison.workshop import Workshop
from harness.app.console.progress import Progress
from harness.app.job.metricsfile import MetricsFile
from harness.app.job.session import Session
from harness.app.job.training import UNTRAINED, WARMED_UP
from harness.app.job.training import Training as Trainer
from harness.app.setup.wiring import fixed_planner_of, open_models, open_players
from harness.core.errors import InputError
from harness.core.log import rundir
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import EpisodeIndex
from harness.core.messages import TRAIN
from harness.core.scheduler import Stopping
from learner.checkpoint import checkpoint_name, newest_checkpoint
from learner.versions import PolicyVersions

SPEC = "training.json"


async def train(
    training: Training,
    directory: Path,
    *,
    workshop: Workshop,
    base_urls: Mapping[str, str],
    progress: Progress,
    stopping: Stopping,
    accept_changes: bool = False,
) -> None:
    """Bring a training to its end; returns at once where it is there already. Raises as a run does.

    ``accept_changes``: texts may differ from those that it was begun with.
    """
    config = at(training.config, base_urls)
    inputs = await trio.to_thread.run_sync(workshop.inputs, config)
    for said in keep_spec(directory, SPEC, training, inputs.files, accept_changes=accept_changes):
        progress.say(f"{training.name}: {said}")
    checkpoints = directory / rundir.CHECKPOINTS
    updates = -(-config.training_episodes // config.rl.batch_episodes)
    wanted = updates if training.reinforced else WARMED_UP
    if (checkpoints / checkpoint_name(wanted)).exists():
        return
    planner = await trio.to_thread.run_sync(workshop.planner, config, inputs)
    index = await trio.to_thread.run_sync(workshop.index, config, inputs, progress.advance)
    versions = PolicyVersions(lag=config.rl.policy_lag)
    versions.publish(UNTRAINED, fixed_planner_of(config, inputs))
    log_path = directory / rundir.EPISODES
    finished = EpisodeIndex(log_path)
    with MetricsFile(directory) as metrics:
        async with (
            open_models(config, inputs, directory, progress) as models,
            open_players(config, inputs, models, versions.at, index, progress) as players,
            open_log(log_path) as events,
        ):
            session = Session(config, events, players, progress, stopping, finished)
            trainer = Trainer(session, planner, versions, checkpoints, metrics)
            await trainer.warm_up(inputs.dialogues)
            if training.reinforced and trainer.updates:
                await trainer.reinforce(inputs.training)
                session.outcomes.check({TRAIN: config.training_episodes}, config.scheduler.fail_on_error)


def checkpoint_of(directory: Path, stage: Stage) -> Path:
    """The checkpoint that a stage acts with; `InputError` where it is not there.

    ``directory``: a training's, or any checkpoint folder (``init``), which serves every stage.
    """
    checkpoints = directory / rundir.CHECKPOINTS
    if not checkpoints.is_dir():
        if not directory.is_dir():
            raise InputError(f"there is no trained planner {directory}")
        return directory
    found = newest_checkpoint(checkpoints, at_most=WARMED_UP if stage == "warmup" else None)
    if found is None:
        raise InputError(f"{checkpoints} holds no checkpoint of the {stage} stage")
    return found
