"""A whole comparison through the real HTTP path: plan, cells, resumption, failures, and what it leaves on disk."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import time
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from support.inline import inline_cells
from support.present import present

from harness.app.commands.compare import compare
from harness.app.grid import cell as cells
from harness.app.grid import worker
from harness.app.grid.cell import RESULT
from harness.app.grid.comparison import plan as plans
from harness.app.grid.comparison.measures import SystemResult
from harness.app.grid.comparison.plan import read_plan
from harness.app.grid.comparison.results import Comparison
from harness.app.grid.comparison.room import CELLS, COMPARISON
from harness.app.grid.orders import Answer, order_for
from harness.app.setup import baselines
from harness.core.errors import CellsFailed, ConfigError, ExpertError, InputError, Interrupted
from harness.core.log.loggedepisodes import read_episodes

pytestmark = pytest.mark.usefixtures("_inline")
ROOT = Path(__file__).parent.parent
FILE = """
[comparison]
name = "small"
directory = "runs"
seeds = [3, 5]
scenarios = 4
reference = "rso"
set = ["planner.kind=tabular", "warmup.epochs=1", "conversation.max_turns=2", "rl.dialogues_per_epoch=4"]

[datasets.tiny]
experiment = "{experiments}/tiny.toml"

[systems.prompted]
title = "QwenCRS"
kind = "prompted"
{prompted}

[systems.sft]
stage = "warmup"

[systems.rso]
title = "RSO"

[systems.no_facts]
group = "ablation"
set = ['network.without=["fact_retriever"]']

