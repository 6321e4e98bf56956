"""A run's `summary.json`: made from the log alone, but for how the servers served; read again, and shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.app.evaluation.answers import Reading, examiner_counts, extra_measures, measured, of_dialogues
from harness.app.evaluation.cautions import cautions_of
from harness.app.evaluation.decisions import decisions_of, world_of
from harness.app.evaluation.floors import NOTE, floor_measures
from harness.app.evaluation.metrics import Measure, headline
from harness.app.evaluation.protocol import BIASES, protocol_measures
from harness.app.evaluation.readings import readings_of
from harness.app.evaluation.serving import ServingReport, serving_table
from harness.app.evaluation.statistics import ONE_RUN
from harness.app.evaluation.summary import (
    LabelNll,
    Summary,
    added,
    differences,
    summarize_phase,
    summary_table,
    tokens_by_role,
)
from harness.app.identity.sittings import cautions_of_sittings
from harness.app.job.examination import known_readings, unexamined
from harness.app.job.metricsfile import read_metrics
from harness.app.job.outcomes import Outcomes
from harness.app.job.summaryfile import read_summary, write_summary
from harness.app.job.workload import workload_of
from harness.app.settings.config import Config, Extra
from harness.app.setup.inputs import Inputs, pool_digest
from harness.core.errors import DataError, InputError
from harness.core.log import rundir
from harness.core.log.checkedlines import mark_of
from harness.core.log.loggedepisodes import EpisodeIndex
from harness.core.log.rundigest import run_digest
from harness.core.messages import TRAIN


def measures_of(config: Config, inputs: Inputs, readings: Mapping[str, Reading]) -> dict[str, Measure]:
    """All measures of this run.

    The log's own with the floors of recall, those of ``evaluation.measures``, and what else was asked before.

    ``readings``: the examiner's, of all dialogues that are measured.
    """
    own = headline(
        graph=inputs.graph, threshold=config.reward.threshold, gamma=config.rl.gamma, horizon=config.rl.horizon
    )
    own |= floor_measures(inputs.graph, inputs.popular) | protocol_measures(config, inputs.graph, inputs.popular)
    return own | extra_measures(readings, measured(config.evaluation.measures, readings.values()))


def summarize(
    config: Config, inputs: Inputs, folder: Path, seconds: float, serving: dict[str, ServingReport]
) -> Summary:
    """From the log alone, but for how the servers served and the warm-up's label NLL; written to `summary.json`."""
    episodes = EpisodeIndex(folder / rundir.EPISODES)
    wanted = workload_of(config, inputs).phases
    by_phase = {name: episodes.of(name) for name in wanted}
    evaluations = {name: found for name, found in by_phase.items() if name != TRAIN and found}
    asked = known_readings(folder)
    examined = {name: one for found in evaluations.values() for name, one in of_dialogues(asked, found).items()}
    measures = measures_of(config, inputs, examined)
    phases = tuple(
        summarize_phase(name, found[0].started.policy_version, found, measures) for name, found in evaluations.items()
    )
    learned = evaluations.keys() >= {"rl", "warmup"}
    gained = differences(evaluations["rl"], evaluations["warmup"], measures) if learned else {}
    readings, tokens = readings_of(episodes), tokens_by_role(episodes)
    if examined:
        readings["examiner"] = examiner_counts(examined.values())
        tokens = added(tokens, *(one.usage for one in examined.values()))
    outcomes = Outcomes(episodes)
    failed = outcomes.verdict(wanted, config.scheduler.fail_on_error)
    labels = _label_nll(folder)
    warnings = cautions_of(gained, config, readings, tokens, outcomes.losses, labels)
    summary = Summary(
        world=world_of(config),
        phases=phases,
        differences=gained,
        decisions=decisions_of(config),
        readings=readings,
        labels=labels,
        cautions=(
            *([inputs.taught.sentence] if inputs.taught else []),
            *warnings,
            *cautions_of_sittings(folder),
        ),
        seconds=seconds,
        tokens=tokens,
        seed=config.run.seed,
        config_digest=config.digest,
        digest=run_digest(episodes),
        serving=serving,
        pool=pool_digest(inputs.held_out),
        log=mark_of(folder / rundir.EPISODES),
        failed=failed,
        complete=not failed
        and outcomes.all_played(wanted)
        and not unexamined(folder, episodes, config.evaluation.measures),
    )
    write_summary(folder, summary)
    return summary


def _label_nll(folder: Path) -> LabelNll | None:
    """From the run's metrics; a damaged file of metrics is told where it is opened."""
    try:
        lines = read_metrics(folder / rundir.METRICS)
    except DataError:
        return None
    for line in lines:
        if line.get("type") == "warmup":
            ours, theirs = line["validation"], line["majority"]
            return LabelNll(planner=ours["nll"], majority=theirs["nll"], turns=ours["n"])
    return None


def has_measures(summary: Summary, wanted: Collection[Extra]) -> bool:
    """Whether every phase of a summary has what is wanted."""
    names = {"prs_paper" if name == "prs" else name for name in wanted}
    return all(names <= phase.metrics.keys() for phase in summary.phases)


def show(summary: Summary, console: Console) -> None:
    """Tables, cautions and what the numbers are about."""
    console.print(summary_table(summary))
    for name, report in summary.serving.items():
        console.print(serving_table(name, report))
    for caution in summary.cautions:
        console.print(Text(f"WARNING: {caution}"))
    if summary.failed:
        console.print(Text(f"FAILED: {summary.failed}."))
    biases = f"{BIASES} " if any("ievalm_sr" in phase.metrics for phase in summary.phases) else ""
    incomplete = "" if summary.complete or summary.failed else "INCOMPLETE: some episodes are missing. "
    console.print(
        Text(
            f"{incomplete}{ONE_RUN} {NOTE} {biases}Seed {summary.seed}. "
            f"Tokens {sum(u.prompt_tokens + u.completion_tokens for u in summary.tokens.values()):,}, "
            f"{summary.seconds:.0f} s. World: {summary.world}."
            + (f" Decisions: {summary.decisions}." if summary.decisions else "")
        ),
    )


def summary_to_go_on_from(folder: Path, say: Callable[[str], None] = lambda said: None) -> Summary | None:
    """None, and said, where there is none that can be believed: it is made anew from the log."""
    try:
        return read_summary(folder)
    except (InputError, DataError) as error:
        say(str(error))
        return None


def did_not_count(folder: Path) -> bool:
    """Whether a run was there whose conversations failed: what failed is to be played again."""
    known = summary_to_go_on_from(folder)
    return known is not None and bool(known.failed)
