"""One cell: a system, a model, a dataset, a seed; a function of its order alone, wherever it is played.

A cell's directory holds ``cell.json``, the event log of its dialogues, the evaluator's readings (`readings.jsonl`, one
line a dialogue) and, once it is finished, ``result.json``. What is there is not played or asked again.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio
from rich.console import Console

from harness.app.console.logs import logging_to
from harness.app.console.progress import Progress
from harness.app.evaluation.answers import EXTRA
from harness.app.grid.cell import begin_cell, write_result
from harness.app.grid.comparison.measures import SystemResult, measure_cell
from harness.app.grid.comparison.plan import SystemCell
from harness.app.grid.comparison.planners import checkpoint_of
from harness.app.grid.orders import Order
from harness.app.job.again import withdraw_failed
from harness.app.job.examination import examine, examiner_of
from harness.app.job.outcomes import Outcomes
from harness.app.job.session import Session
from harness.app.job.stoppable import run_stoppable
from harness.app.settings.config import Config
from harness.app.setup.inputs import Inputs, pool_digest, read_inputs
from harness.app.setup.servers import at
from harness.app.setup.trained import TRAINED
from harness.app.setup.wiring import (
    fixed_planner_of,
    index_of,
    open_models,
    open_players,
    planner_of,
    secrets_of,
)
from harness.core.log import rundir
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import EpisodeIndex
from harness.core.scheduler import Stopping
from harness.core.seams import Policy
from learner.checkpoint import load_checkpoint

PHASE = "eval"
TRAININGS = "trainings"
RSO_ITSELF = ""
"""No baseline takes the network's place."""


def play(order: Order) -> None:
    """Play and read what is not finished of the cell's scenarios, and measure them."""
    cell, directory = msgspec.convert(order.cell, SystemCell), Path(order.directory)
    config = cell.resolved()
    inputs = read_inputs(config)
    begin_cell(directory, cell, inputs.files)
    progress = Progress(Console(), quiet=True)
    with rundir.locked(directory), logging_to(directory / rundir.LOGS / "harness.jsonl", secrets_of(config)):
        result = run_stoppable(
            lambda stopping: _at_work(cell, at(config, order.base_urls), inputs, order, progress, stopping),
            progress,
            config.scheduler.drain_s,
        )
        write_result(directory, result)


async def _at_work(
    cell: SystemCell, config: Config, inputs: Inputs, order: Order, progress: Progress, stopping: Stopping
) -> SystemResult:
    directory = Path(order.directory)
    scenarios = inputs.held_out[: order.limit]
    policy = await trio.to_thread.run_sync(_policy, cell, config, inputs, directory)
    index = await trio.to_thread.run_sync(index_of, config, inputs, progress.advance)
    log_path = directory / rundir.EPISODES
    finished = EpisodeIndex(log_path)
    if Outcomes(finished).verdict({PHASE: len(scenarios)}, config.scheduler.fail_on_error):
        await withdraw_failed(log_path, config)
        finished = EpisodeIndex(log_path)
    baseline = RSO_ITSELF if cell.kind == "rso" else cell.kind
    trained = directory.parent.parent / TRAININGS / cell.planner if cell.kind in TRAINED else None
    async with (
        open_models(config, inputs, directory, progress) as models,
        open_players(
            config, inputs, models, lambda version: policy, index, progress, baseline=baseline, trained=trained
        ) as players,
        open_log(log_path) as events,
    ):
        session = Session(config, events, players, progress, stopping, finished)
        episodes = await session.play(session.jobs(PHASE, scenarios, lambda index: 0))
        session.outcomes.check({PHASE: len(scenarios)}, config.scheduler.fail_on_error)
        examiner = await examiner_of(config, models, inputs.graph, players.ledger)
        readings = await examine(session, directory, episodes, examiner, EXTRA)
    pool = pool_digest(inputs.held_out)
    return measure_cell(cell, config, inputs.graph, inputs.popular, episodes, readings, pool)


def _policy(cell: SystemCell, config: Config, inputs: Inputs, directory: Path) -> Policy:
    planner = planner_of(config, inputs.strategies) if cell.planner and cell.kind not in TRAINED else None
    if planner is None:
        return fixed_planner_of(config, inputs)
    # A training's name is looked up beside the cells; a path stands for itself.
    source = directory.parent.parent / TRAININGS / cell.planner
    load_checkpoint(checkpoint_of(source, cell.stage)).restore(planner)
    return planner
