"""Eq. 6 and Eq. 7: gradients against closed forms, and the direction on a bandit."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner.objective import effective_sample_size, entropy, kl_divergence, policy_objective, soft_cross_entropy

seeds = st.integers(0, 10_000)


def draw(seed: int, turns: int = 6, arms: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (with gradient), actions, advantages."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(turns, arms, generator=generator, dtype=torch.float64).requires_grad_()
    actions = torch.randint(arms, (turns,), generator=generator)
    return logits, actions, torch.randn(turns, generator=generator, dtype=torch.float64)


def chosen(logits: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(logits, 1).exp().gather(1, actions[:, None]).squeeze(1).detach()


@given(seeds, st.floats(0, 0.5), st.floats(1, 200))
def test_gradient_is_the_closed_form_of_a_softmax_policy(seed: int, beta: float, normaliser: float) -> None:
    logits, actions, advantages = draw(seed)
    log_probs = torch.log_softmax(logits, 1)
    objective = policy_objective(
        log_probs, actions, chosen(logits, actions), advantages, beta=beta, normaliser=normaliser
    )
    objective.loss.backward()
    pi = log_probs.detach().exp()
    one_hot = torch.nn.functional.one_hot(actions, pi.shape[1])
    # d log pi(a) / d z = 1[a] - pi;  d H / d z_k = -pi_k (log pi_k + H).
    h = -(pi * pi.log()).sum(1, keepdim=True)
    expected = -(advantages[:, None] * (one_hot - pi) + beta * -pi * (pi.log() + h)) / normaliser
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, expected)
    assert torch.equal(objective.ratios_N, torch.ones(len(actions), dtype=torch.float64))


@given(seeds)
def test_loss_is_decision_1_in_numbers(seed: int) -> None:
    logits, actions, advantages = draw(seed)
    log_probs = torch.log_softmax(logits, 1)
    got = policy_objective(log_probs, actions, chosen(logits, actions), advantages, beta=0.3, normaliser=40.0)
    # At ratio 1 the surrogate's value is the advantage itself.
    assert got.policy_loss.item() == pytest.approx(-float(advantages.sum()) / 40)
    assert got.entropy_bonus.item() == pytest.approx(entropy(log_probs).sum().item() / 40)
    assert got.loss.item() == pytest.approx(got.policy_loss.item() - 0.3 * got.entropy_bonus.item())


@pytest.mark.parametrize(
    ("ratio", "advantage", "pulls"), [(1.5, 1.0, False), (1.5, -1.0, True), (0.5, 1.0, True), (0.5, -1.0, False)]
)
def test_lagged_turns_stop_pulling_once_they_have_moved_enough(ratio: float, advantage: float, pulls: bool) -> None:
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    acting = torch.tensor([0.5 / ratio], dtype=torch.float64)
    objective = policy_objective(
        torch.log_softmax(logits, 1),
        torch.tensor([0]),
        acting,
        torch.tensor([advantage], dtype=torch.float64),
        beta=0.0,
        normaliser=1.0,
    )
    objective.loss.backward()
    assert objective.ratios_N[0].item() == pytest.approx(ratio)
    assert logits.grad is not None
    assert bool(logits.grad.abs().sum() > 0) is pulls


def test_an_update_without_rewarded_turns_has_zero_loss() -> None:
    empty = torch.zeros(0, 3, dtype=torch.float64)
    none = torch.zeros(0, dtype=torch.float64)
    assert float(policy_objective(empty, none.long(), none, none, beta=0.1, normaliser=10.0).loss) == 0.0


@given(seeds)
def test_soft_cross_entropy_is_smallest_at_the_targets(seed: int) -> None:
    logits, _, _ = draw(seed)
    targets = torch.softmax(draw(seed + 1)[0], 1).detach()
    own = soft_cross_entropy(targets.log(), targets)
    assert own.item() == pytest.approx(float(entropy(targets.log()).mean()))
    assert soft_cross_entropy(torch.log_softmax(logits, 1), targets).item() >= own.item() - 1e-12


def test_soft_cross_entropy_has_the_closed_form_gradient_and_survives_impossible_classes() -> None:
    logits = torch.tensor([[0.3, -0.2, 1.0]], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64)
    soft_cross_entropy(torch.log_softmax(logits, 1), targets).backward()
    torch.testing.assert_close(logits.grad, torch.softmax(logits.detach(), 1) - targets)
    impossible = torch.tensor([[-0.5, -0.9, -torch.inf]], dtype=torch.float64)
    assert float(soft_cross_entropy(impossible, targets)) == pytest.approx(0.7)
    assert torch.isfinite(entropy(impossible)).all()


@given(seeds)
def test_kl_is_zero_at_itself_and_positive_elsewhere(seed: int) -> None:
    first, second = torch.log_softmax(draw(seed)[0], 1), torch.log_softmax(draw(seed + 1)[0], 1)
    assert torch.equal(kl_divergence(first, first), torch.zeros(6, dtype=torch.float64))
    assert (kl_divergence(first, second) > 0).all()


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=20))
def test_effective_sample_size_lies_between_1_and_n(weights: list[float]) -> None:
    size = effective_sample_size(torch.tensor(weights, dtype=torch.float64))
    assert 1 - 1e-9 <= size <= len(weights) + 1e-9
    assert effective_sample_size(torch.ones(len(weights))) == pytest.approx(len(weights))
    assert effective_sample_size(torch.zeros(0)) == 0.0


def ascend_bandit(beta: float, steps: int = 300) -> torch.Tensor:
    """Arm 1 pays 1, arm 0 pays 0.8: gradient steps on decision 1's objective with sampled arms."""
    generator = torch.Generator().manual_seed(7)
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=0.5)
    for _ in range(steps):
        log_probs = torch.log_softmax(logits, 0).expand(32, 2)
        actions = torch.multinomial(log_probs[0].detach().exp(), 32, replacement=True, generator=generator)
        pay = torch.tensor([0.8, 1.0], dtype=torch.float64)[actions]
        acting = log_probs.detach().exp()[torch.arange(32), actions]
        optimizer.zero_grad()
        policy_objective(log_probs, actions, acting, pay - pay.mean(), beta=beta, normaliser=32.0).loss.backward()
        optimizer.step()
    return torch.softmax(logits.detach(), 0)


