"""What a study says of results that were made up with known effects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.present import present

from harness.app.evaluation.measures import MEASURES
from harness.app.grid.study.cell import ArmResult, Point
from harness.app.grid.study.findings import Tables, curves, find, mean_shares
from harness.app.grid.study.plan import Plan, read_plan
from harness.app.grid.study.tables import markdown

ROOT = Path(__file__).parent.parent
FILE = """
[study]
experiment = "{experiments}/tiny.toml"
seeds = [0, 1, 2, 3, 4, 5]
scenarios = 60
base = "warmup"
tested = "rl"
bound = "knows"
set = ["planner.kind=tabular", 'evaluation.phases=["rl"]']
[arms.uniform]
set = ["planner.kind=uniform", 'evaluation.phases=["before"]']
[arms.warmup]
set = ["rl.epochs=0", 'evaluation.phases=["warmup"]']
[arms.short]
set = ["rl.dialogues_per_epoch=4"]
[arms.rl]
[arms.literal]
set = ["rl.horizon=literal"]
[arms.beta_0]
set = ["rl.entropy_coefficient=0.0"]
[arms.beta_1]
set = ["rl.entropy_coefficient=1.0"]
[arms.knows]
set = ["planner.kind=rule", "planner.rule=knows_persona", 'evaluation.phases=["before"]']
"""
SCENARIOS = [f"eval-{n:03d}" for n in range(60)]
CONV_SR = {
    "uniform": 0.1, "warmup": 0.1, "short": 0.12, "rl": 0.5, "literal": 0.2, "beta_0": 0.5, "beta_1": 0.2, "knows": 0.9
}  # fmt: skip
RETURN = {
    "uniform": 2.5, "warmup": 2.5, "short": 2.5, "rl": 2.6, "literal": 3.5, "beta_0": 2.6, "beta_1": 2.5, "knows": 2.0
}  # fmt: skip
ENTROPY = {
    "uniform": 2.5, "warmup": 2.2, "short": 2.0, "rl": 1.5, "literal": 1.5, "beta_0": 0.8, "beta_1": 2.4, "knows": 0.0
}  # fmt: skip
TURNS = {
    "uniform": 9.0, "warmup": 9.0, "short": 9.0, "rl": 7.0, "literal": 9.5, "beta_0": 7.0, "beta_1": 9.0, "knows": 4.0
}  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(FILE.format(experiments=ROOT / "experiments"))
    return read_plan(path)


def result(arm: str, seed: int, entropy: float | None = None) -> ArmResult:
    draw = np.random.default_rng([seed, sum(map(ord, arm))])
    means = {
        "conv_sr": (draw.random(60) < CONV_SR[arm]).astype(float),
        "absorbing": RETURN[arm] + 3 * CONV_SR[arm] + draw.normal(0, 0.5, 60),
        "mean_return": RETURN[arm] + draw.normal(0, 0.5, 60),
        "turns": TURNS[arm] + draw.normal(0, 1.0, 60),
        "strategy_entropy": (ENTROPY[arm] if entropy is None else entropy) + draw.normal(0, 0.05, 60),
    }
    values = {name: means.get(name, np.zeros(60)) for name in (*MEASURES.keys() - {"prs"}, "quit")}
    return ArmResult(
        arm=arm,
        seed=seed,
        phase="rl",
        digest="",
        weights="",
        seconds=1.0,
        errors=0,
        values={name: dict(zip(SCENARIOS, map(float, found), strict=True)) for name, found in values.items()},
        personas={scenario: "even" if n % 2 == 0 else "odd" for n, scenario in enumerate(SCENARIOS)},
        shares=[{"credibility": 0.25 + 0.1 * seed, "encouragement": 0.75 - 0.1 * seed}],
        pool="people",
        curve=(Point(episodes=48, conv_sr=0.1 * seed, mean_return=2.0, mean_objective=3.0, entropy=2.0),),
    )


@pytest.fixture(scope="module")
def results() -> list[ArmResult]:
    return [result(arm, seed) for arm in CONV_SR for seed in range(6)]


def verdicts(plan: Plan, results: list[ArmResult]) -> dict[str, str]:
    return {claim.text: claim.verdict for claim in find(plan, results, world="w", decisions="d").claims}


def test_effects_that_are_there_hold_and_those_that_are_not_stay_open(plan, results):
    found = verdicts(plan, results)
    assert found["rl > warmup in Conv-SR"] == "holds"
    assert found["rl > warmup in the objective that it optimises"] == "holds"
    assert found["rl > uniform in Conv-SR"] == "holds"
    assert found["rl > beta_0 in strategy entropy"] == "holds"
    assert found["beta_1 > beta_0 in strategy entropy"] == "holds"
    assert found["literal > warmup in the return of Eq. 8"] == "holds"
    assert found["rl > literal in Conv-SR"] == "holds"
    assert found["literal > rl in turns"] == "holds"


def test_what_is_the_other_way_round_fails(plan, results):
    swapped = [
        result.__class__(**{**{f: getattr(result, f) for f in result.__struct_fields__}, "arm": names[result.arm]})
        for names in [{arm: arm for arm in CONV_SR} | {"rl": "warmup", "warmup": "rl"}]
        for result in results
    ]
    assert verdicts(plan, swapped)["rl > warmup in Conv-SR"] == "fails"


def test_equal_arms_leave_a_claim_open(plan, results):
    found = find(plan, results, world="w", decisions="d")
    assert found.budgets == {
        plan.config("short").training_episodes: "open",
        plan.config("rl").training_episodes: "holds",
    }


def test_the_gap_is_from_base_over_tested_to_bound(plan, results):
    gap = find(plan, results, world="w", decisions="d").gap
    assert gap.startswith("warmup -> rl -> knows: Conv-SR 0.")
    assert "% of the way" in gap


def test_a_collapsed_seed_is_named(plan, results):
    collapsed = [r for r in results if (r.arm, r.seed) != ("rl", 4)] + [result("rl", 4, entropy=0.2)]
    claim = next(c for c in find(plan, collapsed, world="w", decisions="d").claims if "collapses" in c.text)
    assert claim.verdict == "fails"
    assert "entropy at most 0.5: seeds 4" in claim.note


def test_missing_cells_are_named_and_arms_are_paired_over_the_seeds_that_both_have(plan, results):
    partly = [r for r in results if r.arm != "beta_0" or r.seed in (0, 1, 2)]
    partly = [r for r in partly if r.arm != "knows"]
    found = find(plan, partly, world="w", decisions="d")
    assert set(found.missing) == {f"beta_0.s{s}" for s in (3, 4, 5)} | {f"knows.s{s}" for s in range(6)}
    row = next(row for row in found.rows if row.arm == "beta_0")
    assert row.to_base["conv_sr"].n == 3 * 60
    assert found.gap == ""
    assert "INCOMPLETE: 9 of 48 cells are missing" in markdown(plan, found)


def test_differences_are_those_of_the_means(plan, results):
    found = find(plan, results, world="w", decisions="d")
    by_arm = {row.arm: row for row in found.rows}
    for arm, row in by_arm.items():
        if arm != "warmup":
            expected = present(row.metrics["conv_sr"].mean) - present(by_arm["warmup"].metrics["conv_sr"].mean)
            assert row.to_base["conv_sr"].mean == pytest.approx(expected)
            assert present(row.to_base["conv_sr"].p_holm) >= present(row.to_base["conv_sr"].p)
    assert not by_arm["warmup"].to_base


def test_personas_split_the_scenarios(plan, results):
    row = next(row for row in find(plan, results, world="w", decisions="d").rows if row.arm == "rl")
    assert {name: value.n for name, value in row.by_persona.items()} == {"even": 180, "odd": 180}
    both = sum(present(value.mean) for value in row.by_persona.values()) / 2
    assert both == pytest.approx(row.metrics["conv_sr"].mean)


def test_a_curve_is_the_mean_over_seeds_with_its_band(plan, results):
    reached, values = curves(Tables(plan, results), "rl", "conv_sr")
    assert reached == [48]
    assert values[0].mean == pytest.approx(0.25)
    assert values[0].n == 6
    assert present(values[0].low) < 0.25 < present(values[0].high)


def test_shares_are_averaged_over_seeds(results):
    shares = mean_shares({r.seed: r for r in results if r.arm == "rl"})
    assert shares == [pytest.approx({"credibility": 0.5, "encouragement": 0.5})]


def test_the_note_names_world_size_and_decisions(plan, results):
    text = markdown(plan, find(plan, results, world="the world", decisions="the decisions"))
    for part in ("World: the world.", "the decisions", "48 cells of 60 held-out scenarios", "0 dialogues failed"):
        assert part in text
