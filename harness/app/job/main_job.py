"""The main job in a run directory. Before, warm-up, after warm-up, RL, after RL; on the same held-out goals.

Begin reading at `_phases`; the rest opens and closes what it needs. The summary is made from the log
alone, so a run that stopped early has one too, marked as incomplete.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog
import trio
from rich.console import Console
from rich.text import Text

from harness.app.console.logs import logging_to
from harness.app.console.progress import Progress
from harness.app.evaluation.answers import asks
from harness.app.evaluation.examiner import CREDIBILITY, INTENTION, Examiner
from harness.app.evaluation.log_check import check_log, missing_bytes
from harness.app.evaluation.serving import ServingReport, serving_watched
from harness.app.evaluation.summary import Summary, summarize_phase
from harness.app.identity.manifest import (
    FORMAT,
    Manifest,
    config_of,
    encode,
    manifest_of,
    read_manifest,
    refuse_changes,
    refuse_other_files,
    refuse_other_format,
)
from harness.app.identity.sittings import identity_of, refuse_other_device, refuse_other_texts, sit_down
from harness.app.job.again import keep_what_the_log_covers, to_play_again, withdraw_failed
from harness.app.job.derived import lacking
from harness.app.job.examination import examine, examiner_of, known_readings, unexamined
from harness.app.job.farewell import say_farewell
from harness.app.job.metricsfile import MetricsFile
from harness.app.job.outcomes import Outcomes
from harness.app.job.session import Session
from harness.app.job.stoppable import run_stoppable
from harness.app.job.summary import has_measures, measures_of, show, summarize, summary_to_go_on_from
from harness.app.job.summaryfile import write_summary
from harness.app.job.training import UNTRAINED, WARMED_UP, Trainer
from harness.app.job.workload import workload_of
from harness.app.settings.config import Config
from harness.app.settings.phases import Phase
from harness.app.setup.inputs import Inputs, read_inputs
from harness.app.setup.servers import at
from harness.app.setup.wiring import (
    check_models,
    fixed_planner_of,
    index_of,
    open_models,
    open_players,
    planner_of,
    secrets_of,
)
from harness.core.errors import DataError, HarnessError, RunFailed, leaves
from harness.core.log import rundir
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import EpisodeIndex
from harness.core.log.tape import TAPE, open_tape
from harness.core.messages import TRAIN, Struct
from harness.core.scheduler import Stopping
from learner.checkpoint import load_checkpoint
from learner.policy import TrainablePolicy
from learner.versions import PolicyVersions

log = structlog.get_logger()


class Extent(Struct, frozen=True, kw_only=True):
    """How much of the job is played this time, and on which servers. It has no influence on results."""

    limit: int | None = None
    """How many held-out scenarios are played, from the first; None: all."""
    reinforced: bool = True
    """False: no RL, even if the config asks for it."""
    base_urls: Mapping[str, str] = {}
    """Model -> server that runs already; the others are started here."""

    def of(self, phases: Mapping[str, int]) -> dict[str, int]:
        """Phase -> how many of its conversations are wanted this time."""
        most = {name: count if self.limit is None else min(self.limit, count) for name, count in phases.items()}
        return most | ({TRAIN: phases[TRAIN] if self.reinforced else 0} if TRAIN in phases else {})


WHOLE = Extent()


def begin_or_go_on(
    config: Config,
    folder: Path,
    console: Console,
    *,
    quiet: bool,
    retry_failed: bool = False,
    extent: Extent = WHOLE,
) -> Summary:
    """The main job in a directory that may hold a part of it, or all; one that was begun with other settings is
    refused. ``retry_failed``: as in `go_on`."""
    if folder.exists():
        manifest = read_manifest(folder)
        return go_on(config, manifest, folder, console, quiet=quiet, retry_failed=retry_failed, extent=extent)
    inputs = read_inputs(config)
    _check_start(config, inputs)
    rundir.create(folder, encode(manifest_of(config, inputs.files)))
    return _execute(config, inputs, folder, console, extent, quiet=quiet)


def go_on(
    wanted: Config,
    manifest: Manifest,
    folder: Path,
    console: Console,
    *,
    quiet: bool,
    accept_changes: bool = False,
    retry_failed: bool = False,
    extent: Extent = WHOLE,
) -> Summary:
    """Play what is not finished; with ``retry_failed`` also what failed or could not be scored, again.

    Raises `InputError`, naming what differs, where ``wanted`` would give another result, and `RunFailed` where what is
    there already does not count and nothing that is left to play can change it.

    ``accept_changes``: texts and the scripted world may differ from the last sitting's.
    """
    refuse_changes(config_of(manifest, folder), wanted)
    inputs = read_inputs(wanted)
    refuse_other_files(manifest, inputs.files)
    progress = Progress(console, quiet=quiet)
    known, phases = summary_to_go_on_from(folder, progress.say), workload_of(wanted, inputs).phases
    whole = _log_is_whole(folder, known, progress)
    episodes = EpisodeIndex(folder / rundir.EPISODES)
    outcomes, again = Outcomes(episodes), to_play_again(episodes, wanted)
    if outcomes.lost:
        progress.say(
            f"{outcomes.lost} of {len(episodes)} finished conversations failed or could not be scored (the first: "
            f"{outcomes.first_reason}); {_offer(folder, len(again) - outcomes.lost, accepted=retry_failed)}"
        )
    elif retry_failed:
        progress.say("no finished conversation failed")
    if not (retry_failed and again):
        if reason := outcomes.verdict(phases, wanted.scheduler.fail_on_error):
            if known is not None:
                show(msgspec.structs.replace(known, failed=reason, complete=False), console)
            _say_how_to_go_on(folder, failed=True)
            raise RunFailed(reason)
        whole = whole and known is not None and known.complete and outcomes.all_played(phases)
        if whole and (lacks := unexamined(folder, episodes, wanted.evaluation.measures)):
            progress.say(f"{lacks} dialogues are examined for {', '.join(wanted.evaluation.measures)}")
            whole = False
        if whole and manifest.format == FORMAT and (sentence := lacking(wanted, inputs, folder)):
            progress.say(f"{sentence}: the metrics are made again from the log")
        elif whole and known is not None:
            progress.say(f"the run is complete: nothing is left to play in {folder}")
            if not has_measures(known, wanted.evaluation.measures):
                with rundir.locked(folder):
                    known = summarize(wanted, inputs, folder, known.seconds, known.serving)
            show(known, console)
            return known
    refuse_other_format(manifest, folder)
    now = identity_of(wanted)
    refuse_other_device(folder, manifest.identity, now)
    refuse_other_texts(folder, manifest.identity, now, accept_changes=accept_changes)

    def sit() -> list[str]:
        return sit_down(folder, manifest.identity, now, accept_changes=accept_changes)

    return _execute(wanted, inputs, folder, console, extent, quiet=quiet, retry_failed=retry_failed, sit=sit)


def _offer(folder: Path, resting: int, *, accepted: bool) -> str:
    more = f", and with them {resting} that rest on the updates they were part of" if resting else ""
    return f"played again now{more}" if accepted else f"`resume {folder} --retry-failed` plays them again{more}"


def _log_is_whole(folder: Path, known: Summary | None, progress: Progress) -> bool:
    """False, and said, where the log lacks some of what the summary was made from; `DataError` where it is damaged."""
    missing = missing_bytes(folder, known)
    try:
        checked = check_log(folder, None if missing else known)
    except DataError as error:
        raise DataError(f"{error}; put a whole copy in its place, or cut it before the damage and resume") from None
    if missing:
        progress.say(
            f"the log lacks {missing:,} bytes of what {rundir.SUMMARY} was made from: what is missing is played again"
        )
    elif known is not None and not checked:
        progress.say("the log is of a version without checksums: whether it is whole was not checked")
    return not missing


def _check_start(config: Config, inputs: Inputs) -> None:
    """Fail before a run directory is made, where that is possible."""
    check_models(config)
    planner = planner_of(config, inputs.strategies)
    if planner is not None and config.planner.init:
        load_checkpoint(Path(config.planner.init)).restore(planner)


def _say_how_to_go_on(folder: Path, *, failed: bool) -> None:
    how = f"python -m harness resume {folder}"
    said = f"once the reason is gone: {how} --retry-failed" if failed else f"stopped before the end; to go on: {how}"
    Console(stderr=True).print(Text(said), soft_wrap=True)


def _execute(
    config: Config,
    inputs: Inputs,
    folder: Path,
    console: Console,
    extent: Extent,
    *,
    quiet: bool,
    retry_failed: bool = False,
    sit: Callable[[], list[str]] = list,
) -> Summary:
    """``sit``: records what this sitting is made by, once the directory is locked; returns sentences to print.
    ``retry_failed``: as in `go_on`."""
    began = time.monotonic()
    known = summary_to_go_on_from(folder)
    spent_before = known.seconds if known else 0.0
    progress = Progress(console, quiet=quiet)
    with rundir.locked(folder), logging_to(folder / rundir.LOGS / "harness.jsonl", secrets_of(config)):
        for note in (*inputs.notes, *sit()):
            progress.say(note)
        progress.say(f"run directory: {folder}")
        serving: dict[str, ServingReport] = {}
        try:
            run_stoppable(
                lambda stopping: _at_work(config, inputs, folder, extent, progress, stopping, serving, retry_failed),
                progress,
                config.scheduler.drain_s,
            )
        except BaseException as error:
            with suppress(OSError, HarnessError):  # a full disk must not replace the reason why the run ended
                log.error("run_ended_early", error=repr(error))
                summary = summarize(config, inputs, folder, spent_before + time.monotonic() - began, serving)
                if summary.phases:
                    show(summary, console)
            _say_how_to_go_on(folder, failed=any(isinstance(leaf, RunFailed) for leaf in leaves(error)))
            raise
        summary = summarize(config, inputs, folder, spent_before + time.monotonic() - began, serving)
    show(summary, console)
    console.print(Text(f"run digest {summary.digest}\nrun directory {folder}"), soft_wrap=True)
    if not quiet:
        say_farewell(folder, config.reward.threshold, console)
    return summary


async def _at_work(
    config: Config,
    inputs: Inputs,
    folder: Path,
    extent: Extent,
    progress: Progress,
    stopping: Stopping,
    serving: dict[str, ServingReport],
    retry_failed: bool,
) -> None:
    planner = await trio.to_thread.run_sync(planner_of, config, inputs.strategies)
    versions = PolicyVersions(lag=config.rl.policy_lag)
    versions.publish(UNTRAINED, fixed_planner_of(config, inputs))
    progress.begin("reading the films", len(inputs.graph.items), unit="films")
    index = await trio.to_thread.run_sync(index_of, config, inputs, _until_cancelled(progress.advance))
    if retry_failed:
        if known := summary_to_go_on_from(folder):
            write_summary(folder, msgspec.structs.replace(known, complete=False))
        await withdraw_failed(folder / rundir.EPISODES, config)
    finished = EpisodeIndex(folder / rundir.EPISODES)
    phases = workload_of(config, inputs).phases
    if aside := keep_what_the_log_covers(folder, finished, phases, config):
        progress.say(
            f"{aside} checkpoints rest on conversations that the log does not hold: set aside below "
            f"{folder / rundir.CHECKPOINTS}; training goes on from the last one that the log covers"
        )
    with MetricsFile(folder) as metrics, open_tape(folder / TAPE) as tape:
        if metrics.damage:
            progress.say(metrics.damage)
        async with (
            open_models(at(config, extent.base_urls), inputs, folder, progress) as models,
            open_players(
                config,
                inputs,
                recorded := {name: tape.recording(model, name) for name, model in models.items()},
                versions.at,
                index,
                progress,
            ) as players,
            open_log(folder / rundir.EPISODES, run_sync=tape.then_log) as events,
        ):
            session = Session(config, events, players, progress, stopping, finished)
            urls = {name: model.shown_url for name, model in models.items()}
            async with serving_watched(urls, _roles(config), players.ledger, lambda: session.turns, serving):
                examiner = None
                if asks(config.evaluation.measures):
                    examiner = await examiner_of(config, recorded, inputs.graph, players.ledger)
                    for reading in known_readings(folder).values():
                        session.spend(reading.usage)
                await _phases(session, inputs, planner, versions, folder, metrics, extent, examiner)
                session.outcomes.check(extent.of(phases), config.scheduler.fail_on_error)


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
    extent: Extent,
    examiner: Examiner | None,
) -> None:
    """The main job, in order."""
    wanted = session.config.evaluation.measures
    scenarios = inputs.held_out[: extent.limit]

    async def evaluate(name: Phase, version: int) -> None:
        if name not in session.config.evaluation.phases or not scenarios:
            return
        episodes = await session.play(session.jobs(name, scenarios, lambda index: version))
        readings = await examine(session, folder, episodes, examiner, wanted) if examiner is not None else {}
        measures = measures_of(session.config, inputs, readings)
        metrics.write("evaluation", summarize_phase(name, version, episodes, measures))

    await evaluate("before", UNTRAINED)
    if planner is None:
        return
    training = Trainer(session, planner, versions, folder / rundir.CHECKPOINTS, metrics)
    await training.warm_up(inputs.dialogues, inputs.validation)
    await evaluate("warmup", WARMED_UP)
    if not training.updates or not extent.reinforced:
        return
    await training.reinforce(inputs.training)
    await evaluate("rl", training.updates)


def _roles(config: Config) -> dict[str, list[str]]:
    """Model -> the roles that it plays."""
    roles: dict[str, list[str]] = {name: [] for name in config.models}
    for role in config.roles_in_use:
        roles[getattr(config.roles, role)].append(role)
    if asks(config.evaluation.measures):
        roles[config.roles.evaluator] += (INTENTION, CREDIBILITY)
    return roles
