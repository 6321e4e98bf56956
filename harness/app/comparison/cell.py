"""One cell: a system, a model, a dataset, a seed; a function of (config, directory) -> result.

Nothing outside of the two is needed or changed, so that another engine can play cells elsewhere. What may be handed in
beside them only saves time: running servers (by model name) and a workshop of remembered pure functions. A cell's
directory holds ``cell.json``, the event log of its dialogues, the evaluator's readings (`readings.jsonl`, one line a
dialogue) and, once it is finished, ``result.json``. What is there is not played or asked again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import trio
from rich.console import Console

from harness.app.comparison.measures import CellResult, measure_cell
from harness.app.comparison.plan import Cell
from harness.app.comparison.planners import checkpoint_of
from harness.app.comparison.specs import at, keep_spec
from harness.app.comparison.workshop import Workshop
from harness.app.console.progress import CONVERSATIONS, Progress
from harness.app.evaluation.examiner import Examiner, Reading
from harness.app.evaluation.pools import refuse_other_pools
from harness.app.job.session import Session
from harness.app.settings.config import Config
from harness.app.setup.inputs import Inputs, pool_digest
from harness.app.setup.wiring import NetworkPlayers, fixed_planner_of, open_models, open_players
from harness.core.errors import DataError, Interrupted
from harness.core.log import rundir
from harness.core.log.checkedlines import repair
from harness.core.log.episode import Episode
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import EpisodeIndex
from harness.core.scheduler import Stopping
from harness.core.seams import Policy
from learner.checkpoint import load_checkpoint

SPEC, READINGS, RESULT = "cell.json", "readings.jsonl", "result.json"
PHASE = "eval"
TRAININGS = "trainings"
RSO_ITSELF = ""
"""No baseline takes the network's place."""


async def run_cell(
    cell: Cell,
    directory: Path,
    *,
    limit: int | None = None,
    workshop: Workshop | None = None,
    base_urls: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    stopping: Stopping | None = None,
    accept_changes: bool = False,
) -> CellResult:
    """Play the first ``limit`` scenarios (all, if None) that are not finished, read them, measure them.

    ``base_urls``: model name -> server that runs already; the others are started here and end with the cell.
    ``accept_changes``: texts may differ from those that the directory was begun with. Raises what a run raises
    (`RunStopped`, `InputError`, `Interrupted`); what was finished by then is kept.
    """
    workshop = workshop or Workshop()
    progress = progress or Progress(Console(), quiet=True)
    config = at(cell.config, base_urls or {})
    inputs = await trio.to_thread.run_sync(workshop.inputs, config)
    for said in keep_spec(directory, SPEC, cell, inputs.files, accept_changes=accept_changes):
        progress.say(f"{cell.name}: {said}")
    scenarios = inputs.held_out[:limit]
    known = read_result(directory)
    pool = pool_digest(inputs.held_out)
    if known is not None and set(known.scenarios) == {scenario.id for scenario in scenarios}:
        refuse_other_pools({f"the finished {directory.name}": known.pool, "what this version would play": pool})
        return known
    policy = await trio.to_thread.run_sync(_policy, cell, config, inputs, directory, workshop)
    index = await trio.to_thread.run_sync(workshop.index, config, inputs, progress.advance)
    log_path = directory / rundir.EPISODES
    finished = EpisodeIndex(log_path)
    baseline = RSO_ITSELF if cell.kind == "rso" else cell.kind
    async with (
        open_models(config, inputs, directory, progress) as models,
        open_players(
            config,
            inputs,
            models,
            lambda version: policy,
            index,
            progress,
            baseline=baseline,
        ) as players,
        open_log(log_path) as events,
    ):
        session = Session(config, events, players, progress, stopping or Stopping(config.scheduler.drain_s), finished)
        episodes = await session.play(session.jobs(PHASE, scenarios, lambda index: 0))
        session.outcomes.check({PHASE: len(scenarios)}, config.scheduler.fail_on_error)
        examiner = Examiner(
            players.ledger.metered(models[config.roles.evaluator]),
            inputs.graph,
            labels=(await models[config.roles.evaluator].capabilities()).label_logprobs,
            samples=config.reward.samples,
            quorum=config.reward.quorum,
            mass_floor=config.reward.mass_floor,
            memory=workshop.intentions,
        )
        readings = await _readings(episodes, examiner, players, directory, config, session)
    result = measure_cell(cell, config, inputs.graph, popular(inputs), episodes, readings, pool)
    rundir.write_atomically(directory / RESULT, msgspec.json.format(msgspec.json.encode(result), indent=1))
    return result


def popular(inputs: Inputs) -> tuple[str, ...]:
    """Items by how many of the human dialogues speak of them, most first; equals in graph order."""
    counts = Counter(inputs.graph.find(name) for dialogue in inputs.dialogues for name in dialogue.mentions)
    return tuple(sorted((item.id for item in inputs.graph.items), key=lambda item: -counts[item]))


def read_result(directory: Path) -> CellResult | None:
    """A finished cell's result, None where there is none yet."""
    return rundir.read_if_there(directory / RESULT, CellResult, "a cell's result")


def read_readings(path: Path) -> dict[str, Reading]:
    """Episode id -> the evaluator's answers; a torn last line is left out."""
    if not path.exists():
        return {}
    repair(path)
    try:
        lines = [msgspec.json.decode(line, type=Reading) for line in path.read_bytes().split(b"\n")[:-1]]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} holds a line that is no reading: {error}") from None
    return {reading.episode: reading for reading in lines}


def _policy(cell: Cell, config: Config, inputs: Inputs, directory: Path, workshop: Workshop) -> Policy:
    if not cell.planner:
        return fixed_planner_of(config, inputs)
    planner = workshop.planner(config, inputs)
    # A training's name is looked up beside the cells; a path stands for itself.
    source = directory.parent.parent / TRAININGS / cell.planner
    load_checkpoint(checkpoint_of(source, cell.stage)).restore(planner)
    return planner


async def _readings(
    episodes: Sequence[Episode],
    examiner: Examiner,
    players: NetworkPlayers,
    directory: Path,
    config: Config,
    session: Session,
) -> dict[str, Reading]:
    path = directory / READINGS
    known = read_readings(path)
    waiting = [e for e in episodes if e.id not in known and e.ended is not None and e.ended.stop != "error"]
    session.progress.begin(
        f"{directory.name}: examining", len(episodes), len(episodes) - len(waiting), unit=CONVERSATIONS
    )
    slots = trio.Semaphore(config.scheduler.max_live_conversations)

    async def read(episode: Episode, keep: Callable[[bytes], object]) -> None:
        async with slots:
            reading = await examiner.read(episode)
        usage, _ = players.spent(episode.id)
        reading = msgspec.structs.replace(reading, usage=usage)
        keep(msgspec.json.encode(reading) + b"\n")
        known[episode.id] = reading
        session.progress.ended(None, failed=False)

    with path.open("ab", buffering=0) as file:
        async with trio.open_nursery() as nursery:
            for episode in waiting:
                nursery.start_soon(read, episode, file.write)
    if session.stopping.requested:
        raise Interrupted
    return known
