"""Finished episodes of the evaluations -> `summary.json` and the final table.

The table names the world its numbers come from, how its intervals were made, and the number of failed dialogues beside
every phase. What a phase lacks (a system that ranks nothing has no recall) is shown as missing, never as 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from harness.app.evaluation.diversity import corpus_distinct_2
from harness.app.evaluation.floors import FLOOR_MEASURES, IEVALM_FLOORS, floor_of, with_floors
from harness.app.evaluation.measures import MEASURES, PARTS, row_title, scale_of
from harness.app.evaluation.metrics import Measure, all_by_scenario
from harness.app.evaluation.readings import Readings
from harness.app.evaluation.serving import ServingReport
from harness.app.evaluation.statistics import Estimate, estimate, estimate_text, paired_difference
from harness.app.settings.phases import phase_title
from harness.core.log.checkedlines import FileMark
from harness.core.log.episode import Episode
from harness.core.messages import Struct, Usage

if TYPE_CHECKING:
    from harness.app.evaluation.two_way import Table as Values_SN

MAIN = with_floors(
    (
        "mean_return", "mean_objective", "conv_sr", "acceptance", "ievalm_sr", "turns", "rec_sr_last", "recall_1",
        "recall_5", "strategy_entropy", "judge_final", "evaluator_final", "judge_gap",
    )
)  # fmt: skip
"""What every run's table shows; `IF_MEASURED` only where a phase has it."""
IF_MEASURED = frozenset(("ievalm_sr", *IEVALM_FLOORS, *FLOOR_MEASURES))
"""Of another protocol, and the floors, which older runs do not have."""
EXTRA_ROWS = (
    "wi", "wi_all", "wi_coverage", "prs", "prs_paper", "oversold", "harmed", "cred", "cred_zero_filled",
    "cred_coverage", "dist_2", "corpus_dist_2",
)  # fmt: skip
"""What the table of a run shows that measured it (``evaluation.measures``)."""


Values = Mapping[str, float | None]
"""By scenario."""


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
    return PhaseSummary(
        name=name,
        policy_version=version,
        episodes=len(episodes),
        errors=sum(episode.failed for episode in episodes),
        metrics=estimates(episodes, measures),
    )


def estimates(episodes: Iterable[Episode], measures: Mapping[str, Measure]) -> dict[str, Estimate]:
    """Of every measure of one phase that is shown."""
    shown = estimates_of(all_by_scenario(episodes, measures))
    if "dist_2" in measures:
        spoken = (turn.response for episode in episodes if not episode.failed for turn in episode.transitions)
        shown["corpus_dist_2"] = estimate([corpus_distinct_2(spoken)], scale_of("corpus_dist_2"))
    return shown


def estimates_of(found: Mapping[str, Values]) -> dict[str, Estimate]:
    """Of measures by scenario; of those that are shown as a ratio only, the ratio."""
    shown = {name: estimate(list(found[name].values()), scale_of(name)) for name in found if name not in PARTS}
    for name, over, under in _ratios(found):
        shown[name] = one_run_ratio(found[over], found[under])
    return shown


def one_run_ratio(over: Values, under: Values) -> Estimate:
    """The ratio of two measures' sums over one run's dialogues, with its interval over them."""
    from harness.app.evaluation.two_way import ratio_two_way  # scipy takes nearly a second

    return ratio_two_way(*_one_row(over, under))


def one_run_ratio_difference(ours: tuple[Values, Values], theirs: tuple[Values, Values]) -> Estimate:
    """The difference of two such ratios over the same scenarios."""
    from harness.app.evaluation.two_way import compare_ratios

    tables = _one_row(*ours, *theirs)
    found = compare_ratios((tables[0], tables[1]), (tables[2], tables[3]))
    return Estimate(mean=found.mean, low=found.low, high=found.high, n=found.n, why=found.why)


def _one_row(*values: Values) -> list[Values_SN]:
    """Values by scenario as tables of one seed, all over the same scenarios."""
    from harness.app.evaluation.two_way import values_of

    scenarios = sorted(set().union(*values))
    return [values_of({0: one}, (0,), scenarios) for one in values]


