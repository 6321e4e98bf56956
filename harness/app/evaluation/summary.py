"""Finished episodes of the evaluations -> `summary.json` and the final table.

The table names the world its numbers come from, how its intervals were made, and the number of failed dialogues beside
every phase. What a phase lacks (a system that ranks nothing has no recall) is shown as missing, never as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from harness.app.evaluation.floors import FLOOR_MEASURES, IEVALM_FLOORS, with_floors
from harness.app.evaluation.metrics import Measure, all_by_scenario
from harness.app.evaluation.readings import Readings
from harness.app.evaluation.scales import scale_of
from harness.app.evaluation.serving import ServingReport
from harness.app.evaluation.statistics import NOTHING, Estimate, estimate, estimate_text, paired_difference
from harness.app.settings.phases import phase_title
from harness.core.log.checkedlines import FileMark
from harness.core.log.episode import Episode
from harness.core.messages import Struct, Usage

_TITLES = {
    "mean_return": "R_1 (Eq. 8)",
    "mean_objective": "objective",
    "conv_sr": "Conv-SR",
    "acceptance": "acceptance",
    "ievalm_sr": "iEvaLM SR@50",
    "turns": "turns",
    "rec_sr_last": "Rec-SR",
    "recall_1": "R@1",
    "recall_5": "R@5",
    "strategy_entropy": "entropy",
    "judge_final": "judge (end)",
    "evaluator_final": "eval. (end)",
    "judge_gap": "their gap",
}
COLUMNS = with_floors(_TITLES)
"""What the table shows, row by row."""


class PhaseSummary(Struct, frozen=True, kw_only=True):
    """One evaluation."""

    name: str
    policy_version: int
    episodes: int
    errors: int
    """Dialogues that failed: counted, in no mean."""
    metrics: dict[str, Estimate]


class LabelNll(Struct, frozen=True, kw_only=True):
    """Mean negative log-likelihood of human strategy labels on the warm-up's validation turns, in nats."""

    planner: float
    majority: float
    turns: int

    @property
    def beaten(self) -> bool:
        """Whether the planner is better than the majority class."""
        return self.planner < self.majority


class Summary(Struct, frozen=True, kw_only=True):
    """`summary.json`."""

    world: str
    phases: tuple[PhaseSummary, ...]
    differences: dict[str, Estimate]
    """Paired by scenario: after RL minus after warm-up."""
    seconds: float
    tokens: dict[str, Usage]
    """By role, over all finished episodes."""
    seed: int
    config_digest: str
    digest: str
    serving: dict[str, ServingReport] = {}
    """By model, of the last sitting (a resumed run's calls before it are not in it): how its server served."""
    decisions: str = ""
    """Those in force that the numbers depend on (`harness.app.evaluation.decisions`)."""
    readings: dict[str, Readings] = {}
    """By role, over the whole log: what could not be read, and why."""
    labels: LabelNll | None = None
    """Of the warmed-up planner; None where it was not warmed up in this run."""
    cautions: tuple[str, ...] = ()
    """What the numbers themselves warn of (`harness.app.evaluation.cautions`)."""
    pool: str = ""
    """Digest of the held-out people and goals (`harness.app.setup.inputs.pool_digest`); empty in older runs."""
    log: FileMark | None = None
    """The log that all of this was made from; None in runs of before its lines had checksums."""
    seal: str = ""
    """Of all of this and the run's config (`harness.app.job.summaryfile`); empty in older runs."""
    failed: str = ""
    """Why the run does not count (too many conversations failed, or none of a phase could be scored); else empty."""
    complete: bool
    """False where a budget or an interruption left episodes out, and where the run does not count."""


def summarize_phase(
    name: str, version: int, episodes: Sequence[Episode], measures: Mapping[str, Measure]
) -> PhaseSummary:
    """Estimates of all measures over one phase's finished episodes."""
    found = all_by_scenario(episodes, measures)
    return PhaseSummary(
        name=name,
        policy_version=version,
        episodes=len(episodes),
        errors=sum(episode.failed for episode in episodes),
        metrics={metric: estimate(list(found[metric].values()), scale_of(metric)) for metric in measures},
    )


def differences(
    after: Sequence[Episode], before: Sequence[Episode], measures: Mapping[str, Measure]
) -> dict[str, Estimate]:
    """Paired differences of all measures between two phases."""
    ours, theirs = all_by_scenario(after, measures), all_by_scenario(before, measures)
    return {metric: paired_difference(ours[metric], theirs[metric], scale_of(metric)) for metric in measures}


def tokens_by_role(episodes: Iterable[Episode]) -> dict[str, Usage]:
    """Sum of all usage that the episodes' events record."""
    total: dict[str, Usage] = {}
    for episode in episodes:
        for event in episode.steps:
            for role, usage in event.usage.items():
                total[role] = total.get(role, Usage()) + usage
    return dict(sorted(total.items()))


def summary_table(summary: Summary) -> Table:
    """The final table: a row a measure, a column a phase, and the paired difference RL - warm-up."""
    shown = Table(title=f"World: {summary.world}", title_justify="left", box=box.SIMPLE_HEAD)
    shown.add_column("", no_wrap=True)
    for phase in summary.phases:
        shown.add_column(phase_title(phase.name).replace(" ", "\n", 1), justify="right", no_wrap=True)
    if summary.differences:
        shown.add_column("RL - warm-up\n(paired)", justify="right", no_wrap=True)
    for metric, title in COLUMNS.items():
        known = any(metric in phase.metrics for phase in summary.phases)
        if metric in (*FLOOR_MEASURES, *IEVALM_FLOORS):
            levels = [phase.metrics.get(metric, NOTHING).mean for phase in summary.phases]
            if known:
                shown.add_row(title, *("–" if level is None else f"{level:.2f}" for level in levels), style="dim")
            continue
        if metric == "ievalm_sr" and not known:
            continue
        cells = [mean_over_interval(phase.metrics.get(metric, NOTHING)) for phase in summary.phases]
        if summary.differences:
            cells.append(mean_over_interval(summary.differences.get(metric, NOTHING), signed=True))
        shown.add_row(title, *cells)
    if summary.labels is not None and any(phase.name == "warmup" for phase in summary.phases):
        nll = summary.labels
        said = f"{nll.planner:.3f} ({nll.majority:.3f})" + ("" if nll.beaten else "\nnot beaten")
        shown.add_row("label NLL (majority)", *(said if phase.name == "warmup" else "–" for phase in summary.phases))
    counts = [Text(f"{phase.episodes - phase.errors} ({phase.errors})") for phase in summary.phases]
    if summary.differences:
        counts.append(Text(str(max(difference.n for difference in summary.differences.values()))))
    shown.add_row("n (failed)", *counts)
    return shown


def mean_over_interval(value: Estimate, *, signed: bool = False) -> Text:
    """A table's cell; text, since markup would take the interval's brackets for a tag."""
    return Text(estimate_text(value, signed=signed, between="\n"))
