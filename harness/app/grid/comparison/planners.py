"""Training the planner of one seed: the main job without its evaluations.

One training serves all systems whose experiments agree: the warm-up-only system takes its version 0, the full system
and the ablations its last version. Its directory is a run's and goes on where it was stopped.
"""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
from rich.console import Console

from harness.app.grid.comparison.plan import Stage, Training
from harness.app.grid.orders import Order
from harness.app.job.main_job import Extent, begin_or_go_on
from harness.app.job.summary import did_not_count
from harness.app.job.training import WARMED_UP
from harness.app.setup.sources import read_graph
from harness.app.setup.trained import corpus_of, train
from harness.core.errors import InputError
from harness.core.log import rundir
from learner.checkpoint import checkpoint_name, newest_checkpoint
from learner.crs.store import is_saved


def play(order: Order) -> None:
    """Bring a training to its end."""
    training = msgspec.convert(order.cell, Training)
    if training.crs:
        config = training.resolved()
        train(config, training.crs, corpus_of(config, read_graph(config)), Path(order.directory))
        return
    extent = Extent(limit=0, reinforced=training.reinforced, base_urls=order.base_urls)
    silent = Console(file=io.StringIO())
    folder = Path(order.directory)
    retry = did_not_count(folder)
    begin_or_go_on(training.resolved(), folder, silent, quiet=True, retry_failed=retry, extent=extent)


def trained(training: Training, directory: Path) -> bool:
    """Whether the training's last checkpoint is there."""
    if training.crs:
        return is_saved(directory)
    config = training.resolved()
    updates = -(-config.training_episodes // config.rl.batch_episodes)
    last = updates if training.reinforced else WARMED_UP
    return (directory / rundir.CHECKPOINTS / checkpoint_name(last)).exists()


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
