"""Finished cells -> `comparison.json`: estimates, paired differences to the reference, groups, faults, cost; pure.

Intervals and tests are over seeds x scenarios (`evaluation.two_way`); Holm's correction goes over the rows of one
dataset and measure. A row's reference is the reference system with the same model, else with the first of its models.
Cells that failed are named in their rows and are in no number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from harness.app.evaluation.decisions import SCRIPTED
from harness.app.evaluation.measures import MEASURES, PARTS, in_order, scale_of
from harness.app.evaluation.persuasion import PersuasionCounts
from harness.app.evaluation.pools import refuse_other_pools
from harness.app.evaluation.statistics import Estimate, estimate
from harness.app.evaluation.summary import added
from harness.app.evaluation.two_way import (
    Difference,
    Table,
    compare_ratios,
    compare_two_way,
    estimate_two_way,
    holm,
    ratio_two_way,
    values_of,
)
from harness.app.grid.comparison.improvement import Improvement, improvement
from harness.app.grid.comparison.measures import Faults, SystemResult
from harness.app.grid.comparison.parts import Parts, notes
from harness.app.grid.comparison.plan import RSO, Plan, Prices, SystemCell
from harness.core.messages import Struct, Usage

GROUPED = (
    "conv_sr", "acceptance", "turns", "wi", "prs", "cred", "rec_sr_last", "recall_1", "recall_5",
)  # fmt: skip


class Row(Struct, frozen=True, kw_only=True):
    """One system with one model on one dataset, over all seeds."""

    system: str
    title: str
    group: str
    model: str
    served: str = ""
    """What that model's server serves: ``Qwen/Qwen2.5-7B-Instruct``; empty in results of older versions."""
    dataset: str
    seeds: tuple[int, ...]
    """Of the cells that finished."""
    dialogues: int
    """Played, failed ones among them."""
    failed: int
    """Dialogues that failed: in no mean."""
    failed_cells: dict[int, str]
    """Seed -> why its cell did not finish."""
    metrics: dict[str, Estimate]
    differences: dict[str, Difference]
    """To the reference; empty in the reference's own row."""
    persuasion: PersuasionCounts
    faults: Faults
    usage: dict[str, Usage]
    cost_per_dialogue: float | None
    """In the currency of ``[prices]``; None where a model that was used has no price."""
    parts: Parts = Parts()
    """Which parts were at work (Table III)."""
    trained_without: bool = False
    """An ablation whose planner was trained without the experts too, instead of losing them afterwards."""
    improve: Improvement | None = None
    """Over the system of ``comparison.improve_over``."""


class Group(Struct, frozen=True, kw_only=True):
    """A part of one row's dialogues: those of a persona, a trait, a kind of goal."""

    system: str
    model: str
    dataset: str
    by: str
    value: str
    metrics: dict[str, Estimate]


