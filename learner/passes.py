"""Several passes over one update's turns: PPO's clipped objective, each pass one step on all of them (Schulman 2017).

The ratio that is clipped is to the update's *starting* weights, so the first pass has ratios of exactly 1 and the plain
gradient of Eq. 7, whatever the lag. What an older version acted counts by its importance weight, cut at 2 (V-trace,
Espeholt et al., 2018): so it always counts, and never too much. Passes after the first follow data of weights that have
moved, and the cut is a bias too; both are PPO's and accepted (docs/decisions.md). Left out: advantages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harness.core.messages import Struct
from learner.objective import RATIO_CLIP, Objective, effective_sample_size, kl_divergence, policy_objective
from learner.optimizer import Optimizer
from learner.policy import TrainablePolicy

WEIGHT_LIMIT = 2.0
"""Largest importance weight of a turn that an older version acted: twice the weight of an ordinary turn."""
KL_STOP = 0.03
"""Mean KL from the starting weights, in nats, at which passes end: beyond it the turns no longer fit the policy."""


class PassReport(Struct, frozen=True, kw_only=True):
    """One pass, as it was before its step."""

    kl: float
    """KL(starting policy || policy), mean over the rewarded turns, nats."""
    clipped_share: float
    """Of the rewarded turns, those whose ratio lies outside of the clipping range."""
    effective_sample_size: float
    """Of importance weight times ratio, in turns."""
    gradient_norm: float
    """Before clipping."""


@dataclass(frozen=True)
class Turns:
    """The rewarded turns of one update. N turns."""

    prepared: Sequence[Any]
    """As `TrainablePolicy.prepare` gives them."""
    actions_N: Tensor
    acting_probs_N: Tensor
    """Logged pi(h_t|s_t) of the version that acted."""
    advantages_N: Tensor
    entropy_shares_N: Tensor | None = None
    """As `policy_objective` takes them."""


@dataclass(frozen=True)
class Climb:
    """What the passes did: the first pass's objective, a report of each step taken, why they ended early."""

    first: Objective
    weights_N: Tensor
    """Importance weights, cut."""
    passes: tuple[PassReport, ...]
    ended: str | None


def importance_weights(start_probs_N: Tensor, acting_probs_N: Tensor) -> Tensor:
    """min(2, pi_start / pi_acting); exactly 1 where the starting weights acted."""
    return (start_probs_N / acting_probs_N).clamp(max=WEIGHT_LIMIT)


def climb(
    policy: TrainablePolicy,
    optimizer: Optimizer,
    log_probs_NK: Tensor,
    turns: Turns,
    *,
    passes: int,
    beta: float,
    normaliser: float,
    rate: float = 1.0,
) -> Climb:
    """Up to ``passes`` steps of ``optimizer``, its learning rates times ``rate``. ``log_probs_NK``: of the starting
    weights, with gradients.

    Ends before a step once the policy has moved by `KL_STOP`, and where a loss or a gradient is not finite: that step
    is not taken, those before it stand.
    """
    start_NK = log_probs_NK.detach()
    start_N = start_NK.exp().gather(1, turns.actions_N.unsqueeze(1)).squeeze(1)
    weights_N = importance_weights(start_N, turns.acting_probs_N)
    done: list[PassReport] = []
    first: Objective | None = None
    ended: str | None = None
    for number in range(passes):
        if number:
            log_probs_NK = policy.log_probabilities(turns.prepared, batched=True)
        kl = float(kl_divergence(start_NK, log_probs_NK.detach()).mean())
        if kl > KL_STOP:
            ended = f"the policy has moved by {kl:.3f} nats"
            break
        objective = policy_objective(
            log_probs_NK,
            turns.actions_N,
            start_N,
            weights_N * turns.advantages_N,
            beta=beta,
            normaliser=normaliser,
            entropy_shares_N=turns.entropy_shares_N,
        )
        first = first or objective
        norm = optimizer.step(objective.loss, rate=rate)
        if norm is None:
            ended = "the loss or a gradient is not finite"
            break
        ratios_N = objective.ratios_N.detach()
        done.append(
            PassReport(
                kl=kl,
                clipped_share=float(((ratios_N - 1.0).abs() > RATIO_CLIP).double().mean()),
                effective_sample_size=effective_sample_size(weights_N * ratios_N),
                gradient_norm=norm,
            )
        )
    assert first is not None  # the first pass has moved by nothing
    return Climb(first=first, weights_N=weights_N, passes=tuple(done), ended=ended)
