"""What the cells of a study show: estimates by arm, paired differences, and the claims with their verdicts.

Intervals are 95% over seeds x scenarios, paired by both: the two-way cluster variance with Satterthwaite's t
(`harness.app.evaluation.two_way`). A claim is written down before any cell is played; it holds where its interval lies
on the claimed side of 0, fails where it lies on the other, and is open otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from harness.app.evaluation.measures import MEASURES, PARTS, in_order, scale_of
from harness.app.evaluation.pools import refuse_other_pools
from harness.app.evaluation.scales import AMOUNT, ENTROPY, SHARE
from harness.app.evaluation.statistics import Estimate, estimate
from harness.app.evaluation.two_way import (
    Difference,
    Table,
    compare_two_way,
    estimate_two_way,
    holm,
    ratio_two_way,
    values_of,
)
from harness.app.grid.study.cell import ArmResult
from harness.app.grid.study.plan import Plan
from harness.core.messages import Struct

COMPARED = ("conv_sr", "absorbing", "mean_return", "turns", "strategy_entropy")
CURVES = {"conv_sr": SHARE, "mean_return": AMOUNT, "mean_objective": AMOUNT, "entropy": ENTROPY}
"""Scales of a `Point`'s means over training episodes; a mean of rates is a share."""
LEAST_ENTROPY = 0.5
"""Nats; below it a policy counts as collapsed."""

Verdict = Literal["holds", "fails", "open"]


class ArmRow(Struct, frozen=True, kw_only=True):
    """One arm, over its finished cells."""

    arm: str
    title: str
    seeds: tuple[int, ...]
    training_episodes: int
    errors: int
    metrics: dict[str, Estimate]
    to_base: dict[str, Difference]
    """Minus the base arm on the same seeds; empty for the base itself."""
    by_seed: dict[str, dict[int, float | None]]
    """Measure -> seed -> mean."""
    by_persona: dict[str, Estimate]
    """Persona -> Conv-SR."""


class Claim(Struct, frozen=True, kw_only=True):
    """One sentence and what became of it."""

    text: str
    difference: Difference | None
    verdict: Verdict
    note: str = ""


class Findings(Struct, frozen=True, kw_only=True):
    """``study.json``."""

    world: str
    decisions: str
    scenarios: int
    cells: int
    missing: tuple[str, ...]
    """Cells without a result."""
    rows: tuple[ArmRow, ...]
    claims: tuple[Claim, ...]
    gap: str
    budgets: dict[int, Verdict]
    """Training episodes -> whether Conv-SR and the objective are both clearly above the base's."""


def find(plan: Plan, results: Sequence[ArmResult], *, world: str, decisions: str) -> Findings:
    """Pure. Arms without a finished cell are left out and named in ``missing``."""
    refuse_other_pools({f"{result.arm}.s{result.seed}": result.pool for result in results})
    study = Tables(plan, results)
    done = {(result.arm, result.seed) for result in results}
    rows = tuple(_row(plan, study, arm) for arm in plan.file.arms if study.seeds(arm))
    return Findings(
        world=world,
        decisions=decisions,
        scenarios=plan.file.study.scenarios,
        cells=len(results),
        missing=tuple(cell.name for cell in plan.cells if (cell.arm, cell.seed) not in done),
        rows=_with_holm(rows),
        claims=tuple(_claims(plan, study)),
        gap=_gap(plan, study),
        budgets={
            episodes: _both(study.difference(arm, plan.file.study.base, name) for name in ("conv_sr", "absorbing"))
            for episodes, arm in plan.budgets.items()
            if study.seeds(arm)
        },
    )


