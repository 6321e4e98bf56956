"""Cautions beside a run's table, on made estimates and on a run; and the line of decisions in force."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console
from support.episodes import events_of

from harness.app.commands import run as running
from harness.app.evaluation import metrics
from harness.app.evaluation.cautions import cautions_of
from harness.app.evaluation.decisions import decisions_of, world_of
from harness.app.evaluation.readings import Readings, readings_of, why_missing
from harness.app.evaluation.statistics import Estimate
from harness.app.settings.config import Config
from harness.app.settings.configfile import load_config
from harness.core.log.episode import build
from harness.core.messages import EpisodeEnded, Score, Transition, Usage

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
TINY = EXPERIMENTS / "tiny.toml"
LITERAL = load_config(TINY, ["rl.horizon=literal"])


def around(mean: float, half: float = 0.05) -> Estimate:
    return Estimate(mean=mean, low=mean - half, high=mean + half, n=100)


def said(config: Config = LITERAL, /, **differences: Estimate) -> str:
    return " | ".join(cautions_of(differences, config))


@pytest.mark.parametrize(
    ("paid", "success", "turns", "warned"),
    [
        (0.2, 0.1, -0.5, False),  # all is well
        (-0.2, 0.1, -0.5, True),  # success came more often and return fell
        (0.01, 0.1, 0.0, True),  # ... and return stayed
        (0.0, 0.0, -0.5, True),  # conversations got shorter and return stayed
        (0.0, -0.01, -0.5, False),  # shorter, but at a loss: people leave
        (0.2, -0.01, 0.5, True),  # stalling
        (0.01, -0.2, 0.5, False),  # worse in everything that is clear
        (-0.2, 0.01, 0.0, False),  # nothing clear happened to success
    ],
)
def test_return_and_success_that_part_under_the_literal_horizon_are_told(
    paid: float, success: float, turns: float, warned: bool
) -> None:
    found = {"mean_return": around(paid), "conv_sr": around(success), "turns": around(turns)}
    assert ("literal horizon" in said(**found)) is warned
    assert not said(load_config(TINY), **found)
    if warned:
        assert f"R_1 {paid:+.2f} [" in said(**found)


@pytest.mark.parametrize(
    ("judge", "evaluator", "warned"),
    [(0.2, 0.2, False), (0.2, 0.12, False), (0.2, 0.05, True), (0.2, -0.1, True), (0.04, -0.02, False),
     (0.08, 0.035, False), (-0.2, -0.4, False)],
)  # fmt: skip
def test_a_judge_that_gains_alone_is_told(judge: float, evaluator: float, warned: bool) -> None:
    found = {
        "judge_final": around(judge),
        "evaluator_final": around(evaluator),
        "judge_gap": around(judge - evaluator),
    }
    assert ("please its judge" in said(**found)) is warned


def test_readings_without_mass_are_told_by_their_share_not_by_their_mean() -> None:
    fine, thin = Score(reward=0.5, label_mass=0.99), Score(label_mass=0.001)
    events = events_of("e", 0, rewards=(0.2,) * 20)
    scores = iter([fine] * 19 + [thin])
    episode = build([replace(e, score=next(scores)) if isinstance(e, Transition) else e for e in events])
    readings = readings_of([episode])
    assert readings["reward"] == Readings(judgements=20, missing=1, label_reads=20, low_mass=1, half_mass=1)
    (first,) = cautions_of({}, LITERAL, readings)
    assert first.startswith("1 of 20 (5.0%) label reads of the reward gave no reward: the labels 1 to 5 have less than")
    assert "reward.mass_floor = 0.05" in first
    often = {"planner": Readings(judgements=10, label_reads=10, half_mass=1)}
    (caution,) = cautions_of({}, LITERAL, often)
    assert caution.startswith("in 1 of 10 (10.0%) other label reads the strategies' letters have less than half")


def test_samples_that_could_not_be_read_are_told_with_one_of_them() -> None:
    episode = build(events_of("e", 0, rewards=(None, 0.5)))
    spoilt = Score(raw=(4,), invalid=19, unread='"fine"')
    transitions = (replace(episode.transitions[0], score=spoilt), episode.transitions[1])
    readings = readings_of([replace(episode, transitions=transitions)])
    first, second = cautions_of({}, LITERAL, readings)
    assert first == '19 of 21 (90.5%) samples of the reward could not be read and were dropped, such as "fine".'
    assert second.startswith("1 of 2 (50.0%) judgements of the reward gave no reward")
    assert why_missing(spoilt) == '19 of its 20 samples are no rating, such as "fine"'


def test_thoughts_are_told_by_role() -> None:
    (caution,) = cautions_of({}, LITERAL, {}, {"actor": Usage(calls=9), "seeker": Usage(calls=9, thoughts=7)})
    assert "(seeker 7 replies)" in caution


def test_nothing_known_is_no_caution() -> None:
    none = Estimate(mean=None, low=None, high=None, n=0)
    names = ("mean_return", "conv_sr", "turns", "judge_final", "evaluator_final", "judge_gap")
    assert said(**dict.fromkeys(names, none)) == ""
    assert said() == ""


def test_both_judges_read_the_same_final_state() -> None:
    one = build(events_of("e", 0, rewards=(0.2, 0.9)))
    assert metrics.judge_final(one) == 0.9
    assert metrics.judge_gap(one) is None
    events = [
        EpisodeEnded(episode="e", stop="turns", turns=2, evaluation=Score(reward=0.5))
        if isinstance(event, EpisodeEnded)
        else event
        for event in events_of("e", 0, rewards=(0.2, 0.9))
    ]
    read = build(events)
    assert (metrics.evaluator_final(read), metrics.judge_gap(read)) == (0.5, pytest.approx(0.4))


def test_a_run_shows_decisions_and_both_judges_and_asks_its_numbers(tmp_path: Path) -> None:
    console = Console(file=StringIO(), width=2000)
    keys = ["rl.horizon=literal", "planner.kind=tabular", "warmup.epochs=1", "conversation.max_turns=3"]
    summary = running.run(TINY, tmp_path / "run", keys, console, quiet=True)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    written = json.loads((tmp_path / "run" / "summary.json").read_bytes())
    assert "Decisions: horizon literal, gamma 0.99, advantage critic (lambda 0.9), passes 8, beta 0.03," in shown
    assert written["decisions"] in shown
    assert written["cautions"] == list(
        cautions_of(
            summary.differences, load_config(TINY, keys), summary.readings, summary.tokens, labels=summary.labels
        )
    )
    for phase in written["phases"]:
        values = {name: phase["metrics"][name]["mean"] for name in ("judge_final", "evaluator_final", "judge_gap")}
        assert values["judge_gap"] == pytest.approx(values["judge_final"] - values["evaluator_final"])
    assert written["differences"]["judge_gap"]["n"] == 6
    assert "eval. (end)" in shown


def test_decisions_name_what_is_in_force() -> None:
    line = decisions_of(load_config(EXPERIMENTS / "qwen7b.toml"))
    for part in (
        "horizon literal",
        "advantage none",
        "tau 0.75",
        "roberta-base with 12 trained layers",
        "K 5",
        "retriever embedding",
    ):
        assert part in line
    fixed = decisions_of(load_config(TINY, ["planner.kind=fixed", "planner.strategy=credibility"]))
    assert "planner fixed credibility" in fixed
    assert "beta" not in fixed
    assert "evaluator scripted-world (the judge with another prompt)" in fixed
    ablated = load_config(TINY, ['network.without=["fact_retriever"]', "reward.mode=expected"])
    assert decisions_of(ablated).endswith("without fact retriever")
    assert "reward expected, K" in decisions_of(ablated)


def test_the_world_names_a_prompted_planners_model_only_where_there_is_one() -> None:
    real = ["models.default.backend=openai", "models.default.base_url=http://127.0.0.1:9/v1", "models.default.model=m"]
    assert "planner" not in world_of(load_config(TINY, real))
    assert world_of(load_config(TINY, [*real, "planner.kind=prompted"])).endswith("evaluator, planner")
