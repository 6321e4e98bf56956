"""`run` and `resume`: the main job. Before, warm-up, after warm-up, RL, after RL; on the same held-out goals.

The story is `_phases`, read downwards; everything around it is opening and closing. The summary is made from the log
alone, so a run that stopped early has one too, marked as incomplete.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog
import trio
from rich.console import Console
from rich.text import Text

from harness.app.estimate import estimate
from harness.app.estimate import table as estimate_table
from harness.app.evaluation.cautions import cautions_of
from harness.app.evaluation.in_force import decisions_of, world_of
from harness.app.evaluation.metrics import Measure, headline
from harness.app.evaluation.serving import ServingReport, serving_table, serving_watched
from harness.app.evaluation.summary import Summary, differences, summarize_phase, table, tokens_by_role
from harness.app.inputs import Inputs, read_inputs
from harness.app.logs import logging_to
from harness.app.manifest import (
    Manifest,
    config_of,
    encode,
    manifest_of,
    read_manifest,
    refuse_changes,
    refuse_other_files,
)
from harness.app.metricsfile import MetricsFile
from harness.app.progress import Progress
from harness.app.session import Session
from harness.app.training import UNTRAINED, WARMED_UP, Training
from harness.app.wiring import (
    check_models,
    fixed_planner_of,
    index_of,
    open_models,
    open_players,
    planner_of,
    secrets_of,
)
from harness.core import rundir
from harness.core.config import Config, Phase
from harness.core.configfile import config_from_tree, load_config, overridden
from harness.core.errors import HarnessError, Interrupted
from harness.core.eventlog import open_log, read_episodes, run_digest
from harness.core.scheduler import Stopping
from harness.core.tape import TAPE, open_tape
from learner.checkpoint import load_checkpoint
from learner.policy import TrainablePolicy
from learner.versions import PolicyVersions

log = structlog.get_logger()


def dry_run(file: Path, overrides: list[str], console: Console) -> None:
    """Print the resolved config and what the run would ask of its models; calls none."""
    config = load_config(file, overrides)
    inputs = read_inputs(config)
    if config.planner.init:
        load_checkpoint(Path(config.planner.init))  # the encoder is not loaded: it may be on the machine that will run
    console.print(Text(msgspec.json.format(msgspec.json.encode(config), indent=2).decode()), soft_wrap=True)
    console.print(Text(f"config digest {config.digest}"), soft_wrap=True)
    expected = estimate(config, inputs)
    console.print(Text("episodes: " + ", ".join(f"{name} {count}" for name, count in expected.phases.items())))
    console.print(estimate_table(expected))


def run(file: Path, run_dir: Path | None, overrides: list[str], console: Console, *, quiet: bool) -> Summary:
    """The main job in a new run directory."""
    config = load_config(file, overrides)
    folder = run_dir or Path(config.run.directory) / rundir.default_name(config.run.name)
    rundir.refuse_existing(folder)
    return begin_or_go_on(config, folder, console, quiet=quiet)


def resume(folder: Path, file: Path | None, overrides: list[str], console: Console, *, quiet: bool) -> Summary:
    """Go on with a run; only keys that no result depends on may differ."""
    manifest = read_manifest(folder)
    wanted = load_config(file, overrides) if file else config_from_tree(overridden(manifest.config, overrides))
    return _go_on(wanted, manifest, folder, console, quiet=quiet)


def begin_or_go_on(config: Config, folder: Path, console: Console, *, quiet: bool) -> Summary:
    """The main job in a directory that may hold a part of it, or all; one that was begun with other settings is
    refused."""
    if folder.exists():
        return _go_on(config, read_manifest(folder), folder, console, quiet=quiet)
    inputs = read_inputs(config)
    _check_start(config, inputs)
    rundir.create(folder, encode(manifest_of(config, inputs.files)))
    return _execute(config, inputs, folder, console, quiet=quiet)


def _go_on(wanted: Config, manifest: Manifest, folder: Path, console: Console, *, quiet: bool) -> Summary:
    refuse_changes(config_of(manifest, folder), wanted)
    inputs = read_inputs(wanted)
    refuse_other_files(manifest, inputs.files)
    known = _summary_of(folder)
    if known is not None and known.complete:
        progress = Progress(console, quiet=quiet)
        progress.say(f"the run is complete: nothing is left to play in {folder}")
        _show(known, console)
        return known
    return _execute(wanted, inputs, folder, console, quiet=quiet)


def _check_start(config: Config, inputs: Inputs) -> None:
    """What can be known to fail before a run directory is made."""
    check_models(config)
    planner = planner_of(config, inputs.strategies)
    if planner is not None and config.planner.init:
        load_checkpoint(Path(config.planner.init)).restore(planner)


def _execute(config: Config, inputs: Inputs, folder: Path, console: Console, *, quiet: bool) -> Summary:
    began = time.monotonic()
    known = _summary_of(folder)
    spent_before = known.seconds if known else 0.0
    progress = Progress(console, quiet=quiet)
    how_to_go_on = f"python -m harness resume {folder}"
    with rundir.locked(folder), logging_to(folder / rundir.LOGS / "harness.jsonl", secrets_of(config)):
        for note in inputs.notes:
            progress.say(note)
        progress.say(f"run directory: {folder}")
        serving: dict[str, ServingReport] = {}
        try:
            trio.run(_main, config, inputs, folder, progress, serving)
        except BaseException as error:
            with suppress(OSError, HarnessError):  # a full disk must not hide why the run ended
                log.error("run_ended_early", error=repr(error))
                summary = _summarize(config, inputs, folder, spent_before + time.monotonic() - began, serving)
                if summary.phases:
                    _show(summary, console)
            Console(stderr=True).print(Text(f"stopped before the end; to go on: {how_to_go_on}"), soft_wrap=True)
            raise
        summary = _summarize(config, inputs, folder, spent_before + time.monotonic() - began, serving)
    _show(summary, console)
    console.print(Text(f"run digest {summary.digest}\nrun directory {folder}"), soft_wrap=True)
    return summary


async def _main(
    config: Config, inputs: Inputs, folder: Path, progress: Progress, serving: dict[str, ServingReport]
) -> None:
    stopping = Stopping(config.scheduler.drain_s)
    async with stopping.watching_signals(), trio.open_nursery() as nursery:
        nursery.start_soon(progress.show)
        await _at_work(config, inputs, folder, progress, stopping, serving)
        nursery.cancel_scope.cancel()
        return
    raise Interrupted("interrupted")


async def _at_work(
    config: Config,
    inputs: Inputs,
    folder: Path,
    progress: Progress,
    stopping: Stopping,
    serving: dict[str, ServingReport],
) -> None:
    planner = await trio.to_thread.run_sync(planner_of, config, inputs.strategies)
    versions = PolicyVersions(lag=config.rl.policy_lag)
    versions.publish(UNTRAINED, fixed_planner_of(config, inputs))
    progress.begin("reading the films", len(inputs.graph.items))
    index = await trio.to_thread.run_sync(index_of, inputs, _until_cancelled(progress.advance))
    finished = read_episodes(folder / rundir.EPISODES) if (folder / rundir.EPISODES).exists() else ()
    with MetricsFile(folder) as metrics, open_tape(folder / TAPE) as tape:
        async with (
            open_models(config, inputs, folder, progress) as models,
            open_players(
                config,
                inputs,
                {name: tape.recording(model, name) for name, model in models.items()},
                versions.at,
                index,
                progress,
            ) as players,
            open_log(folder / rundir.EPISODES, run_sync=tape.then_log) as events,
        ):
            session = Session(config, events, players, progress, stopping, finished)
            urls = {name: model.shown_url for name, model in models.items()}
            async with serving_watched(urls, _roles(config), players.ledger, lambda: session.turns, serving):
                await _phases(session, inputs, planner, versions, folder, metrics)


def _until_cancelled(advance: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """A progress callback for a worker thread that ends the work when the run was cancelled."""

    def checked(done: int, total: int) -> None:
        trio.from_thread.check_cancelled()
        advance(done, total)

    return checked


async def _phases(
    session: Session,
    inputs: Inputs,
    planner: TrainablePolicy | None,
    versions: PolicyVersions,
    folder: Path,
    metrics: MetricsFile,
) -> None:
    """The main job, in order."""
    measures = _measures(session.config, inputs)

    async def evaluate(name: Phase, version: int) -> None:
        if name not in session.config.evaluation.phases:
            return
        episodes = await session.play(session.jobs(name, inputs.held_out, lambda index: version))
        metrics.write("evaluation", summarize_phase(name, version, episodes, measures))

    await evaluate("before", UNTRAINED)
    if planner is None:
        return
    training = Training(session, planner, versions, folder / rundir.CHECKPOINTS, metrics)
    await training.warm_up(inputs.dialogues)
    await evaluate("warmup", WARMED_UP)
    if not training.updates:
        return
    await training.reinforce(inputs.training)
    await evaluate("rl", training.updates)


def _measures(config: Config, inputs: Inputs) -> dict[str, Measure]:
    return headline(
        graph=inputs.graph, threshold=config.reward.threshold, gamma=config.rl.gamma, horizon=config.rl.horizon
    )


def _summarize(
    config: Config, inputs: Inputs, folder: Path, seconds: float, serving: dict[str, ServingReport]
) -> Summary:
    """From the log alone, but for how the servers served; written to `summary.json`."""
    path = folder / rundir.EPISODES
    episodes = read_episodes(path) if path.exists() else ()
    measures = _measures(config, inputs)
    wanted = estimate(config, inputs).phases
    by_phase = {name: [episode for episode in episodes if episode.started.phase == name] for name in wanted}
    evaluations = {name: found for name, found in by_phase.items() if name != "train" and found}
    phases = tuple(
        summarize_phase(name, found[0].started.policy_version, found, measures) for name, found in evaluations.items()
    )
    learned = evaluations.keys() >= {"rl", "warmup"}
    gained = differences(evaluations["rl"], evaluations["warmup"], measures) if learned else {}
    summary = Summary(
        world=world_of(config),
        phases=phases,
        differences=gained,
        decisions=decisions_of(config),
        cautions=cautions_of({phase.name: phase.metrics for phase in phases}, gained, config),
        seconds=seconds,
        tokens=tokens_by_role(episodes),
        seed=config.run.seed,
        config_digest=config.digest,
        digest=run_digest(episodes),
        serving=serving,
        complete=all(len(by_phase[name]) == count for name, count in wanted.items()),
    )
    rundir.write_atomically(folder / rundir.SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=2))
    return summary


def _roles(config: Config) -> dict[str, list[str]]:
    """Model -> the roles that it plays."""
    roles: dict[str, list[str]] = {name: [] for name in config.models}
    for role in config.roles_in_use:
        roles[getattr(config.roles, role)].append(role)
    return roles


def _show(summary: Summary, console: Console) -> None:
    console.print(table(summary))
    for name, report in summary.serving.items():
        console.print(serving_table(name, report))
    for caution in summary.cautions:
        console.print(Text(f"WARNING: {caution}"))
    incomplete = "" if summary.complete else "INCOMPLETE: some episodes are missing. "
    console.print(
        Text(
            f"{incomplete}95% intervals over dialogues of this one run (seed {summary.seed}; Wilson for rates, t for "
            "means and paired differences); they do not speak about training again. "
            f"Tokens {sum(u.prompt_tokens + u.completion_tokens for u in summary.tokens.values()):,}, "
            f"{summary.seconds:.0f} s. World: {summary.world}."
            + (f" Decisions: {summary.decisions}." if summary.decisions else "")
        ),
    )


def _summary_of(folder: Path) -> Summary | None:
    try:
        return msgspec.json.decode((folder / rundir.SUMMARY).read_bytes(), type=Summary)
    except (OSError, msgspec.DecodeError):
        return None
