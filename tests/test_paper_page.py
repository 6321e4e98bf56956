"""The paper's page: its rows in its order, its figures in grey, and a reason where there is no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from harness.app.commands.paper import paper
from harness.app.evaluation.decisions import SCRIPTED
from harness.app.evaluation.measures import title_of
from harness.app.evaluation.persuasion import PersuasionCounts
from harness.app.evaluation.statistics import Estimate
from harness.app.grid.comparison.improvement import change_text, mean_relative_change
from harness.app.grid.comparison.measures import Faults
from harness.app.grid.comparison.plan import SystemCell
from harness.app.grid.comparison.results import Comparison, Row
from harness.app.report import published
from harness.app.report.paper_page import TABLE_IV, TABLE_V, ablations, latex, table
from harness.app.report.paper_record import read_played
from harness.app.report.paper_settings import MODEL, STATED, differing, other_goals, quantized
from harness.app.settings.config import Config, Model, settings
from harness.app.settings.configfile import PRESETS, config_from_tree
from harness.core.errors import InputError

FAULTS = Faults(
    failed={}, missing_rewards=0, rewarded_turns=1, invalid_samples=0, missing_evaluations=0, unreadable=0, asked=0,
    truncated=0, calls=1,
)  # fmt: skip
COUNTS = PersuasionCounts(**dict.fromkeys(PersuasionCounts.__struct_fields__, 0))


def of(mean: float | None, low: float | None = None, high: float | None = None, n: int = 8) -> Estimate:
    return Estimate(mean=mean, low=low, high=high, n=n)


def row(system: str, title: str, **more: Any) -> Row:
    metrics = {"conv_sr": of(0.5, 0.25, 0.75), "cred": of(3.25)}
    values: dict[str, Any] = {
        "group": "system", "model": "default", "dataset": "inspired", "seeds": (0,), "dialogues": 8, "failed": 0,
        "failed_cells": {}, "differences": {}, "persuasion": COUNTS, "faults": FAULTS, "usage": {},
        "cost_per_dialogue": None, "metrics": metrics,
    }  # fmt: skip
    return Row(system=system, title=title, **(values | more))


def written(folder: Path, *rows: Row, without: dict[str, tuple[str, ...]] | None = None) -> Path:
    """A comparison's directory with one cell a row."""
    comparison = Comparison(
        world=SCRIPTED, reference="rso", seeds=(0,), scenarios=8, complete=True, seconds=1.0, rows=rows, groups=(),
        left_out={"UniCRS": "needs `train-crs`"},
    )  # fmt: skip
    folder.mkdir()
    (folder / "comparison.json").write_bytes(msgspec.json.encode(comparison))
    for one in rows:
        config = config_from_tree({"network": {"without": list((without or {}).get(one.system, ()))}})
        cell = SystemCell(
            system=one.system, kind="rso", stage="rl", model=one.model, dataset=one.dataset, seed=0,
            config=msgspec.to_builtins(config),
        )  # fmt: skip
        (folder / "cells" / cell.name).mkdir(parents=True)
        (folder / "cells" / cell.name / "cell.json").write_bytes(msgspec.json.encode(cell))
    return folder


def mean_of(value: Estimate | None) -> float | None:
    assert value is not None
    return value.mean


def test_rows_stand_in_the_papers_order_and_empty_ones_say_why(tmp_path):
    played = read_played(
        [
            written(
                tmp_path / "c",
                row("rso", "RSO"),
                row("q", "QwenCRS"),
                row("l", "Llamacrs", seeds=()),
                row("b", "barcor-lite"),
            )
        ]
    )
    found = dict(table(played, TABLE_IV, "table4"))
    assert list(found) == list(published.SYSTEMS)
    here, there = found["RSO"][:5], found["RSO"][5:]
    assert [value.paper for value in here] == ["3.8788", "1.0000", "3.8333", "0.9798", "0.9979"]
    assert here[3].ours == of(0.5, 0.25, 0.75)
    assert (here[0].ours, here[0].why) == (None, "not measured")
    assert {value.why for value in there} == {"not played: no comparison of REDIAL is given"}
    assert found["UniCRS"][0].why == "not played: needs `train-crs`"
    assert found["LlamaCRS"][0].why == "not played, or not finished"
    assert all(value.ours is None for value in found["BARCOR"])
    assert "as barcor-lite, on other models" in found["BARCOR"][0].why


def test_a_measure_without_a_value_is_no_number(tmp_path):
    nothing = row("rso", "RSO", metrics={"wi": of(None, n=0)})
    found = dict(table(read_played([written(tmp_path / "c", nothing)]), TABLE_IV, "table4"))
    assert found["RSO"][0].why == "no dialogue has a value"