[prices.default]
prompt = 1.0
completion = 2.0
"""


@pytest.fixture(scope="module")
def _inline():
    with inline_cells():
        yield


def read_result(directory: Path) -> SystemResult | None:
    return cells.read_result(directory, SystemResult)


def written(folder: Path, **parts: str) -> Path:
    path = folder / "comparison.toml"
    path.write_text(FILE.format(**{"experiments": ROOT / "experiments", "prompted": ""} | parts))
    return path


def play(path: Path, folder: Path, **options) -> tuple[Comparison, str]:
    with (folder.parent / "said.txt").open("w+") as said:
        comparison = compare(path, folder, options.pop("overrides", []), Console(file=said), quiet=True, **options)
        said.seek(0)
        return comparison, said.read()


@pytest.fixture(scope="module")
def done(tmp_path_factory, _inline):
    """(comparison file, its finished directory, the comparison, what was printed); tests copy the directory."""
    home = tmp_path_factory.mktemp("comparison")
    path = written(home)
    comparison, said = play(path, home / "run")
    return path, home / "run", comparison, said


@pytest.fixture
def again(done, tmp_path):
    """(comparison file, a copy of the finished directory)."""
    shutil.copytree(done[1], tmp_path / "run")
    return done[0], tmp_path / "run"


def test_every_cell_is_played_and_every_row_has_its_numbers(done):
    _, folder, comparison, said = done
    assert comparison.complete
    assert [row.system for row in comparison.rows] == ["prompted", "sft", "rso", "no_facts"]
    assert {path.name for path in (folder / CELLS).iterdir()} == {
        f"{system}.default.tiny.s{seed}" for system in ("prompted", "sft", "rso", "no_facts") for seed in (3, 5)
    }
    for row in comparison.rows:
        assert (row.dialogues, row.failed, row.seeds) == (8, 0, (3, 5))
        assert row.metrics["turns"].n == 8
        assert row.cost_per_dialogue > 0
        assert row.faults.unreadable == 0
        assert bool(row.differences) == (row.system != "rso")
    assert "Table IV" in said
    assert "scripted world" in said
    assert "Decisions of the reference: horizon absorbing" in said


def test_what_a_system_lacks_is_missing_not_zero(done):
    rows = {row.system: row for row in done[2].rows}
    assert rows["no_facts"].metrics["recall_5"].mean is None
    assert rows["prompted"].metrics["strategy_entropy"].mean is None
    assert rows["rso"].metrics["recall_5"].mean is not None


def test_systems_meet_the_same_scenarios_in_all_seeds(done):
    played = {}
    for path in (done[1] / CELLS).iterdir():
        episodes = read_episodes(path / "episodes.jsonl")
        played[path.name] = [(e.started.scenario, e.started.seed) for e in episodes]
    scenarios = {name: [scenario for scenario, _ in pairs] for name, pairs in played.items()}
    assert len({msgspec.json.encode(found) for found in scenarios.values()}) == 1
    assert played["rso.default.tiny.s3"] == played["prompted.default.tiny.s3"]  # the same luck, too
    assert played["rso.default.tiny.s3"] != played["rso.default.tiny.s5"]


def test_one_training_a_seed_serves_all_rso_systems(done):
    trainings = [path.name for path in (done[1] / "trainings").iterdir()]
    assert sorted(name.partition(".s")[2][0] for name in trainings) == ["3", "5"]
    versions = {
        path.name: {present(t.decision).strategy for e in read_episodes(path / "episodes.jsonl") for t in e.transitions}
        for path in (done[1] / CELLS).iterdir()
        if path.name.startswith(("sft", "rso"))
    }
    assert all(versions.values())


def test_training_and_evaluation_share_no_film(done):
    trained = next((done[1] / "trainings").iterdir())
    seen = {e.started.scenario.goal.target for e in read_episodes(trained / "episodes.jsonl")}
    held = {
        e.started.scenario.goal.target for e in read_episodes(done[1] / CELLS / "rso.default.tiny.s3/episodes.jsonl")
    }
    assert seen
    assert not seen & held


def test_the_files_hold_the_same_numbers(done):
    _, folder, comparison, _ = done
    assert msgspec.json.decode((folder / COMPARISON).read_bytes(), type=Comparison) == comparison
    with (folder / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    turns = next(line for line in lines if (line["system"], line["measure"]) == ("rso", "turns"))
    reference = next(row for row in comparison.rows if row.system == "rso")
    assert float(turns["mean"]) == reference.metrics["turns"].mean
    with (folder / "groups.csv").open(newline="") as file:
        parts = [line for line in csv.DictReader(file) if (line["system"], line["measure"]) == ("rso", "turns")]
    for by in ("persona", "taste", "goal_attributes"):
        assert sum(int(line["n"]) for line in parts if line["by"] == by) == 8
    assert r"\toprule" in (folder / "tables.tex").read_text()
    assert (folder / "ablations_tiny.svg").read_bytes().startswith(b"<?xml")
    assert (folder / "systems_tiny.png").exists()


def test_a_finished_comparison_is_not_played_again(again):
    path, folder = again
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.jsonl") if "cells" in file.parts}
    comparison, _ = play(path, folder)
    assert comparison.complete
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_cell_that_was_cut_off_goes_on_to_the_same_dialogues(again, done):
    path, folder = again
    cell = folder / CELLS / "rso.default.tiny.s5"
    (cell / RESULT).unlink()
    (cell / "readings.jsonl").write_bytes((cell / "readings.jsonl").read_bytes()[:-7])
    log = (cell / "episodes.jsonl").read_bytes()
    (cell / "episodes.jsonl").write_bytes(log[: len(log) // 2])
    comparison, _ = play(path, folder)
    # What was asked again is paid again; every number is the same.
    assert [(row.metrics, row.differences) for row in comparison.rows] == [
        (row.metrics, row.differences) for row in done[2].rows
    ]
    assert present(read_result(cell)).digest == present(read_result(done[1] / CELLS / cell.name)).digest


def test_a_limited_look_is_extended_later(tmp_path, done):
    folder = tmp_path / "run"
    shutil.copytree(done[1] / "trainings", folder / "trainings")
    shutil.copy(done[1] / "config.json", folder)
    (folder / "logs").mkdir()
    look, _ = play(done[0], folder, limit=2, only=["prompted"])
    assert [(row.system, row.dialogues) for row in look.rows] == [("prompted", 4), ("rso", 4)]
    whole, _ = play(done[0], folder)
    assert [row.metrics for row in whole.rows] == [row.metrics for row in done[2].rows]


def test_a_cell_is_a_function_of_its_config_and_directory(tmp_path, done):
    plan = read_plan(done[0])
    cell = next(cell for cell in plan.cells if cell.name == "prompted.default.tiny.s3")
    assert worker.play(order_for("comparison", cell, tmp_path / "elsewhere", limit=None)).error == ""
    found, known = (read_result(folder) for folder in (tmp_path / "elsewhere", done[1] / CELLS / cell.name))
    assert found is not None
    assert known is not None
    # Events of conversations side by side are logged in the order in which they come.
    assert msgspec.structs.replace(found, log=None) == msgspec.structs.replace(known, log=None)


def test_a_failed_cell_is_reported_and_the_others_go_on(again, capsys):
    path, folder = again
    broken = folder / CELLS / "sft.default.tiny.s3"
    (broken / RESULT).unlink()
    (broken / "episodes.jsonl").write_text("no event\n")
    other = folder / CELLS / "no_facts.default.tiny.s5"
    shutil.rmtree(other)
    with pytest.raises(CellsFailed, match=r"1 of 8 cells failed .*sft\.default\.tiny\.s3: .*is damaged"):
        play(path, folder)
    comparison = msgspec.json.decode((folder / COMPARISON).read_bytes(), type=Comparison)
    rows = {row.system: row for row in comparison.rows}
    assert not comparison.complete
    assert list(rows["sft"].failed_cells) == [3]
    assert (rows["sft"].seeds, rows["sft"].dialogues) == ((5,), 4)
    assert (other / RESULT).exists()
    shutil.rmtree(broken)
    assert play(path, folder)[0].complete


def test_a_baseline_that_raises_in_every_dialogue_fails_with_its_reason_and_is_played_again(tmp_path, monkeypatch):
    class Broken:
        def __init__(self, *_, **__): ...

        async def respond(self, state):
            raise ExpertError("the baseline has no prompt.")

    keys = ["comparison.seeds=[3]", "comparison.scenarios=2", "comparison.reference=prompted"]
    with monkeypatch.context() as patch:
        patch.setitem(baselines.BASELINES, "pccrs", Broken)
        path = written(tmp_path)
        path.write_text(path.read_text().replace("[systems.sft]", '[systems.broken]\nkind = "pccrs"\n\n[systems.sft]'))
        with pytest.raises(CellsFailed, match=r"1 of 2 cells failed .*broken.*the baseline has no prompt\.") as failed:
            play(path, tmp_path / "run", overrides=keys, only=["broken"])
    assert failed.value.exit_code == 1
    comparison = msgspec.json.decode((tmp_path / "run" / COMPARISON).read_bytes(), type=Comparison)
    assert (
        "the baseline has no prompt" in next(row for row in comparison.rows if row.system == "broken").failed_cells[3]
    )
    again, _ = play(path, tmp_path / "run", overrides=keys, only=["broken"])
    assert again.complete
    assert all(row.failed == 0 for row in again.rows)


def test_changed_settings_are_refused_before_anything_is_touched(again):
    path, folder = again
    before = (folder / COMPARISON).read_bytes()
    with pytest.raises(InputError, match=r"changed: reward\.threshold"):
        play(path, folder, overrides=["reward.threshold=0.5"])
    assert (folder / COMPARISON).read_bytes() == before


def test_another_text_is_refused_by_its_cells_and_accepted_once(again, monkeypatch):
    path, folder = again
    ours = vars(plans)["identity_of"]

    def edited(config, **which):
        now = ours(config, **which)
        changed = {"INSTRUCTIONS in experts/baselines/prompted.py": "0"} if which["baseline"] else {}
        return msgspec.structs.replace(now, texts=now.texts | changed)

    monkeypatch.setattr(plans, "identity_of", edited)
    before = {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    with pytest.raises(InputError, match=r"prompted\.default\.tiny\.s3 .*: INSTRUCTIONS in experts/baselines/prompted"):
        play(path, folder)
    assert {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()} == before
    _, said = play(path, folder, accept_changes=True)
    assert "WARNING: in 2 cells texts or the world changed" in said
    assert {file.parent.name for file in folder.rglob("sittings.jsonl")} == {
        f"prompted.default.tiny.s{seed}" for seed in (3, 5)
    }
    play(path, folder)


def test_an_interruption_keeps_what_is_finished_and_says_how_to_go_on(again, monkeypatch):
    path, folder = again
    shutil.rmtree(folder / CELLS / "no_facts.default.tiny.s3")

    def interrupted(order):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        return Answer(error="interrupted", interrupted=True)

    monkeypatch.setattr(worker, "play", interrupted)
    with pytest.raises(Interrupted, match="to go on: .* --run-dir "):
        play(path, folder)
    comparison = msgspec.json.decode((folder / COMPARISON).read_bytes(), type=Comparison)
    assert not comparison.complete
    assert all(not row.failed_cells for row in comparison.rows)


def test_another_folder_is_not_taken(done, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="not the directory of a comparison"):
        play(done[0], tmp_path / "run")


# The plan


def test_models_are_an_axis(tmp_path):
    path = written(tmp_path, prompted='models = ["default", "second"]')
    with pytest.raises(ConfigError, match=r"systems\.prompted: .*second"):
        read_plan(path)
    plan = read_plan(path, ['models.second.model="scripted-world"', 'models.default.model="scripted-world"'])
    named = [(cell.model, cell.seed) for cell in plan.cells if cell.system == "prompted"]
    assert named == [("default", 3), ("default", 5), ("second", 3), ("second", 5)]
    config = next(cell for cell in plan.cells if cell.model == "second").resolved()
    assert (config.roles.actor, config.roles.preference_reasoner) == ("second", "second")
    assert (config.roles.seeker, config.roles.evaluator) == ("default", "default")


def test_only_keeps_the_reference_and_an_unknown_name_is_refused(tmp_path):
    path = written(tmp_path)
    assert list(read_plan(path, only=["prompted"]).file.systems) == ["prompted", "rso"]
    with pytest.raises(InputError, match="--only nobody"):
        read_plan(path, only=["nobody"])


def test_without_a_learning_system_nothing_is_trained(tmp_path):
    plan = read_plan(written(tmp_path), ["comparison.reference=prompted"], only=["prompted"])
    assert plan.trainings == ()


def test_an_ablation_may_be_trained_without_the_experts_too(tmp_path):
    path = written(tmp_path)
    path.write_text(
        path.read_text().replace(
            "[prices.default]",
            """[systems.no_facts_trained]
