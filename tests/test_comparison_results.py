"""From cells to tables: what is paired, bold, missing or failed; on made-up cells with known values."""

from __future__ import annotations

import csv
import io
import re

import msgspec
import numpy as np
import pytest
from rich.console import Console

from harness.app.evaluation.measures import MEASURES, title_of
from harness.app.evaluation.persuasion import PersuasionCounts
from harness.app.grid.comparison.figures import FIGURES, ablations, comparison_figures, of_several_sizes
from harness.app.grid.comparison.measures import Faults, SystemResult
from harness.app.grid.comparison.plan import ComparisonFile, DatasetSettings, Paper, Plan, Prices, System, SystemCell
from harness.app.grid.comparison.results import summarize
from harness.app.grid.comparison.tables import groups_csv, latex, main_tables, rows_csv, verdict
from harness.core.messages import Usage

SEEDS = (0, 1, 2, 3, 4)
SCENARIOS = tuple(f"s{n:02d}" for n in range(20))
SYSTEMS = {
    "base": System(title="Base", kind="prompted"),
    "rso": System(title="RSO_1"),
    "ablated": System(title="RSO 100%", group="ablation"),
}


def plan(systems=SYSTEMS, reference="rso", models=("m",), prices=None):
    file = ComparisonFile(
        comparison=Paper(seeds=SEEDS, reference=reference),
        systems=systems,
        datasets={"d": DatasetSettings(experiment="x.toml")},
        prices=prices or {},
    )
    cells = [
        SystemCell(
            system=name,
            kind=system.kind,
            stage=system.stage,
            model=model,
            dataset="d",
            seed=seed,
            config={},
        )
        for name, system in systems.items()
        for model in models
        for seed in SEEDS
    ]
    return Plan(file=file, cells=tuple(cells), trainings=())


def result(cell, level, *, failed=(), **levels):
    """A cell whose values are around ``level``, from luck that all systems share and some of its own."""
    shared = np.random.default_rng([cell.seed, 1]).normal(size=len(SCENARIOS))
    own = np.random.default_rng([cell.seed, len(cell.system), len(cell.model)]).normal(size=len(SCENARIOS))
    luck = shared + 0.1 * own
    values = {}
    for name in MEASURES.keys() - {"prs", "corpus_dist_2"}:
        wanted = levels.get(name, level)
        values[name] = {
            scenario: None if wanted is None else float(wanted + 0.1 * luck[place])
            for place, scenario in enumerate(SCENARIOS)
            if scenario not in failed
        }
    return SystemResult(
        system=cell.system,
        model=cell.model,
        dataset=cell.dataset,
        seed=cell.seed,
        digest="",
        scenarios=SCENARIOS,
        groups={s: {"persona": "a" if n % 2 else "b"} for n, s in enumerate(SCENARIOS)},
        values=values,
        corpus_dist_2=0.5,
        persuasion=PersuasionCounts(used=3, undefined=1, missing=0, over_persuaded=2),
        faults=Faults(
            failed={"reply": len(failed)} if failed else {},
            missing_rewards=0,
            rewarded_turns=40,
            invalid_samples=0,
            missing_evaluations=0,
            unreadable=1,
            asked=10,
            truncated=0,
            calls=100,
        ),
        usage={"actor": Usage(calls=2, prompt_tokens=1_000_000, completion_tokens=500_000)},
        models={"actor": cell.model},
        pool=f"people of {cell.dataset}",
    )


def comparison(levels, *, of=None, failures=None, without=(), **options):
    whole = of or plan()
    results = {
        cell.name: result(cell, **({"level": levels[cell.system]} | options.get(cell.system, {})))
        for cell in whole.cells
        if cell.name not in without
    }
    return summarize(whole, results, failures or {}, world="made up", seconds=1.0)


def rows_of(found):
    return {row.system: row for row in found.rows}


def shown(found):
    out = io.StringIO()
    console = Console(file=out, width=200)
    for table in main_tables(found, 160):
        console.print(table)
    return out.getvalue()


def bold_cells(found):
    texts = [cell for table in main_tables(found, 160) for column in table.columns for cell in column.cells]
    return [text for text in texts if getattr(text, "style", "") == "bold"]


def test_nothing_is_bold_that_is_not_significant():
    equal = comparison({"base": 0.5, "rso": 0.5, "ablated": 0.5})
    # Equal but for luck: twenty-odd measures, two rows, and Holm's correction.
    assert not any(d.significant for row in equal.rows for d in row.differences.values())
    assert bold_cells(equal) == []
    assert "†" not in shown(equal)
    assert r"\textbf" not in latex(equal)