def test_a_tables_rows_come_from_one_directory_the_fullest(tmp_path):
    other = row("rso", "RSO", metrics={"conv_sr": of(1.0)})
    folders = [written(tmp_path / "a", row("rso", "RSO")), written(tmp_path / "b", other)]
    for order, mean in ((folders, 0.5), (folders[::-1], 1.0)):
        values = dict(table(read_played(order), TABLE_IV, "table4"))["RSO"]
        assert mean_of(values[3].ours) == mean
    folders.append(written(tmp_path / "c", row("q", "QwenCRS"), row("p", "PCCRS")))
    found = dict(table(read_played(folders), TABLE_IV, "table4"))
    assert found["RSO"][3].ours is None
    assert mean_of(found["PCCRS"][3].ours) == 0.5


def test_an_ablation_is_found_by_the_expert_that_it_lacks(tmp_path):
    low = {"cred": of(2.0)}
    played = read_played(
        [
            written(
                tmp_path / "c",
                row("rso", "RSO"),
                row("x", "whatever", group="ablation", metrics=low),
                without={"x": ("fact_retriever",)},
            )
        ]
    )
    found = {(expert, corpus): values for (expert, corpus, _), values in ablations(played)}
    whole, taken, never = found["fact retriever", "INSPIRED"]
    assert (mean_of(whole.ours), mean_of(taken.ours), never.ours) == (3.25, 2.0, None)
    assert (whole.paper, taken.paper) == ("3.83", "2.73")
    assert never.why == "not played"
    assert found["planner", "INSPIRED"][2].why == "without a planner there is no training"
    assert found["planner", "REDIAL"][0].why == "not played: no comparison of REDIAL is given"


def test_the_page_says_whose_numbers_it_has(tmp_path):
    folder = written(tmp_path / "c", row("rso", "RSO"), row("own", "InterCRS, own query"))
    page = paper([folder], None, Console(quiet=True)).read_text()
    assert "Numbers of the scripted world" in page
    assert published.SOURCE in page
    for words in ("Table II", "Table III", "Table IV", "Table V", "Fig. 3", "Fig. 4", "Fig. 5", "Fig. 6"):
        assert words in page
    assert "InterCRS, own query, INSPIRED" in page
    assert "roberta-base" in page
    tex = (folder / "paper.tex").read_text()
    assert tex.count(r"\toprule") == 2
    assert r"RSO & -- {\scriptsize\color{gray}3.8788}" in tex
    assert latex(read_played([folder])) == tex


def test_what_is_no_comparison_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"comparison\.json"):
        paper([tmp_path], None, Console(quiet=True))


def test_only_what_differs_from_the_papers_settings_is_listed():
    stated = config_from_tree({"preset": "paper"})
    assert list(differing(stated, {"actor": MODEL})) == []
    changed = config_from_tree({"preset": "paper", "rl": {"passes": 4}})
    (one,) = differing(changed, {"actor": MODEL})
    assert (one.what, one.paper, one.here) == ("rl.passes", "1", "4")
    (model,) = differing(stated, {"actor": "other"})
    assert (model.paper, model.here) == (MODEL, "other")
    goals = {"held_out_goals_file": "/data/test.tsv"}
    assert list(other_goals("inspired", config_from_tree({"data": goals}), 99)) == []
    found = other_goals("inspired", config_from_tree({"data": {"inspired": "/data/dev.tsv"}}), 8)
    assert [one.here for one in found] == ["8", "dev.tsv in inspired's layout"]
    few = Config(models={"default": Model(backend="vllm", arguments=("--x", "--quantization", "fp8"))})
    assert [one.here for one in quantized(few)] == ["fp8"]


def test_every_stated_setting_is_a_key():
    assert STATED.keys() <= settings(Config()).keys()
    assert PRESETS["paper"]


def test_the_papers_column_improve_follows_from_its_rates():
    lines = published.by_system("table5")
    for (system, corpus), line in lines.items():
        if system != "UniCRS":
            ours, base = ([float(one[name]) for name in TABLE_V] for one in (line, lines["UniCRS", corpus]))
            printed = line["Improve"]
            change = mean_relative_change(ours, base)
            value = float(printed.rstrip("%x")) / (100.0 if printed.endswith("%") else 1.0)
            assert change == pytest.approx(value, rel=0.02), (system, corpus, change_text(change))


def test_every_column_is_a_measure():
    assert all(title_of(name) for name in (*TABLE_IV.values(), *TABLE_V.values()))
    for name in ("table2", "table3", "table4", "table5", "ablations"):
        assert published.read(name)
