"""Cross-validation of label predictors: folds, pairing, cluster intervals, and the command."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support.forked import Forkery

from harness.core.errors import InputError
from harness.core.messages import Dialogue
from harness.domain.strategies import strategy_set
from learner.label_folds import by_cluster, cross_validate, folds_of
from learner.labels import LabelledStates, Matrix, labelled_states
from simulator.datasets.inspired import InspiredDataset

ROOT = Path(__file__).parent.parent
LABELS = ROOT / "fixtures" / "tiny" / "inspired_synthetic.tsv"
KEYS = tuple(strategy.key for strategy in strategy_set("rso13"))


@given(st.integers(2, 60), st.integers(2, 9), st.integers(0, 5))
def test_folds_hold_every_dialogue_once(dialogues: int, folds: int, repeat: int) -> None:
    held = np.array(list(folds_of(dialogues, folds, seed=0, repeat=repeat)))
    assert held.sum(axis=0).tolist() == [1] * dialogues
    assert np.ptp(held.sum(axis=1)) <= 1
    if dialogues > 12:
        assert not np.array_equal(held, list(folds_of(dialogues, folds, seed=0, repeat=repeat + 1)))


def test_clusters_of_one_give_student_s_interval() -> None:
    values = np.random.default_rng(0).normal(size=30)
    expected = stats.t.interval(0.95, 29, loc=values.mean(), scale=stats.sem(values))
    assert by_cluster(values, np.arange(30)) == pytest.approx((values.mean(), *expected))
    assert by_cluster(np.zeros(30), np.arange(30)) is None  # not a difference of exactly 0


def test_turns_that_repeat_their_dialogue_make_no_interval_narrower() -> None:
    values = np.random.default_rng(1).normal(size=20)
    alone = by_cluster(values, np.arange(20))
    again = by_cluster(np.repeat(values, 5), np.repeat(np.arange(20), 5))
    assert again == pytest.approx(alone)


def dialogues() -> Sequence[Dialogue]:
    return list(InspiredDataset(LABELS, strategies=strategy_set("rso13")).dialogues())


def test_no_predictor_sees_what_it_predicts_and_a_better_one_has_a_negative_difference() -> None:
    seen: list[tuple[set[str], set[str]]] = []

    def knowing(learning: Sequence[Dialogue], asked: LabelledStates) -> Matrix:
        seen.append(({d.id for d in learning}, {s.episode for s in asked.states}))
        return 0.99 * asked.targets_NK + 0.01 / len(KEYS)

    def uniform(learning: Sequence[Dialogue], asked: LabelledStates) -> Matrix:
        return np.full(asked.targets_NK.shape, 1 / len(KEYS))

    found = cross_validate(
        dialogues(), KEYS, {"knowing": (knowing, 2), "uniform": (uniform, 1)}, reference="knowing", folds=3, seed=0
    )
    assert all(learned.isdisjoint(asked) for learned, asked in seen)
    assert len(seen) == 6
    assert found["uniform"].nll == pytest.approx(np.log(len(KEYS)))
    assert found["knowing"].any_label == 1.0
    difference = found["uniform"].nll_difference
    assert difference is not None
    assert difference[0] == pytest.approx(found["knowing"].nll - found["uniform"].nll)
    assert difference[2] < 0
    assert found["knowing"].nll_difference is None
    assert len(labelled_states(dialogues(), KEYS)) > 0


def test_more_folds_than_dialogues_are_one_sentence() -> None:
    with pytest.raises(InputError, match=r"999 folds do not suit \d+ dialogues"):
        cross_validate(dialogues(), KEYS, {}, reference="", folds=999, seed=0)


def test_the_command_prints_all_predictors_and_their_differences(forkery: Forkery) -> None:
    command = ("label-folds", ROOT / "experiments" / "tiny.toml", "--folds", "2", "--repeats", "1")
    done = forkery.run(*command, "--json")
    assert done.poll() == 0, done.errors()
    found = json.loads(done.output())
    assert set(found) == {"planner", "majority", "TF-IDF"}
    shown = forkery.run(*command)
    assert f"{found['majority']['nll']:.3f}" in shown.output()
    assert "every fit inside the other folds" in shown.output()
    refused = forkery.run(*command, "--set", "data.inspired=")
    assert (refused.poll(), refused.errors().count("\n")) == (2, 1)
