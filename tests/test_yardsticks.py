"""What a study measures a learned planner against: schedules and hand rules, on scenarios that all runs share."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console
from support.experts import an_encoder_policy

from harness.app.job.main_job import begin_or_go_on
from harness.app.job.workload import workload_of
from harness.app.settings.config import Config, flattened
from harness.app.settings.configfile import load_config
from harness.app.setup import inputs
from harness.app.setup.inputs import episode_seed, read_inputs
from harness.app.setup.rule_policy import RulePolicy
from harness.core import seeds
from harness.core.errors import ConfigError, ExpertError, InputError
from harness.core.log.loggedepisodes import read_episodes
from harness.core.messages import State, Turn
from harness.domain.strategies import STRATEGIES
from harness.domain.text_encoder import load_encoder
from learner.checkpoint import load_checkpoint, save_checkpoint
from learner.policy import FixedPolicy
from simulator.personas import PERSONAS
from simulator.scripted import rules

ROOT = Path(__file__).parent.parent
TINY = ROOT / "experiments" / "tiny.toml"
SMALL = ["planner.kind=tabular", "warmup.epochs=1", "conversation.max_turns=2", "evaluation.dialogues=3",
         "rl.epochs=1", "rl.dialogues_per_epoch=4"]  # fmt: skip


DATA = {"data.inspired": "dialogues.tsv", "data.knowledge_graph": "films.json"}


def config(*overrides: str) -> Config:
    return load_config(TINY, [*SMALL, *overrides])


def state(*strategies: str, seed: int = 1) -> State:
    turns = tuple(
        Turn(strategy=s, preferences="", response="What do you like?", reply="I love thrillers.") for s in strategies
    )
    return State(episode="eval-000001", seed=seed, max_turns=10, opening="Hello, I want a film.", turns=turns)


def test_a_schedule_goes_by_turn_and_keeps_its_last_strategy():
    policy = FixedPolicy(rules.KEYS, "opinion_inquiry", "credibility")
    chosen = [rules.KEYS[policy.distribution(state(*["similarity"] * t)).index(1.0)] for t in range(4)]
    assert chosen == ["opinion_inquiry", "credibility", "credibility", "credibility"]


@pytest.mark.parametrize("name", ["reads", "knows_persona"])
@pytest.mark.parametrize("persona", PERSONAS, ids=lambda persona: persona.id)
def test_a_rule_policy_is_sure_of_what_its_rule_says(name, persona):
    policy = RulePolicy(rules.KEYS, name, {1: persona})
    for played in ((), ("opinion_inquiry",), ("opinion_inquiry", "transparency")):
        now = state(*played)
        view = rules.View(
            turn=now.turn,
            history=now.history,
            strategies=played,
            luck=seeds.uniform(1, now.turn, "planner"),
            traits=persona.traits,
        )
        wanted = {"reads": rules.reading_rule, "knows_persona": rules.knowing_rule}[name](view)
        found = policy.distribution(now)
        assert sum(found) == 1.0
        assert rules.KEYS[found.index(1.0)] == wanted


def test_a_planner_that_knows_the_persona_does_not_guess_it():
    policy = RulePolicy(rules.KEYS, "knows_persona", {})
    with pytest.raises(ExpertError, match="was not told that of episode eval-000001"):
        policy.distribution(state())
    assert sum(RulePolicy(rules.KEYS, "reads", {}).distribution(state())) == 1.0


def test_one_scenario_seed_gives_runs_of_all_seeds_the_same_people_and_other_luck():
    one, two = (config("data.scenario_seed=7", f"run.seed={seed}") for seed in (0, 1))
    first, second = read_inputs(one), read_inputs(two)
    assert first.held_out == second.held_out
    assert first.training != second.training
    held_out = {scenario.goal.target for scenario in first.held_out}
    assert not held_out & {scenario.goal.target for scenario in (*first.training, *second.training)}
    assert episode_seed(one, first.held_out[0]) != episode_seed(two, first.held_out[0])
    assert read_inputs(config("run.seed=7")).held_out == first.held_out


@pytest.mark.parametrize(
    ("overrides", "played"),
    [
        (['evaluation.phases=["rl"]'], ["train", "rl"]),
        (['evaluation.phases=["warmup"]', "rl.epochs=0"], ["warmup"]),
        (['evaluation.phases=["before"]', "planner.kind=rule"], ["before"]),
        (["planner.kind=fixed", 'planner.schedule=["offer_help", "credibility"]'], ["before"]),
    ],
)
def test_only_the_phases_that_are_asked_for_are_played(tmp_path, overrides, played):
    wanted = config(*overrides)
    summary = begin_or_go_on(wanted, tmp_path / "run", Console(quiet=True), quiet=True)
    episodes = read_episodes(tmp_path / "run" / "episodes.jsonl")
    assert {episode.started.phase for episode in episodes} == set(played)
    assert list(workload_of(wanted, read_inputs(wanted)).phases) == played
    assert summary.complete
    assert begin_or_go_on(wanted, tmp_path / "run", Console(quiet=True), quiet=True).digest == summary.digest
    with pytest.raises(InputError, match=r"changed: rl\.gamma"):
        begin_or_go_on(config(*overrides, "rl.gamma=0.5"), tmp_path / "run", Console(quiet=True), quiet=True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (['evaluation.phases=["rl"]', "planner.kind=uniform"], r"evaluation\.phases: a planner of kind 'uniform'"),
        (["evaluation.phases=[]"], r"evaluation\.phases"),
        (["planner.kind=fixed"], r"planner\.strategy: a fixed planner needs"),
    ],
)
def test_settings_that_do_not_go_together_are_named(overrides, message):
    with pytest.raises(ConfigError, match="^" + message):
        config(*overrides)


def test_an_unknown_strategy_in_a_schedule_is_named():
    with pytest.raises(ConfigError, match=r"planner\.schedule: 'charm' is none of"):
        read_inputs(config("planner.kind=fixed", 'planner.schedule=["offer_help", "charm"]'))


def test_what_the_scripted_world_has_no_rule_for_is_refused_before_anything_is_played(monkeypatch):
    own = PERSONAS[0], msgspec.structs.replace(PERSONAS[1], name="Eve", text="You are Eve, a pilot.")
    monkeypatch.setattr(inputs, "PERSONAS", own)
    with pytest.raises(ConfigError, match="no trait in the persona 'Eve'"):
        read_inputs(config())
    real = "models.default.backend=openai", "models.default.base_url=http://127.0.0.1:1/v1"
    assert read_inputs(config(*real)).held_out  # a language model reads any text
    monkeypatch.undo()
    flattery = msgspec.structs.replace(STRATEGIES[0], key="flattery", name="FLATTERY")
    monkeypatch.setattr(inputs, "strategy_set", lambda labels: (*STRATEGIES, flattery))
    with pytest.raises(ConfigError, match="no rule for the strategy 'FLATTERY'"):
        read_inputs(config())


def test_an_encoder_in_bfloat16_is_close_repeatable_and_known_to_its_checkpoint(tmp_path):
    exact, quick = load_encoder(), load_encoder(dtype="bfloat16")
    assert exact.sha256 == quick.sha256
    text = "I would love something with robots in it, and a bit of romance."
    assert quick.embed(text).dtype == np.float32
    assert float(exact.embed(text) @ quick.embed(text)) > 0.999
    assert (quick.embed(text) == quick.embed(text)).all()
    policy = an_encoder_policy(quick, rules.KEYS)
    saved = load_checkpoint(save_checkpoint(tmp_path, policy, version=0))
    rebuilt = saved.policy()
    assert rebuilt.distribution(state("similarity")) == policy.distribution(state("similarity"))
    with pytest.raises(InputError, match="dtype = bfloat16, here it is float32"):
        saved.restore(an_encoder_policy(exact, rules.KEYS))


def test_data_may_move_between_sittings_but_not_change(tmp_path):
    def at(folder: str) -> Config:
        return config(
            *(f"{key}={tmp_path / folder / name}" for key, name in DATA.items()), 'evaluation.phases=["before"]'
        )

    for key, name in DATA.items():
        (tmp_path / "moved").mkdir(exist_ok=True)
        shutil.copy(flattened(msgspec.to_builtins(config()))[key], tmp_path / "moved" / name)
    begun = config('evaluation.phases=["before"]', "rl.epochs=0")
    digest = begin_or_go_on(begun, tmp_path / "run", Console(quiet=True), quiet=True).digest
    places = [f"{key}={tmp_path / 'moved' / name}" for key, name in DATA.items()]
    moved = msgspec.structs.replace(begun, data=config(*places).data)
    assert moved.digest == begun.digest
    assert begin_or_go_on(moved, tmp_path / "run", Console(quiet=True), quiet=True).digest == digest
    with (tmp_path / "moved" / DATA["data.knowledge_graph"]).open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match=r"data files have changed since the run began: data\.knowledge_graph"):
        begin_or_go_on(moved, tmp_path / "run", Console(quiet=True), quiet=True)
