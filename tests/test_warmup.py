"""Warm-up on human labels: it learns, stops early, keeps the best epoch and is a function of its seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support.cross_validation import cross_validate
from support.encoders import write_tiny_encoder
from support.experts import an_encoder_policy
from support.labels import KEYS, dialogue, dialogues

from harness.core.errors import DataError, InputError
from harness.core.messages import Dialogue
from harness.domain.text_encoder import TextEncoder, load_encoder
from learner.encoder_policy import EncoderPolicy
from learner.label_baselines import majority, tfidf_logreg
from learner.labels import LabelledStates, confusion, labelled_states, measure
from learner.tabular import TabularPolicy
from learner.warmup import split_dialogues, warm_up


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return load_encoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


def bits(policy: TabularPolicy | EncoderPolicy) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in policy.weights().items()}


def test_split_is_by_dialogue_and_by_seed() -> None:
    data = dialogues(20)
    train, held = split_dialogues(data, seed=3)
    assert len(held) == 3
    assert sorted(d.id for d in train + held) == sorted(d.id for d in data)
    assert split_dialogues(data, seed=3) == (train, held)
    assert any(split_dialogues(data, seed=seed)[1] != held for seed in range(4, 8))


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_warm_up_beats_the_majority_on_unseen_dialogues(tiny: TextEncoder, layers: int) -> None:
    policy = an_encoder_policy(tiny, KEYS, trainable_layers=layers)
    report = warm_up(policy, dialogues(30), seed=1, epochs=12, learning_rate=2e-2, encoder_learning_rate=1e-3)
    assert report.validation.nll < report.majority.nll - 0.1
    assert report.validation.first_label_accuracy > report.majority.first_label_accuracy + 0.2
    assert (report.train_dialogues, report.validation_dialogues, report.refused_steps) == (26, 4, 0)
    unseen = labelled_states([dialogue(number) for number in range(100, 110)], KEYS)
    predicted = np.array([policy.distribution(state) for state in unseen.states])
    assert measure(predicted, unseen).nll < measure(majority(unseen, unseen), unseen).nll - 0.1


def test_the_kept_planner_is_the_best_epoch_and_patience_ends_training(tiny: TextEncoder) -> None:
    data, policy = dialogues(12), an_encoder_policy(tiny, KEYS)
    report = warm_up(policy, data, seed=1, epochs=200, learning_rate=0.3)
    nlls = [epoch.validation_nll for epoch in report.epochs]
    assert report.best_epoch == int(np.argmin(nlls)) + 1
    assert report.validation.nll == pytest.approx(min(nlls))
    assert len(report.epochs) == report.best_epoch + 5 < 200
    held = labelled_states(split_dialogues(data, seed=1)[1], KEYS)
    assert measure(np.array([policy.distribution(s) for s in held.states]), held).nll == pytest.approx(
        min(nlls), rel=1e-4
    )


def test_given_validation_dialogues_choose_the_epoch_and_all_others_teach() -> None:
    policy, data = TabularPolicy(KEYS), dialogues(9)
    report = warm_up(policy, data[:6], validation=data[6:], seed=0, epochs=3, learning_rate=0.1)
    assert (report.train_dialogues, report.validation_dialogues) == (6, 3)
    assert report.validation.n == sum(len(dialogue.labelled_turns) for dialogue in data[6:])


def test_a_rate_that_only_harms_leaves_the_untrained_planner() -> None:
    policy = TabularPolicy(KEYS)
    report = warm_up(policy, dialogues(6), seed=0, epochs=30, learning_rate=1e6)
    assert report.best_epoch == 0
    assert not policy.weights()["table"].any()


def test_warm_up_is_a_function_of_data_and_seed(tiny: TextEncoder) -> None:
    def trained(seed: int) -> dict[str, bytes]:
        policy = an_encoder_policy(tiny, KEYS, trainable_layers=1)
        warm_up(policy, dialogues(8), seed=seed, epochs=2, learning_rate=5e-3)
        return bits(policy)

    assert trained(1) == trained(1) != trained(2)


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    data = dialogues(6)
    warm_up(TabularPolicy(KEYS), data, seed=0, epochs=2, learning_rate=5e-3, progress=lambda *what: told.append(what))
    assert told[35] == ("states read", 36, 36)
    assert told[-1] == ("epochs", 2, 2)


def test_steps_that_are_not_finite_are_refused_and_counted() -> None:
    class Stumbling(TabularPolicy):
        steps = 0

        def log_probabilities(self, prepared: Sequence[tuple[int, int, int]], *, batched: bool = False) -> torch.Tensor:
            found = super().log_probabilities(prepared, batched=batched)
            self.steps += found.requires_grad
            return found * math.nan if found.requires_grad and self.steps == 2 else found

    policy = Stumbling(KEYS)
    report = warm_up(policy, dialogues(6), seed=0, epochs=3, learning_rate=0.1)
    assert report.refused_steps == 1
    assert torch.isfinite(policy.table).all()
    assert report.best_epoch > 0
    assert all(epoch.train_nll is not None and math.isfinite(epoch.train_nll) for epoch in report.epochs)


def test_bad_data_is_one_sentence() -> None:
    with pytest.raises(InputError, match="at least 2 dialogues with labelled turns, found 1"):
        warm_up(TabularPolicy(KEYS), [dialogue(0), Dialogue(id="bare")], seed=0, epochs=30, learning_rate=5e-3)
    with pytest.raises(DataError, match="dialogue 'd[0-9]' has the label 'no_strategy'"):
        warm_up(TabularPolicy(KEYS[:3]), dialogues(5), seed=0, epochs=30, learning_rate=5e-3)


def labels_by_hand() -> LabelledStates:
    state = dialogue(0).labelled_turns[0].state
    return LabelledStates(
        states=(state,) * 3,
        targets_NK=np.array([[1.0, 0, 0, 0], [0, 0.5, 0.5, 0], [1.0, 0, 0, 0]]),
        first_N=np.array([0, 1, 0]),
    )


def test_measures_by_hand() -> None:
    predicted = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1], [0.25, 0.5, 0.25, 0.0]])
    got = measure(predicted, labels_by_hand())
    assert got.nll == pytest.approx(-(math.log(0.7) + 0.5 * math.log(0.2) + 0.5 * math.log(0.6) + math.log(0.25)) / 3)
    assert got.first_label_accuracy == pytest.approx(1 / 3)
    assert got.any_label_accuracy == pytest.approx(2 / 3)
    # Strategy 0: one hit, predicted once, true twice; strategy 1: no hit.
    assert got.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert got.n == 3
    assert confusion(predicted, labels_by_hand()).tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], [0] * 4, [0] * 4]
    ruled_out = np.array([[0.0, 1, 0, 0]] * 3)
    assert measure(ruled_out, labels_by_hand()).nll == math.inf


def test_soft_targets_count_second_labels() -> None:
    got = labelled_states([dialogue(0)], KEYS)
    assert got.targets_NK.sum(axis=1) == pytest.approx(np.ones(6))
    assert got.targets_NK[:, 3].min() == pytest.approx(1 / 3)


def test_baselines_are_distributions_and_tfidf_reads() -> None:
    train, test = (labelled_states(part, KEYS) for part in (dialogues(20), [dialogue(n) for n in range(50, 60)]))
    for predict in (majority, tfidf_logreg):
        predicted = predict(train, test)
        assert predicted.shape == (len(test), 4)
        assert predicted.sum(axis=1) == pytest.approx(np.ones(len(test)))
        assert (predicted > 0).all()
    assert measure(tfidf_logreg(train, test), test).nll < measure(majority(train, test), test).nll
    alike = LabelledStates(train.states, first_N=train.first_N, targets_NK=np.eye(4)[np.full(len(train), 2)])
    assert tfidf_logreg(alike, test)[:, 2].min() > 0.99


def test_cross_validation_tests_every_dialogue_once_and_unseen() -> None:
    data, seen = dialogues(11), []

    def train(part: Sequence[Dialogue]) -> TabularPolicy:
        seen.append({d.id for d in part})
        policy = TabularPolicy(KEYS)
        warm_up(policy, part, seed=0, epochs=5, learning_rate=0.3)
        return policy

    got = cross_validate(data, KEYS, train, folds=5, seed=2)
    assert set(got) == {"model", "majority", "tfidf_logreg"}
    assert {measures.n for measures in got.values()} == {66}
    left_out = [{d.id for d in data} - part for part in seen]
    assert set.union(*left_out) == {d.id for d in data}
    assert sum(len(part) for part in left_out) == 11
    assert got["model"].nll < got["majority"].nll
    with pytest.raises(InputError, match="5-fold cross-validation needs 5"):
        cross_validate(data[:4], KEYS, train)


@pytest.mark.slow
def test_frozen_minilm_beats_both_baselines_on_real_labels() -> None:
    from support.encoders import minilm

    from harness.domain.strategies import STRATEGIES
    from simulator.datasets.inspired import InspiredDataset

    path = Path(__file__).parents[1].parent / "shared" / "data" / "inspired" / "dev.tsv"
    if not path.exists():
        pytest.skip("the real INSPIRED dev split is not here")
    keys = tuple(strategy.key for strategy in STRATEGIES)
    data = InspiredDataset(path, strategies=STRATEGIES, skip_bad=100).dialogues()
    base = an_encoder_policy(minilm(), keys)

    def train(part: Sequence[Dialogue]) -> EncoderPolicy:
        policy = base.snapshot()
        warm_up(policy, part, seed=0, epochs=30, learning_rate=5e-3)
        return policy

    got = cross_validate(data, keys, train)
    for baseline in ("majority", "tfidf_logreg"):
        assert got["model"].nll < got[baseline].nll - 0.05
        assert got["model"].any_label_accuracy > got[baseline].any_label_accuracy + 0.03