class Tables:
    """Values of all arms as (S, N) tables."""

    def __init__(self, plan: Plan, results: Sequence[ArmResult]) -> None:
        self.results: dict[str, dict[int, ArmResult]] = {arm: {} for arm in plan.file.arms}
        for result in results:
            self.results[result.arm][result.seed] = result
        self._scenarios = sorted({one for r in results for values in r.values.values() for one in values})

    def measured(self, arm: str) -> tuple[str, ...]:
        """The measures that a cell of the arm has, in their order, and the ratios of two of them."""
        found = {name: None for result in self.results[arm].values() for name in result.values}
        ratios = [name for name, one in MEASURES.items() if one.ratio and all(part in found for part in one.ratio)]
        return tuple(name for name in in_order(found | dict.fromkeys(ratios)) if name not in PARTS)

    def seeds(self, arm: str) -> tuple[int, ...]:
        return tuple(sorted(self.results.get(arm, {})))

    def table(self, arm: str, measure: str, seeds: Sequence[int], persona: str = "") -> Table:
        found = self.results[arm]
        scenarios = self._scenarios
        if persona:
            personas = next(iter(found.values())).personas
            scenarios = [scenario for scenario in scenarios if personas.get(scenario) == persona]
        return values_of({seed: found[seed].values.get(measure, {}) for seed in seeds}, seeds, scenarios)

    def estimate(self, arm: str, measure: str, persona: str = "") -> Estimate:
        if (parts := MEASURES[measure].ratio if measure in MEASURES else None) is not None:
            return ratio_two_way(*(self.table(arm, part, self.seeds(arm), persona) for part in parts))
        return estimate_two_way(self.table(arm, measure, self.seeds(arm), persona), scale_of(measure))

    def difference(self, arm: str, other: str, measure: str) -> Difference:
        """arm - other over the seeds that both have."""
        seeds = [seed for seed in self.seeds(arm) if seed in self.seeds(other)]
        if not seeds:
            return Difference(mean=None, low=None, high=None, n=0, p=None)
        return compare_two_way(self.table(arm, measure, seeds), self.table(other, measure, seeds), scale_of(measure))

    def mean_by_seed(self, arm: str, measure: str) -> dict[int, float | None]:
        found = self.results[arm]
        return {seed: estimate(list(found[seed].values.get(measure, {}).values())).mean for seed in self.seeds(arm)}


def _row(plan: Plan, study: Tables, arm: str) -> ArmRow:
    base = plan.file.study.base
    config = plan.config(arm)
    learns = config.learns and "rl" in config.evaluation.phases
    personas = sorted(set(next(iter(study.results[arm].values())).personas.values()))
    return ArmRow(
        arm=arm,
        title=plan.title(arm),
        seeds=study.seeds(arm),
        training_episodes=config.training_episodes if learns else 0,
        errors=sum(result.errors for result in study.results[arm].values()),
        metrics={name: study.estimate(arm, name) for name in study.measured(arm)},
        to_base={} if arm == base else {name: study.difference(arm, base, name) for name in COMPARED},
        by_seed={name: study.mean_by_seed(arm, name) for name in COMPARED},
        by_persona={persona: study.estimate(arm, "conv_sr", persona) for persona in personas},
    )


def _with_holm(rows: Sequence[ArmRow]) -> tuple[ArmRow, ...]:
    """p-values adjusted over the arms, one family a measure."""
    others = [row for row in rows if row.to_base]
    adjusted = {name: holm([row.to_base[name].p for row in others]) for name in COMPARED}
    changed = {
        row.arm: {
            name: msgspec.structs.replace(difference, p_holm=adjusted[name][place])
            for name, difference in row.to_base.items()
        }
        for place, row in enumerate(others)
    }
    return tuple(msgspec.structs.replace(row, to_base=changed.get(row.arm, {})) for row in rows)


def _claims(plan: Plan, study: Tables) -> list[Claim]:
    design = plan.file.study
    tested, base = design.tested, design.base
    configs = {arm: plan.config(arm) for arm in plan.file.arms}
    mine = configs[tested]
    claims = [
        _above(plan, study, tested, base, "conv_sr", "Conv-SR"),
        _above(plan, study, tested, base, mine.rl.horizon if mine.rl.horizon != "literal" else "mean_return",
               "the objective that it optimises"),
    ]  # fmt: skip
    for arm, config in configs.items():
        if (config.planner.kind in ("uniform", "fixed", "rule", "prompted") and arm != design.bound) or plan.file.arms[
            arm
        ].search:
            claims.append(_above(plan, study, tested, arm, "conv_sr", "Conv-SR"))
    without_bonus = [arm for arm, config in configs.items() if config.rl.entropy_coefficient == 0.0]
    for arm, config in configs.items():
        if arm in (tested, base) or config.planner.kind != mine.planner.kind:
            continue
        if config.rl.entropy_coefficient == 0.0 < mine.rl.entropy_coefficient:
            claims.append(_above(plan, study, tested, arm, "strategy_entropy", "strategy entropy"))
        if config.rl.entropy_coefficient > mine.rl.entropy_coefficient:
            for bare in without_bonus:
                claims.append(_above(plan, study, arm, bare, "strategy_entropy", "strategy entropy"))
        if config.rl.horizon == "literal" != mine.rl.horizon:
            claims.append(_above(plan, study, arm, base, "mean_return", "the return of Eq. 8"))
            claims.append(_above(plan, study, tested, arm, "conv_sr", "Conv-SR"))
            claims.append(_above(plan, study, arm, tested, "turns", "turns"))
    claims.append(_no_collapse(plan, study, tested, base))
    return [claim for claim in claims if claim.difference is None or claim.difference.n]


