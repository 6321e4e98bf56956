"""Policies: distributions, exact recomputation, snapshots, and equal gradients of the two training paths."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.encoders import minilm, write_tiny_encoder
from support.experts import an_encoder_policy

from harness.core.errors import ConfigError
from harness.core.messages import Decision, State, Turn
from harness.core.seams import Policy
from harness.domain.strategies import STRATEGIES
from harness.domain.text_encoder import TextEncoder, load_encoder
from learner.encoder_policy import EncoderPolicy
from learner.policy import FixedPolicy, TrainablePolicy, UniformPolicy
from learner.tabular import TabularPolicy

KEYS = tuple(strategy.key for strategy in STRATEGIES)


def state(turns: int, words: int = 6) -> State:
    return State(
        episode="e",
        seed=1,
        max_turns=10,
        opening="hello, something funny please",
        turns=tuple(
            Turn(
                strategy=KEYS[(turns + i) % 13],
                preferences="",
                response=f"number {i} " + "would you like it " * words,
                recommended=("1",) * (i % 2),
                reply="well " * i + "I like Heat (1995)",
            )
            for i in range(turns)
        ),
    )


STATES = [state(turns, words) for turns, words in ((0, 1), (1, 9), (2, 3), (5, 20), (9, 2), (3, 0))]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return load_encoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


def disturb(policy: TrainablePolicy, seed: int = 0) -> None:
    """Weights as learning might leave them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameters in policy.parameter_groups().values():
            for parameter in parameters:
                parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.3)


@pytest.fixture(params=["tabular", "frozen", "top layer", "all layers"])
def policy(request: pytest.FixtureRequest, tiny: TextEncoder) -> TrainablePolicy:
    match request.param:
        case "tabular":
            return TabularPolicy(KEYS)
        case "frozen":
            return an_encoder_policy(tiny, KEYS)
        case "top layer":
            return an_encoder_policy(tiny, KEYS, trainable_layers=1)
        case _:
            return an_encoder_policy(tiny, KEYS, trainable_layers=2)


def test_before_learning_every_planner_is_exactly_uniform(policy: TrainablePolicy) -> None:
    for each in STATES:
        assert policy.distribution(each) == pytest.approx([1 / 13] * 13, abs=1e-15)
        assert len(set(policy.distribution(each))) == 1


def test_probabilities_are_recomputed_to_the_last_bit(policy: TrainablePolicy) -> None:
    disturb(policy)
    acted = [policy.distribution(each) for each in STATES]
    assert all(sum(row) == pytest.approx(1.0) for row in acted)
    # Snapshot, other order, gradients on, all states in one call: as the learner sees them later.
    later = policy.snapshot()
    rows = later.log_probabilities([later.prepare(each) for each in reversed(STATES)])
    assert rows.dtype == torch.float64
    assert rows.requires_grad
    assert [tuple(row) for row in rows.exp().tolist()] == list(reversed(acted))
    for each, row in zip(STATES, acted, strict=True):
        logged = Decision(strategy=KEYS[3], index=3, probabilities=tuple(row), policy_version=0)
        again = Decision(strategy=KEYS[3], index=3, probabilities=tuple(later.distribution(each)), policy_version=0)
        assert again.probabilities == logged.probabilities


def test_a_planner_that_reads_tells_states_apart(policy: TrainablePolicy) -> None:
    disturb(policy)
    assert len({tuple(policy.distribution(each)) for each in STATES}) == len(STATES)


def test_a_snapshot_never_changes_and_leaves_the_original_free(policy: TrainablePolicy) -> None:
    disturb(policy)
    before = policy.distribution(STATES[1])
    snapshot = policy.snapshot()
    disturb(policy, seed=1)
    assert snapshot.distribution(STATES[1]) == before
    assert policy.distribution(STATES[1]) != before
    disturb(snapshot, seed=2)
    assert policy.snapshot().distribution(STATES[1]) == policy.distribution(STATES[1])


def test_weights_carry_the_whole_difference(policy: TrainablePolicy) -> None:
    fresh = policy.snapshot()
    disturb(policy)
    fresh.load_weights({name: tensor.clone() for name, tensor in policy.weights().items()})
    assert [fresh.distribution(each) for each in STATES] == [policy.distribution(each) for each in STATES]


def test_batched_training_has_the_gradients_of_states_alone(policy: TrainablePolicy) -> None:
    disturb(policy)
    targets = torch.randn(len(STATES), 13, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    prepared = [policy.prepare(each) for each in STATES]
    parameters = [p for group in policy.parameter_groups().values() for p in group]
    grads = []
    for batched in (False, True):
        rows = policy.log_probabilities(prepared, batched=batched)
        grads.append((rows.detach(), torch.autograd.grad((rows * targets).sum(), parameters)))
    torch.testing.assert_close(grads[0][0], grads[1][0], rtol=1e-4, atol=1e-5)
    for alone, together in zip(grads[0][1], grads[1][1], strict=True):
        torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-4)


