"""A study file -> cells: what is resolved, what is refused, and which arms count as budgets of one another."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.app.grid.study.plan import Plan, read_plan, with_schedule
from harness.core.errors import ConfigError, InputError

ROOT = Path(__file__).parent.parent
FILE = """
[study]
experiment = "{experiments}/tiny.toml"
seeds = [3, 5]
scenarios = 4
scenario_seed = 9
base = "warmup"
tested = "rl"
bound = "knows"
set = ["planner.kind=tabular", 'evaluation.phases=["rl"]']

[arms.warmup]
set = ["rl.epochs=0", 'evaluation.phases=["warmup"]']

[arms.rl]
title = "RL default"

[arms.rl_more]
set = ["rl.epochs=7"]

[arms.no_bonus]
set = ["rl.entropy_coefficient=0.0"]
seeds = [5]

[arms.schedule]
search = "schedule"
set = ['evaluation.phases=["before"]']

[arms.knows]
set = ["planner.kind=rule", "planner.rule=knows_persona", 'evaluation.phases=["before"]']
"""


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    text = FILE.format(experiments=ROOT / "experiments")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / "study.toml"
    path.write_text(text)
    return path


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return read_plan(written(tmp_path))


def test_cells_go_by_seed_so_that_a_stopped_study_is_balanced(plan):
    assert [cell.name for cell in plan.cells] == [
        "warmup.s3", "rl.s3", "rl_more.s3", "schedule.s3", "knows.s3",
        "warmup.s5", "rl.s5", "rl_more.s5", "no_bonus.s5", "schedule.s5", "knows.s5",
    ]  # fmt: skip


def test_every_cell_has_its_seed_and_the_scenarios_of_all(plan):
    for cell in plan.cells:
        config = with_schedule(cell, {"schedule": ("credibility", "encouragement")}).resolved()
        assert config.run.seed == cell.seed
        assert (config.data.scenario_seed, config.evaluation.dialogues) == (9, 4)


def test_a_searched_arm_gets_the_schedule_that_was_found(plan):
    cell = next(cell for cell in plan.cells if cell.search)
    planner = with_schedule(cell, {"schedule": ("credibility", "encouragement")}).resolved().planner
    assert (planner.kind, planner.schedule) == ("fixed", ("credibility", "encouragement"))


def test_budgets_are_the_arms_that_differ_in_training_episodes_alone(plan):
    tested = plan.config("rl").training_episodes
    assert plan.budgets == {tested: "rl", plan.config("rl_more").training_episodes: "rl_more"}


def test_only_keeps_base_and_tested(tmp_path):
    plan = read_plan(written(tmp_path), (), ["no_bonus"])
    assert set(plan.file.arms) == {"warmup", "rl", "no_bonus"}
    assert plan.file.study.bound == ""


def test_overrides_of_the_study_and_of_its_experiment(tmp_path):
    plan = read_plan(written(tmp_path), ["study.scenarios=6", "rl.gamma=0.5", "study.seeds=[5]"])
    assert {cell.seed for cell in plan.cells} == {5}
    assert plan.config("rl").evaluation.dialogues == 6
    assert {plan.config(arm).rl.gamma for arm in plan.file.arms} == {0.5}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('base = "warmup"', 'base = "warmpu"', "study.base: there is no arm 'warmpu'; did you mean warmup?"),
        ("seeds = [3, 5]", "seeds = [3, 3]", "study.seeds: a seed is named twice"),
        ("seeds = [5]", "seeds = [4]", "arms.no_bonus.seeds: 4 is none of study.seeds"),
        ("rl.entropy_coefficient=0.0", "rl.entropy_coefficent=0.0", "arms.no_bonus: rl.entropy_coefficent"),
        ("scenarios = 4", "scenarios = 1", "study.scenarios"),
        ("[arms.no_bonus]", '[arms."no bonus"]', "'no bonus': names of arms"),
        ("planner.rule=knows_persona", "planner.rule=omniscient", "arms.knows: planner.rule"),
        ('["before"]', '["rl"]', "arms.knows: evaluation.phases: a planner of kind 'rule' has only"),
    ],
)
def test_bad_keys_are_named(tmp_path, before, after, message):
    with pytest.raises(ConfigError, match="^" + message.replace("?", r"\?")):
        read_plan(written(tmp_path, (before, after)))


def test_hand_rules_belong_to_the_scripted_world(tmp_path):
    served = ["models.default.backend=openai", "models.default.base_url=http://127.0.0.1:1/v1"]
    with pytest.raises(ConfigError, match=r"arms\.schedule: hand rules and searched schedules belong to the scripted"):
        read_plan(written(tmp_path), served)


def test_other_files_and_unknown_arms_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no study file"):
        read_plan(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"has no \[study\]"):
        read_plan(ROOT / "experiments" / "tiny.toml")
    with pytest.raises(InputError, match="--only beta: there is no such arm"):
        read_plan(written(tmp_path), (), ["beta"])


def test_the_shipped_study_is_readable():
    plan = read_plan(ROOT / "experiments" / "learning_study.toml")
    assert list(plan.budgets) == [320, 1000, 3000]
    assert len(plan.file.study.seeds) == 10
