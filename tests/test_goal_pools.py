"""Held-out goals: of graph, dialogues and seed alone, whatever a run trains; pools that share no film and no wish."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.app.evaluation.pools import refuse_other_pools
from harness.app.settings.config import Config
from harness.app.settings.configfile import load_config
from harness.app.setup.inputs import pool_digest, read_inputs
from harness.core.errors import InputError
from harness.core.messages import Dialogue, Item
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.goal_pools import POOLS, GoalPools, Pool
from simulator.goals import GoalDraw

ROOT = Path(__file__).parents[1]
GENRES = ("drama", "comedy", "crime", "war")


def film(number: int) -> Item:
    """Films that share decades, genres and people."""
    genres = tuple(genre for at, genre in enumerate(GENRES) if (number * 7 >> at) & 1) or ("western",)
    return Item(
        id=f"f{number}",
        title=f"Film Number {number}",
        year=1950 + number % 40,
        genres=genres,
        directors=(f"Ada Director{number % 5}",),
        stars=(f"Bo Star{number}", f"Cy Star{number % 3}"),
    )


def world(films: int, spoken: int, seed: int = 0, max_matches: int = 50) -> GoalPools:
    graph = KnowledgeGraph.from_items(film(number) for number in range(films))
    dialogues = [Dialogue(id=f"d{n}", mentions=(film(n).name,)) for n in range(spoken)]
    return GoalPools(graph, dialogues, seed=seed, max_matches=max_matches)


@given(films=st.integers(1, 60), spoken=st.integers(0, 60), seed=st.integers(0, 99), wanted=st.integers(1, 60))
@settings(max_examples=60)
def test_pools_share_no_film_and_no_wish_and_a_short_draw_begins_a_long_one(films, spoken, seed, wanted):
    pools = world(films, min(films, spoken), seed)
    drawn = {}
    for pool in POOLS:
        try:
            found = pools.training(wanted, seed=seed) if pool == "training" else pools.held_out(pool, wanted)
        except InputError as error:
            assert "train on" in str(error) if pool == "training" else f"the {pool} pool" in str(error)
            continue
        drawn[pool] = found.goals
        assert len({goal.id for goal in found.goals}) == len(found.goals)
        assert len({frozenset(goal.attributes) for goal in found.goals}) == len(found.goals)
        if pool != "training":
            assert pools.held_out(pool, 1 + wanted // 2).goals == found.goals[: 1 + wanted // 2]
    for one, other in combinations(drawn.values(), 2):
        assert {goal.target for goal in one}.isdisjoint(goal.target for goal in other)
        assert {frozenset(goal.attributes) for goal in one}.isdisjoint(frozenset(goal.attributes) for goal in other)


def test_a_graph_too_small_to_hold_goals_out_says_so_in_numbers():
    pools = world(3, 0)
    with pytest.raises(InputError, match=r"the final pool has only \d+ goals .* asked for 40"):
        pools.held_out("final", 40)
    with pytest.raises(InputError, match="no goal is left to train on"):
        world(1, 0).training(3, seed=0)


def test_goals_of_all_pools_are_equally_wide():
    """Wishes that many films cover are contested between the pools; no pool may be left with the narrow ones."""
    graph = KnowledgeGraph.load(ROOT / "fixtures" / "films.json")
    width: dict[Pool, list[float]] = {pool: [] for pool in POOLS}
    for seed in range(4):
        pools = GoalPools(graph, (), seed=seed)
        drawn: dict[Pool, GoalDraw] = {
            "final": pools.held_out("final", 200),
            "development": pools.held_out("development", 200),
            "training": pools.training(200, seed=seed + 50),
        }
        for pool, (goals, _) in drawn.items():
            width[pool].append(fmean(len(goal.matches) for goal in goals))
    means = {pool: fmean(found) for pool, found in width.items()}
    assert max(means.values()) < 1.25 * min(means.values()), means


def config(*overrides: str) -> Config:
    return load_config(ROOT / "experiments" / "tiny.toml", ["data.scenario_seed=5", *overrides])


EVERYTHING_ELSE = {
    "run.seed": (0, 1, 77),
    "rl.epochs": (0, 1, 60),
    "rl.dialogues_per_epoch": (1, 16, 500),
    "rl.batch_episodes": (1, 4, 16),
    "rl.policy_lag": (0, 3),
    "planner.kind": ("tabular", "uniform", "rule"),
    "warmup.epochs": (0, 2),
    "conversation.max_turns": (1, 10),
    "data.labels": ("rso13", "inspired14"),
    "reward.threshold": (0.5, 0.9),
    "evaluation.dialogues": (3, 6, 20),
    "data.training_goals_file": ("train.tsv",),
    "data.label_file": ("train.tsv",),
    "data.validation_file": ("dev.tsv",),
}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """A folder with train.tsv and dev.tsv: other dialogues than those of the tiny experiment."""
    folder = tmp_path_factory.mktemp("splits")
    header, *rows = (ROOT / "fixtures" / "inspired_synthetic.tsv").read_text(encoding="utf-8").splitlines()
    for name, part in (("train", rows[: len(rows) // 2]), ("dev", rows[len(rows) // 2 :])):
        lines = [header, *(row.replace("synthetic", name, 1) for row in part)]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@given(changed=st.fixed_dictionaries({}, optional={key: st.sampled_from(of) for key, of in EVERYTHING_ELSE.items()}))
@settings(max_examples=30, deadline=None)
def test_no_setting_but_data_seed_and_pool_changes_whom_a_planner_is_judged_on(splits, changed):
    changed = {key: splits / of if key.endswith("_file") else of for key, of in changed.items()}
    if changed.get("planner.kind", "encoder") in ("uniform", "rule"):
        changed = changed | {"evaluation.phases": '["before"]'}
    found = read_inputs(config(*(f"{key}={value}" for key, value in changed.items())))
    standard = read_inputs(config("evaluation.dialogues=20"))
    assert found.held_out == standard.held_out[: len(found.held_out)]
    held_out = {scenario.goal.target for scenario in found.held_out}
    assert held_out.isdisjoint(scenario.goal.target for scenario in found.training)
    wishes = {frozenset(scenario.goal.attributes) for scenario in found.held_out}
    assert wishes.isdisjoint(frozenset(scenario.goal.attributes) for scenario in found.training)


def test_a_short_training_is_the_beginning_of_a_long_one():
    long = read_inputs(config("rl.dialogues_per_epoch=600")).training
    for count in (1, 8, 39, 450):
        assert read_inputs(config(f"rl.dialogues_per_epoch={count}")).training == long[:count]


def test_the_development_pool_is_other_people_and_the_training_is_the_same():
    final, development = (read_inputs(config(f"evaluation.pool={pool}")) for pool in ("final", "development"))
    assert final.training == development.training
    assert {s.id for s in final.held_out}.isdisjoint(s.id for s in development.held_out)
    assert {s.goal.target for s in final.held_out}.isdisjoint(s.goal.target for s in development.held_out)
    assert pool_digest(final.held_out) != pool_digest(development.held_out)
    assert config("evaluation.pool=development").digest != config().digest


def test_results_of_other_people_are_not_paired():
    refuse_other_pools({})
    refuse_other_pools({"a": "p", "b": "p"})
    with pytest.raises(InputError, match=r"^a and b are not of the same held-out people and goals \(p and q\)"):
        refuse_other_pools({"a": "p", "b": "q"})
    with pytest.raises(InputError, match="unknown, of an older version"):
        refuse_other_pools({"a": "", "b": ""})