class Comparison(Struct, frozen=True, kw_only=True):
    """``comparison.json``."""

    world: str
    reference: str
    seeds: tuple[int, ...]
    scenarios: int
    complete: bool
    seconds: float
    rows: tuple[Row, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    """How systems differ from their sources, and what a scripted world decides for them."""
    left_out: dict[str, str] = {}
    """Title -> why, of rows of the file that are not played."""


def summarize(
    plan: Plan, results: Mapping[str, SystemResult], failures: Mapping[str, str], *, world: str, seconds: float
) -> Comparison:
    """All rows in the order of the file. ``results`` and ``failures`` are by cell name."""
    reference = plan.file.comparison.reference
    rows: list[Row] = []
    groups: list[Group] = []
    for dataset in plan.file.datasets:
        found = [result for result in results.values() if result.dataset == dataset]
        refuse_other_pools({name: r.pool for name, r in results.items() if r.dataset == dataset})
        sheet = _Sheet(plan.file.comparison.seeds, found)
        cells = [cell for cell in plan.cells if cell.dataset == dataset]
        here = [
            _row(plan, [cell for cell in cells if (cell.system, cell.model) == key], results, failures, sheet)
            for key in dict.fromkeys((cell.system, cell.model) for cell in cells)
        ]
        rows += _with_differences(_with_improvement(here, plan.file.comparison.improve_over), sheet, reference)
        groups += [group for row in here for group in _groups(row, sheet)]
    return Comparison(
        world=world,
        reference=reference,
        seeds=plan.file.comparison.seeds,
        scenarios=max((len(result.scenarios) for result in results.values()), default=0),
        complete=all(cell.name in results for cell in plan.cells),
        seconds=seconds,
        rows=tuple(rows),
        groups=tuple(groups),
        notes=_notes(plan, world),
        left_out=plan.left_out,
    )


class _Sheet:
    """One dataset's results as tables of one shape: the plan's seeds by all scenarios that some cell played."""

    def __init__(self, seeds: Sequence[int], found: Sequence[SystemResult]) -> None:
        self._seeds = seeds
        self._found = found
        self._scenarios = sorted({scenario for result in found for scenario in result.scenarios})

    def of(self, system: str, model: str) -> list[SystemResult]:
        return [result for result in self._found if (result.system, result.model) == (system, model)]

    def tables(self, system: str, model: str, keep: Collection[str] | None = None) -> dict[str, Table]:
        """Measure -> (S, N), of every measure that was taken; columns: the scenarios in ``keep`` (all, if None)."""
        found = self.of(system, model)
        measured = {name: None for result in found for name in result.values}
        columns = [scenario for scenario in self._scenarios if keep is None or scenario in keep]
        return {
            name: values_of({result.seed: result.values.get(name, {}) for result in found}, self._seeds, columns)
            for name in in_order(measured)
        }

    def parts(self) -> dict[tuple[str, str], set[str]]:
        """(field, value) -> scenarios, over all labels of this dataset's scenarios."""
        parts: dict[tuple[str, str], set[str]] = {}
        for result in self._found:
            for scenario, labels in result.groups.items():
                for label in labels.items():
                    parts.setdefault(label, set()).add(scenario)
        return parts


def _row(
    plan: Plan,
    cells: Sequence[SystemCell],
    results: Mapping[str, SystemResult],
    failures: Mapping[str, str],
    sheet: _Sheet,
) -> Row:
    first = cells[0]
    found = sheet.of(first.system, first.model)
    dialogues = sum(len(result.scenarios) for result in found)
    estimates = _estimates(sheet.tables(first.system, first.model))
    # One number a seed, so its interval is over the seeds alone.
    estimates["corpus_dist_2"] = estimate([result.corpus_dist_2 for result in found], scale_of("corpus_dist_2"))
    faults = _added_faults([result.faults for result in found])
    return Row(
        system=first.system,
        title=plan.title(first.system),
        group=plan.file.systems[first.system].group,
        model=first.model,
        served=_served(first),
        dataset=first.dataset,
        seeds=tuple(result.seed for result in found),
        dialogues=dialogues,
        failed=sum(faults.failed.values()),
        failed_cells={cell.seed: failures[cell.name] for cell in cells if cell.name in failures},
        metrics=estimates,
        differences={},
        persuasion=_added_counts([result.persuasion for result in found]),
        faults=faults,
        usage=added(*(result.usage for result in found)),
        cost_per_dialogue=_cost(found, plan.file.prices, dialogues),
        parts=sum((result.parts for result in found), Parts()),
        trained_without=plan.file.systems[first.system].trained_without,
    )


def _served(cell: SystemCell) -> str:
    model = cell.resolved().models.get(cell.model)
    return model.model if model is not None else ""


def _estimates(tables: Mapping[str, Table]) -> dict[str, Estimate]:
    """Of every measure that is shown: those that were taken, and the ratios of two of them."""
    found = {name: estimate_two_way(table, scale_of(name)) for name, table in tables.items() if name not in PARTS}
    for name, entry in MEASURES.items():
        if entry.ratio is not None and all(part in tables for part in entry.ratio):
            found[name] = ratio_two_way(*(tables[part] for part in entry.ratio))
    return {name: found[name] for name in in_order(found)}


def _notes(plan: Plan, world: str) -> tuple[str, ...]:
    titles: dict[str, list[str]] = {}
    for name, system in plan.file.systems.items():
        if system.kind != RSO and not system.left_out:
            titles.setdefault(system.kind, []).append(plan.title(name))
    return tuple(notes({kind: ", ".join(named) for kind, named in titles.items()}, scripted=world == SCRIPTED))


def _with_improvement(rows: Sequence[Row], over: str) -> list[Row]:
    bases = {row.model: row for row in rows if row.system == over}
    if not bases:
        return list(rows)
    first = next(iter(bases.values()))
    return [
        row
        if row.system == over
        else msgspec.structs.replace(row, improve=improvement(row.metrics, bases.get(row.model, first).metrics))
        for row in rows
    ]


def _with_differences(rows: Sequence[Row], sheet: _Sheet, reference: str) -> list[Row]:
    references = {row.model: row for row in rows if row.system == reference}
    others = [row for row in rows if row.system != reference]
    tables = {(row.system, row.model): sheet.tables(row.system, row.model) for row in rows}
    found: dict[int, dict[str, Difference]] = {place: {} for place in range(len(others))}
    for name in in_order({name: None for row in rows for name in row.metrics}):
        raw: dict[int, Difference] = {}
        for place, row in enumerate(others):
            beside = references.get(row.model) or next(iter(references.values()))
            one = _difference(tables[row.system, row.model], tables[beside.system, beside.model], name)
            if one is not None:
                raw[place] = one
        for (place, one), p in zip(raw.items(), holm([one.p for one in raw.values()]), strict=True):
            found[place][name] = msgspec.structs.replace(one, p_holm=p)
    own = iter(found[place] for place in range(len(others)))
    return [row if row.system == reference else msgspec.structs.replace(row, differences=next(own)) for row in rows]


def _difference(ours: Mapping[str, Table], reference: Mapping[str, Table], name: str) -> Difference | None:
    """None where one of the two does not have the measure."""
    ratio = MEASURES[name].ratio if name in MEASURES else None
    if any(part not in ours or part not in reference for part in ratio or (name,)):
        return None
    if ratio is not None:
        over, under = ratio
        return compare_ratios((ours[over], ours[under]), (reference[over], reference[under]))
    return compare_two_way(ours[name], reference[name], scale_of(name))


def _groups(row: Row, sheet: _Sheet) -> list[Group]:
    groups = []
    for (by, value), scenarios in sorted(sheet.parts().items()):
        estimates = _estimates(sheet.tables(row.system, row.model, scenarios))
        groups.append(
            Group(
                system=row.system,
                model=row.model,
                dataset=row.dataset,
                by=by,
                value=value,
                metrics={name: estimates[name] for name in GROUPED if name in estimates},
            )
        )
    return groups


def _cost(found: Sequence[SystemResult], prices: Mapping[str, Prices], dialogues: int) -> float | None:
    total = 0.0
    for result in found:
        for role, used in result.usage.items():
            price = prices.get(result.models[role])
            if price is None:
                return None
            total += (used.prompt_tokens * price.prompt + used.completion_tokens * price.completion) / 1e6
    return total / dialogues if dialogues else None


def _added_counts(parts: Sequence[PersuasionCounts]) -> PersuasionCounts:
    names = PersuasionCounts.__struct_fields__
    return PersuasionCounts(**{name: sum(getattr(part, name) for part in parts) for name in names})


def _added_faults(parts: Sequence[Faults]) -> Faults:
    counts = {name: sum(getattr(part, name) for part in parts) for name in Faults.__struct_fields__ if name != "failed"}
    failed = sum((Counter(part.failed) for part in parts), Counter[str]())
    return Faults(failed=dict(sorted(failed.items())), **counts)