def test_better_is_bold_worse_is_marked_and_the_reference_is_neither():
    found = comparison({"base": 0.9, "rso": 0.5, "ablated": 0.2})
    rows = rows_of(found)
    assert verdict(rows["base"], "conv_sr") == "better"
    assert verdict(rows["base"], "turns") == "worse"  # more turns
    assert verdict(rows["ablated"], "conv_sr") == "worse"
    assert verdict(rows["rso"], "conv_sr") == ""
    assert rows["base"].differences["conv_sr"].mean == pytest.approx(0.4, abs=0.02)
    assert bold_cells(found)
    assert re.search(r"0\.2\d†", shown(found))
    assert re.search(r"\\textbf\{0\.9\d\}", latex(found))


def test_a_system_without_values_has_none_and_is_compared_with_nothing():
    found = comparison({"base": 0.5, "rso": 0.5, "ablated": 0.5}, ablated={"recall_5": None, "prs_gain": None})
    row = rows_of(found)["ablated"]
    for name in ("recall_5", "prs"):
        assert row.metrics[name].mean is None
        assert row.differences[name].p is None
        assert verdict(row, name) == ""
    assert "–" in shown(found)


def test_failed_dialogues_are_counted_beside_every_number():
    found = comparison({"base": 0.5, "rso": 0.5, "ablated": 0.5}, base={"failed": SCENARIOS[:3]})
    row = rows_of(found)["base"]
    assert (row.dialogues, row.failed, row.metrics["turns"].n) == (100, 15, 85)
    assert row.faults.failed == {"reply": 15}
    assert row.differences["turns"].n == 85
    assert "85" in shown(found)
    assert "(15)" in shown(found)
    assert "15.0%" in shown(found)


def test_a_failed_cell_is_named_and_its_seed_is_in_no_number():
    whole = plan()
    name = next(cell.name for cell in whole.cells if cell.system == "base" and cell.seed == 2)
    found = comparison({"base": 0.5, "rso": 0.5, "ablated": 0.5}, without=(name,), failures={name: "the server died"})
    row = rows_of(found)["base"]
    assert not found.complete
    assert row.failed_cells == {2: "the server died"}
    assert row.seeds == (0, 1, 3, 4)
    assert row.differences["turns"].n == 80  # paired with the reference's same seeds
    assert "1 cells!" in shown(found)


def test_nothing_finished_is_no_table_of_zeros():
    whole = plan()
    found = comparison({}, of=whole, without=[cell.name for cell in whole.cells])
    assert all(estimate.mean is None for row in found.rows for estimate in row.metrics.values())
    assert all(row.cost_per_dialogue is None for row in found.rows)


def test_every_column_of_every_table_has_a_heading():
    for table in main_tables(comparison({"base": 0.5, "rso": 0.5, "ablated": 0.5}), 160):
        assert all(column.header for column in table.columns[1:])


def test_groups_part_the_dialogues():
    found = comparison({"base": 0.5, "rso": 0.5, "ablated": 0.5})
    parts = [group for group in found.groups if group.system == "rso"]
    assert [(group.by, group.value, group.metrics["turns"].n) for group in parts] == [
        ("persona", "a", 50),
        ("persona", "b", 50),
    ]
    lines = list(csv.DictReader(io.StringIO(groups_csv(found))))
    assert {line["value"] for line in lines} == {"a", "b"}


def test_cost_needs_a_price_for_every_model():
    levels = {"base": 0.5, "rso": 0.5, "ablated": 0.5}
    assert rows_of(comparison(levels))["rso"].cost_per_dialogue is None
    priced = plan(prices={"m": Prices(prompt=3.0, completion=4.0)})
    # 1M x 3 + .5M x 4 = 5 a cell of 20 dialogues
    assert rows_of(comparison(levels, of=priced))["rso"].cost_per_dialogue == pytest.approx(5 / 20)


def test_a_model_is_compared_with_the_reference_on_the_same_model():
    whole = plan(models=("small", "large"))
    results = {
        cell.name: result(cell, level=(0.2 if cell.model == "small" else 0.8) + (0.1 if cell.system == "base" else 0))
        for cell in whole.cells
    }
    found = summarize(whole, results, {}, world="made up", seconds=1.0)
    differences = {row.model: row.differences["conv_sr"].mean for row in found.rows if row.system == "base"}
    assert differences == pytest.approx({"small": 0.1, "large": 0.1}, abs=0.02)
    assert "Base, small" in shown(found)


