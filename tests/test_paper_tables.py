"""The paper's table files: what they ask for is said, and what does not fit one GPU is refused, before any call."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.app.commands.compare import dry_run
from harness.app.grid.comparison.estimate import stages
from harness.app.grid.comparison.figures import size_of
from harness.app.grid.comparison.plan import read_plan
from harness.app.grid.play import shared_models
from harness.app.settings.config import Config, Model, Planner, Roles, operational
from harness.app.setup.gpu import MEMORY_FLAG, refuse_overfull, share_of
from harness.app.setup.servers import vllm_command
from harness.core.errors import ConfigError, InputError

PAPER = Path(__file__).parent.parent / "experiments" / "paper"
FILES = ("tables_inspired", "tables_redial", "scale", "ablations")
ROWS = ["UniCRS", "BARCOR", "QwenCRS", "LlamaCRS", "InterCRS", "PCCRS", "RSO"]


def vllm(share: float = 0.0, **more) -> Model:
    return Model(backend="vllm", model="some/Model-7B", gpu_share=share, **more)


def with_models(planner: Planner | None = None, **models: Model) -> Config:
    names = list(models)
    roles = Roles(actor=names[0], preference_reasoner=names[0], **dict.fromkeys(("seeker", "reward"), names[-1]))
    roles = msgspec.structs.replace(roles, evaluator=names[-1])
    return Config(models=models, roles=roles, planner=planner or Planner())


def said(name: str, *overrides: str) -> str:
    out = io.StringIO()
    dry_run(PAPER / f"{name}.toml", list(overrides), Console(file=out, width=140), only=(), limit=None)
    return out.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_a_dry_run_needs_no_data_and_names_what_to_supply(name):
    text = said(name)
    assert "data.held_out_goals_file: " in text
    assert "tokens a second" in text
    assert "By servers that are up together" in text


@pytest.mark.parametrize("name", FILES)
def test_every_cell_of_the_paper_fits_one_gpu(name):
    plan = read_plan(PAPER / f"{name}.toml")
    for cell in (*plan.trainings, *plan.cells):
        refuse_overfull(cell.resolved(), planners=plan.file.comparison.processes)


@pytest.mark.parametrize("name", ["tables_inspired", "tables_redial"])
def test_the_papers_rows_stand_in_its_order(name):
    plan = read_plan(PAPER / f"{name}.toml")
    assert [plan.title(system) for system in plan.file.systems][:7] == ROWS
    lite = read_plan(PAPER / f"{name}.toml", ["preset="])
    assert lite.title("unicrs") == "unicrs-lite"
    assert plan.left_out == {}
    assert {training.crs for training in plan.trainings} == {"", "unicrs", "barcor"}
    actors = {cell.system: cell.resolved().models[cell.resolved().roles.actor].model for cell in plan.cells}
    assert "Llama-3.1-8B" in actors["llamacrs"]
    assert {model for system, model in actors.items() if system != "llamacrs"} == {"Qwen/Qwen2.5-7B-Instruct"}
    judges = {cell.resolved().models[cell.resolved().roles.reward].model for cell in plan.cells}
    assert judges == {"Qwen/Qwen2.5-7B-Instruct"}


def test_fig_4_has_three_sizes_beside_rso():
    cells = read_plan(PAPER / "scale.toml").cells
    sizes = {(cell.system, size_of(cell.resolved().models[cell.model].model)) for cell in cells}
    assert sizes == {("qwencrs", 7e9), ("qwencrs", 14e9), ("qwencrs", 32e9), ("rso", 7e9)}


def test_cells_are_played_by_the_servers_that_they_need():
    plan = read_plan(PAPER / "scale.toml")
    found = stages(plan, 99, {"inspired": None, "redial": None})
    assert [set(stage.servers) for stage in found] == [
        {"default"}, {"default"}, {"default", "qwen14b"}, {"default", "qwen32b"},
    ]  # fmt: skip
    assert sum(stage.cells for stage in found) == len(plan.cells)
    assert sum(stage.trainings for stage in found) == len(plan.trainings)
    assert all(sum(stage.servers.values()) <= 0.95 for stage in found)


def test_an_estimate_grows_with_the_dialogues():
    plan = read_plan(PAPER / "tables_inspired.toml", ["comparison.seeds=[0]"], ["qwencrs"])
    few, many = (stages(plan, count, {"inspired": None})[0] for count in (10, 20))
    assert many.dialogues - few.dialogues == 3 * 10  # the reference and the system to improve over stay
    assert many.usage.calls > few.usage.calls


def test_a_trained_system_asks_no_model_of_its_own():
    calls = {}
    for only in ("unicrs", "qwencrs"):
        plan = read_plan(PAPER / "tables_inspired.toml", ["comparison.seeds=[0]", "comparison.improve_over="], [only])
        cells = tuple(cell for cell in plan.cells if cell.system == only)
        (stage,) = stages(msgspec.structs.replace(plan, cells=cells, trainings=()), 10, {"inspired": None})
        calls[only] = stage.usage.calls
    assert calls["qwencrs"] - calls["unicrs"] == 10 * 10  # dialogues x turns


def test_a_row_that_is_left_out_has_no_cells(tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(
        f'[comparison]\nreference = "rso"\n[datasets.d]\nexperiment = "{PAPER}/inspired.toml"\n'
        '[systems.rso]\nstage = "untrained"\n[systems.x]\ntitle = "X"\nkind = "unknown"\nleft_out = "not made yet"\n'
    )
    plan = read_plan(path)
    assert {cell.system for cell in plan.cells} == {"rso"}
    assert plan.left_out == {"X": "not made yet"}


def test_shares_that_do_not_fit_are_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"default 0.45 \+ llama 0.6 \+ 0.05 for the planner"):
        said("tables_inspired", "models.llama.gpu_share=0.6")


def test_a_planner_takes_its_part_and_each_process_has_one():
    planner = Planner(trainable_layers=2)
    config = with_models(planner, only=vllm(0.9))
    refuse_overfull(config, planners=2)
    with pytest.raises(InputError, match="0.15 for 3 planners"):
        refuse_overfull(config, planners=3)
    refuse_overfull(msgspec.structs.replace(config, planner=Planner(trainable_layers=2, device="cpu")), planners=3)
    refuse_overfull(with_models(only=vllm(0.9)), planners=3)


def test_servers_that_say_nothing_take_what_vllm_takes():
    with pytest.raises(InputError, match="1.84"):
        refuse_overfull(with_models(one=vllm(), other=vllm(timeout_s=5.0)))
    refuse_overfull(with_models(one=vllm(), other=vllm()))  # one server serves both names
    on_cpu = {"VLLM_CPU_KVCACHE_SPACE": "2"}
    refuse_overfull(with_models(one=vllm(environment=on_cpu), other=vllm(environment=on_cpu, timeout_s=5.0)))
    apart = [vllm(environment={"CUDA_VISIBLE_DEVICES": gpu}) for gpu in "01"]
    refuse_overfull(with_models(one=apart[0], other=apart[1]))


@pytest.mark.parametrize("arguments", [(MEMORY_FLAG, "0.4"), (f"{MEMORY_FLAG}=0.4",)])
def test_a_share_among_the_arguments_is_read(arguments):
    assert share_of(vllm(arguments=arguments)) == 0.4
    assert share_of(Model(backend="openai", base_url="http://127.0.0.1:1/v1")) == 0.0
    assert share_of(Model()) == 0.0


def test_a_share_is_given_to_the_server_and_is_no_part_of_a_result():
    command = vllm_command(vllm(0.4), 8000, "/weights")
    assert command[command.index(MEMORY_FLAG) + 1] == "0.4"
    assert MEMORY_FLAG not in vllm_command(vllm(), 8000, "/weights")
    assert operational("models.llama.gpu_share")


def test_a_share_that_is_said_twice_is_refused():
    with pytest.raises(ConfigError, match="models.default.gpu_share"):
        said("tables_inspired", f'models.default.arguments=["{MEMORY_FLAG}", "0.5"]')


def test_models_of_a_comparison_stand_over_those_of_its_experiments(tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(
        f"""
[comparison]
reference = "rso"
[datasets.d]
experiment = "{PAPER}/inspired.toml"
[models.default]
gpu_share = 0.3
python = "../somewhere/python"
[systems.rso]
stage = "untrained"
"""
    )
    model = shared_models(read_plan(path).cells[0].resolved())["default"]
    assert (model.gpu_share, model.model) == (0.3, "Qwen/Qwen2.5-7B-Instruct")
    assert model.python == str(tmp_path.parent / "somewhere" / "python")
    assert (
        shared_models(read_plan(path, ["models.default.gpu_share=0.2"]).cells[0].resolved())["default"].gpu_share == 0.2
    )


def test_the_reference_cannot_be_left_out(tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(
        f'[comparison]\nreference = "rso"\n[datasets.d]\nexperiment = "{PAPER}/inspired.toml"\n'
        '[systems.rso]\nleft_out = "why"\n'
    )
    with pytest.raises(ConfigError, match="comparison.reference"):
        read_plan(path)