def test_batches_count_positions_as_roberta_does(tmp_path: Path) -> None:
    # It counts them from the padding's id on, and its padding is not MiniLM's.
    encoder = load_encoder(write_tiny_encoder(tmp_path / "roberta", kind="roberta"))
    policy = an_encoder_policy(encoder, KEYS, trainable_layers=2)
    disturb(policy)
    prepared = [policy.prepare(each) for each in STATES]
    alone, batched = policy.log_probabilities(prepared), policy.log_probabilities(prepared, batched=True)
    assert torch.allclose(alone, batched, atol=1e-5)
    assert not torch.allclose(alone[0], alone[1])


def test_no_states_are_no_rows(policy: TrainablePolicy) -> None:
    assert policy.log_probabilities([]).shape == (0, 13)


def test_frozen_layers_stay_and_the_given_encoder_is_never_changed(tiny: TextEncoder) -> None:
    given = {name: p.clone() for name, p in tiny.model.named_parameters()}
    top, everything = (an_encoder_policy(tiny, KEYS, trainable_layers=n) for n in (1, 2))
    names = {name for name in top.weights() if name.startswith("encoder.")}
    assert names
    assert all(name.startswith("encoder.encoder.layer.1.") for name in names)
    assert {name for name in everything.weights() if name.startswith("encoder.")} == {f"encoder.{n}" for n in given}
    disturb(everything)
    disturb(top)
    assert all(torch.equal(p, given[name]) for name, p in tiny.model.named_parameters())
    # Frozen tensors are one copy in memory over all versions.
    shared = dict(top.snapshot().model.named_parameters())
    for name, parameter in tiny.model.named_parameters():
        assert (shared[name] is parameter) == (f"encoder.{name}" not in names)


def test_more_layers_than_the_encoder_has_are_refused(tiny: TextEncoder) -> None:
    with pytest.raises(ConfigError, match=r"trainable_layers = 3, but .* has 2 encoder layers"):
        an_encoder_policy(tiny, KEYS, trainable_layers=3)


def test_what_rewards_train_begins_at_the_warmed_up_planner_to_the_bit(policy: TrainablePolicy) -> None:
    prepared = [policy.prepare(each) for each in STATES]
    if isinstance(policy, EncoderPolicy):
        policy.fit_inputs(prepared)
    disturb(policy)
    warmed = [policy.distribution(each) for each in STATES]
    learned = [tensor.detach().clone() for group in policy.parameter_groups().values() for tensor in group]
    policy.learn_from_rewards()
    policy.fit_to_rewards(prepared)
    assert [policy.distribution(each) for each in STATES] == warmed
    if isinstance(policy, EncoderPolicy) and policy.trainable_layers == 0:
        inputs = policy.critic_inputs(prepared)
        torch.testing.assert_close(inputs.mean(0), torch.zeros(inputs.shape[1]), atol=0.05, rtol=0)
        assert not any(tensor.any() for group in policy.parameter_groups().values() for tensor in group)
        disturb(policy, seed=3)
        assert torch.equal(policy.weights()["head.text"], learned[0])
        policy.fit_to_rewards(prepared[:2])  # what rewards have trained already keeps its inputs
        assert torch.equal(policy.critic_inputs(prepared), inputs)
        with pytest.raises(ValueError, match="before the head has learned"):
            policy.fit_inputs(prepared)


def test_a_critic_reads_nothing_that_training_moves(policy: TrainablePolicy) -> None:
    policy.learn_from_rewards()
    before = policy.critic_inputs([policy.prepare(each) for each in STATES])
    disturb(policy)
    assert torch.equal(policy.critic_inputs([policy.prepare(each) for each in STATES]), before)
    assert policy.critic_inputs([]).shape == (0, before.shape[1])
    assert len({tuple(row) for row in before.tolist()}) > 1


def test_threads_get_the_bits_of_one(tiny: TextEncoder) -> None:
    policy = an_encoder_policy(tiny, KEYS)
    disturb(policy)
    expected = [policy.distribution(each) for each in STATES]
    other = an_encoder_policy(tiny, KEYS)
    disturb(other)
    got: list[list[tuple[float, ...]]] = []
    threads = [threading.Thread(target=lambda: got.append([other.distribution(s) for s in STATES])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [expected] * 4


def test_minilm_probabilities_are_recomputed_to_the_last_bit() -> None:
    for layers in (0, 1):
        policy = an_encoder_policy(minilm(), KEYS, trainable_layers=layers)
        disturb(policy)
        acted = [policy.distribution(each) for each in STATES]
        fresh = an_encoder_policy(minilm(), KEYS, trainable_layers=layers)
        fresh.load_weights(policy.weights())
        rows = fresh.log_probabilities([fresh.prepare(each) for each in STATES]).exp().tolist()
        assert [tuple(row) for row in rows] == acted


@given(st.sampled_from(STATES))
def test_planners_that_do_not_learn(each: State) -> None:
    assert sum(UniformPolicy(KEYS).distribution(each)) == pytest.approx(1.0)
    fixed: Policy = FixedPolicy(KEYS, "credibility")
    assert fixed.distribution(each)[KEYS.index("credibility")] == 1.0
    assert sum(fixed.distribution(each)) == 1.0


def test_an_unknown_fixed_strategy_is_named() -> None:
    with pytest.raises(ConfigError, match="'persuade' is none of: acknowledgment"):
        FixedPolicy(KEYS, "persuade")