def test_ascent_finds_the_better_arm_and_beta_keeps_entropy() -> None:
    plain, regularised = ascend_bandit(beta=0.0), ascend_bandit(beta=0.1)
    assert plain[1] > 0.9
    assert 0.5 < regularised[1] < plain[1]
    assert entropy(regularised.log()[None])[0] > entropy(plain.log()[None])[0] + 0.05


def test_a_strategy_that_is_ruled_out_adds_nothing() -> None:
    certain = torch.tensor([[0.0, -math.inf]])
    even = torch.log(torch.tensor([[0.5, 0.5]]))
    assert entropy(certain).tolist() == [0.0]
    assert kl_divergence(certain, even).tolist() == pytest.approx([math.log(2)])
    assert kl_divergence(certain, certain.clamp(min=-9.0)).tolist() == [0.0]
    assert kl_divergence(even, even.roll(1)).tolist() == [0.0]


def test_the_divergence_is_a_sum_over_strategies() -> None:
    ours, theirs = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.2, 0.5, 0.3]])
    expected = sum(p * math.log(p / q) for p, q in zip((0.7, 0.2, 0.1), (0.2, 0.5, 0.3), strict=True))
    assert kl_divergence(ours.log(), theirs.log()).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("acting", "advantage", "gain"), [(0.25, 1.0, 1.2), (1.0, -1.0, -0.8), (0.4, 1.0, 1.2)])
def test_by_default_a_turn_counts_up_to_a_fifth_of_change(acting: float, advantage: float, gain: float) -> None:
    even = torch.log(torch.tensor([[0.5, 0.5]]))
    turn = torch.tensor([0]), torch.tensor([acting]), torch.tensor([advantage])
    assert policy_objective(even, *turn, beta=0.0, normaliser=1.0).policy_loss.item() == pytest.approx(-gain)