def _above(plan: Plan, study: Tables, arm: str, other: str, measure: str, what: str) -> Claim:
    difference = study.difference(arm, other, measure)
    return Claim(
        text=f"{plan.title(arm)} > {plan.title(other)} in {what}",
        difference=difference,
        verdict=_verdict(difference),
    )


def _verdict(difference: Difference) -> Verdict:
    if difference.low is None or difference.high is None:
        return "open"
    return "holds" if difference.low > 0.0 else "fails" if difference.high < 0.0 else "open"


def _both(found: Iterable[Difference]) -> Verdict:
    verdicts = {_verdict(difference) for difference in found}
    return "holds" if verdicts == {"holds"} else "fails" if verdicts == {"fails"} else "open"


def _no_collapse(plan: Plan, study: Tables, tested: str, base: str) -> Claim:
    seeds = [seed for seed in study.seeds(tested) if seed in study.seeds(base)]
    entropy = study.mean_by_seed(tested, "strategy_entropy")
    reached, before = study.mean_by_seed(tested, "conv_sr"), study.mean_by_seed(base, "conv_sr")
    low = [seed for seed in seeds if (entropy[seed] or 0.0) <= LEAST_ENTROPY]
    worse = [seed for seed in seeds if (reached[seed] or 0.0) < (before[seed] or 0.0)]
    known = [value for seed in seeds if (value := entropy[seed]) is not None]
    note = f"{len(seeds)} seeds, least entropy {min(known):.2f}" if known else "no seed is finished"
    for what, found in ((f"entropy at most {LEAST_ENTROPY}", low), ("Conv-SR fell", worse)):
        note += f"; {what}: seeds {', '.join(map(str, found))}" if found else ""
    return Claim(
        text=f"no seed of {plan.title(tested)} collapses (entropy > {LEAST_ENTROPY}, Conv-SR does not fall)",
        difference=None,
        verdict="open" if not seeds else "fails" if low or worse else "holds",
        note=note,
    )


def _gap(plan: Plan, study: Tables) -> str:
    design = plan.file.study
    if not design.bound or not all(study.seeds(arm) for arm in (design.base, design.tested, design.bound)):
        return ""
    parts = []
    for measure, what in (("conv_sr", "Conv-SR"), ("absorbing", "absorbed return")):
        low, reached, high = (study.estimate(a, measure).mean for a in (design.base, design.tested, design.bound))
        if low is None or reached is None or high is None or high <= low:
            continue
        share = (reached - low) / (high - low)
        parts.append(f"{what} {low:.2f} -> {reached:.2f} -> {high:.2f} ({share:.0%} of the way)")
    titles = " -> ".join(plan.title(arm) for arm in (design.base, design.tested, design.bound))
    return f"{titles}: {'; '.join(parts)}" if parts else ""


def curves(study: Tables, arm: str, figure: str) -> tuple[list[int], list[Estimate]]:
    """A learning curve: training episodes and the mean over seeds with Student's interval (seeds are the sample)."""
    by_episodes: dict[int, list[float | None]] = {}
    for result in study.results[arm].values():
        for point in result.curve:
            by_episodes.setdefault(point.episodes, []).append(getattr(point, figure))
    reached = sorted(by_episodes)
    return reached, [estimate(by_episodes[episodes], CURVES[figure]) for episodes in reached]


def mean_shares(results: Mapping[int, ArmResult]) -> list[dict[str, float]]:
    """Strategy shares over conversation progress, averaged over seeds."""
    parts = [result.shares for result in results.values()]
    bins = max((len(part) for part in parts), default=0)
    means: list[dict[str, float]] = []
    for place in range(bins):
        found = [part[place] for part in parts if place < len(part) and part[place]]
        keys = {key for shares in found for key in shares}
        means.append({key: sum(shares.get(key, 0.0) for shares in found) / len(found) for key in sorted(keys)})
    return means