trained_without = true
set = ['network.without=["fact_retriever"]']

[prices.default]""",
        )
    )
    plan = read_plan(path)
    planners = {cell.system: cell.planner for cell in plan.cells if cell.seed == 3}
    assert planners["no_facts"] == planners["rso"] != planners["no_facts_trained"]
    without = {training.name: training.resolved().network.without for training in plan.trainings}
    assert without[planners["rso"]] == ()
    assert without[planners["no_facts_trained"]] == ("fact_retriever",)


def test_a_warm_up_alone_plays_no_training_dialogues(tmp_path):
    plan = read_plan(written(tmp_path), ["comparison.reference=sft"], only=["sft"])
    assert [training.reinforced for training in plan.trainings] == [False, False]
    # The same name either way, so that RL goes on from that warm-up later.
    assert [t.name for t in plan.trainings] == [t.name for t in read_plan(written(tmp_path)).trainings]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("comparison.reference=rsoo", "did you mean rso"),
        ("comparison.improve_over=rsoo", "did you mean rso"),
        ("comparison.seeds=[1,1]", "seed is named twice"),
        ("comparison.seeds=[]", "comparison.seeds"),
        ("comparison.scenarios=0", "comparison.scenarios"),
        ("comparison.rounds=1", "rounds"),
        ("rl.epoch=1", "rl.epochs"),
    ],
)
def test_bad_keys_are_named(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        read_plan(written(tmp_path), [override])


def test_an_unknown_kind_and_a_missing_file_are_named(tmp_path):
    path = written(tmp_path, prompted='init = "x"')
    path.write_text(path.read_text().replace('kind = "prompted"', 'kind = "kbrd"'))
    with pytest.raises(ConfigError, match=r"systems\.prompted\.kind: 'kbrd' is none of: rso, prompted"):
        read_plan(path)
    with pytest.raises(InputError, match="no comparison file"):
        read_plan(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match=r"no \[comparison\]"):
        read_plan(ROOT / "experiments" / "tiny.toml")


def test_a_missing_checkpoint_is_found_before_anything_is_played(tmp_path):
    path = written(tmp_path)
    path.write_text(path.read_text().replace('title = "RSO"', 'init = "nowhere"'))
    with pytest.raises(InputError, match="no trained planner .*nowhere"):
        play(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["baselines", "baselines_smollm2", "baselines_real"])
def test_the_shipped_comparisons_are_readable(name):
    plan = read_plan(ROOT / "experiments" / f"{name}.toml")
    assert plan.cells