def _ratios(found: Collection[str]) -> list[tuple[str, str, str]]:
    """(name, numerators, denominators) of the ratios whose parts were measured."""
    pairs = [(name, entry.ratio) for name, entry in MEASURES.items() if entry.ratio is not None]
    return [(name, *parts) for name, parts in pairs if all(part in found for part in parts)]


def differences(
    after: Sequence[Episode], before: Sequence[Episode], measures: Mapping[str, Measure]
) -> dict[str, Estimate]:
    """Paired differences of all measures between two phases."""
    return paired_differences(all_by_scenario(after, measures), all_by_scenario(before, measures))


def paired_differences(ours: Mapping[str, Values], theirs: Mapping[str, Values]) -> dict[str, Estimate]:
    """Measure -> ours minus theirs, of the measures that both have and that are shown."""
    both = [name for name in ours if name in theirs]
    found = {name: paired_difference(ours[name], theirs[name], scale_of(name)) for name in both if name not in PARTS}
    for name, over, under in _ratios(both):
        found[name] = one_run_ratio_difference((ours[over], ours[under]), (theirs[over], theirs[under]))
    return found


def tokens_by_role(episodes: Iterable[Episode]) -> dict[str, Usage]:
    """Sum of all usage that the episodes' events record."""
    return added(*(event.usage for episode in episodes for event in episode.steps))


def added(*usages: Mapping[str, Usage]) -> dict[str, Usage]:
    """The sums by role."""
    total: dict[str, Usage] = {}
    for usage in usages:
        for role, used in usage.items():
            total[role] = total.get(role, Usage()) + used
    return dict(sorted(total.items()))


def summary_table(summary: Summary) -> Table:
    """The final table: a row a measure, a column a phase, and the paired difference RL - warm-up."""
    shown = Table(title=f"World: {summary.world}", title_justify="left", box=box.SIMPLE_HEAD)
    shown.add_column("", no_wrap=True)
    for phase in summary.phases:
        shown.add_column(phase_title(phase.name).replace(" ", "\n", 1), justify="right", no_wrap=True)
    if summary.differences:
        shown.add_column("RL - warm-up\n(paired)", justify="right", no_wrap=True)
    for metric in rows_of(summary.phases):
        found = [phase.metrics.get(metric) for phase in summary.phases]
        if floor_of(metric):
            shown.add_row(row_title(metric), *map(level_text, found), style="dim")
            continue
        cells = [mean_over_interval(one) for one in found]
        if summary.differences:
            difference = summary.differences.get(metric)
            cells.append(Text("") if difference is None else mean_over_interval(difference, signed=True))
        shown.add_row(row_title(metric), *cells)
    if summary.labels is not None and any(phase.name == "warmup" for phase in summary.phases):
        nll = summary.labels
        said = f"{nll.planner:.3f}\n({nll.majority:.3f})" + ("" if nll.beaten else "\nnot beaten")
        shown.add_row("label NLL\n(majority)", *(said if phase.name == "warmup" else "–" for phase in summary.phases))
    counts = [Text(f"{phase.episodes - phase.errors} ({phase.errors})") for phase in summary.phases]
    if summary.differences:
        counts.append(Text(str(max(difference.n for difference in summary.differences.values()))))
    shown.add_row("n (failed)", *counts)
    return shown


def rows_of(phases: Iterable[PhaseSummary]) -> tuple[str, ...]:
    """The measures that a run's table shows: the main ones, and the others that some phase measured."""
    measured = {name for phase in phases for name in phase.metrics}
    main = (name for name in MAIN if name in measured or name not in IF_MEASURED)
    return (*main, *(name for name in EXTRA_ROWS if name in measured))


def level_text(level: Estimate | None) -> str:
    """The mean of a floor, which needs no interval."""
    return "–" if level is None or level.mean is None else f"{level.mean:.2f}"


def mean_over_interval(value: Estimate | None, *, signed: bool = False) -> Text:
    """A table's cell; text, since markup would take the interval's brackets for a tag."""
    return Text(estimate_text(value, signed=signed, between="\n"))