def test_figures_show_what_there_is():
    found = comparison({"base": 0.5, "rso": 0.5, "ablated": 0.3}, ablated={"recall_5": None})
    assert [name for name, _ in comparison_figures(found)] == ["ablations_d", "systems_d"]
    without = comparison({"base": 0.5, "rso": 0.5}, of=plan(dict(list(SYSTEMS.items())[:2])))
    assert [name for name, _ in comparison_figures(without)] == ["systems_d"]


def test_fig_5_has_both_modes_and_fig_4_the_reference_beside_systems_of_several_sizes():
    systems = SYSTEMS | {"retrained": System(group="ablation", trained_without=True)}
    found = comparison(dict.fromkeys(systems, 0.5), of=plan(systems))
    assert [row.system for row in ablations(found.rows, "rso")] == ["rso", "ablated"]
    assert [row.system for row in ablations(found.rows, "rso", trained_without=True)] == ["rso", "retrained"]
    assert of_several_sizes(found.rows, "rso") == []
    assert [name for name, _ in comparison_figures(found)] == [
        "ablations_d",
        "ablations_trained_without_d",
        "systems_d",
    ]
    whole = plan({name: SYSTEMS[name] for name in ("base", "rso")}, models=("q-7B", "q-14B"))
    cells = [cell for cell in whole.cells if (cell.system, cell.model) != ("rso", "q-14B")]
    whole = msgspec.structs.replace(whole, cells=tuple(cells))
    sized = summarize(whole, {cell.name: result(cell, 0.5) for cell in cells}, {}, world="made up", seconds=1.0)
    shown = of_several_sizes(sized.rows, "rso")
    assert [(row.system, row.model) for row in shown] == [("base", "q-7B"), ("base", "q-14B"), ("rso", "q-7B")]
    drawn = dict(comparison_figures(sized))["scale_d"]
    assert [panel.get_title() for panel in drawn.axes if panel.get_visible()] == [title_of(name) for name in FIGURES]
    assert [label.get_text() for label in drawn.axes[0].get_xticklabels()] == ["7B", "14B"]


def test_a_cell_of_before_does_not_have_a_measure_and_is_not_compared_by_it():
    whole = plan()
    results = {cell.name: result(cell, 0.5) for cell in whole.cells}
    for found in results.values():
        if found.system == "base":
            del found.values["harmed"], found.values["prs_room"]
        elif (found.system, found.seed) == ("ablated", 0):
            del found.values["harmed"]
    rows = rows_of(summarize(whole, results, {}, world="made up", seconds=1.0))
    for name in ("harmed", "prs"):
        assert name not in rows["base"].metrics
        assert name not in rows["base"].differences
    assert rows["ablated"].metrics["harmed"].n == 80  # of the seeds that have it
    assert rows["ablated"].differences["harmed"].n == 80
    assert "measured" in shown(summarize(whole, results, {}, world="made up", seconds=1.0))


def test_improve_stands_in_table_v_over_the_system_that_is_named():
    whole = plan()
    axes = msgspec.structs.replace(whole.file.comparison, improve_over="base")
    whole = msgspec.structs.replace(whole, file=msgspec.structs.replace(whole.file, comparison=axes))
    found = comparison({"base": 0.25, "rso": 0.5, "ablated": 0.5}, of=whole)
    rows = rows_of(found)
    assert rows["base"].improve is None
    assert rows["rso"].improve.mean == pytest.approx(1.0, abs=0.1)
    assert "Improve." in shown(found)
    assert "Improve." in latex(found)
    assert "Improve." not in shown(comparison({"base": 0.25, "rso": 0.5, "ablated": 0.5}))


def test_csv_has_every_measure_and_latex_survives_special_characters():
    found = comparison({"base": 0.5, "rso": 0.5, "ablated": 0.5})
    lines = list(csv.DictReader(io.StringIO(rows_csv(found))))
    assert {line["measure"] for line in lines if line["system"] == "rso"} == {*rows_of(found)["rso"].metrics}
    reference = next(line for line in lines if line["system"] == "rso")
    assert reference["difference"] == ""
    assert r"RSO\_1" in latex(found)
    assert r"RSO 100\%" in latex(found)
