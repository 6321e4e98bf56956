"""Eq. 6 and Eq. 7 as pure functions of tensors, plus the diagnostics that are read from the same tensors.

Eq. 7's sign in the paper minimises the return and its beta stands outside alpha; what is minimised here is decision 1:
``-(sum A_t log pi(h_t|s_t) + beta sum H(pi(.|s_t))) / (episodes x T_max)``. So that several steps can be made on the
same turns, log pi is replaced by the clipped ratio of PPO (Schulman et al., 2017) to the weights before the first step;
there every ratio is exactly 1 and the gradient is the one above. The paper's own averages, of each dialogue a sum of
turns and a mean entropy, are `entropy_shares_N` with the number of episodes as normaliser. Shapes: N turns, K
strategies. No state, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RATIO_CLIP = 0.2
"""PPO's usual value: a turn has no gradient once its probability has moved by a fifth in the wanted direction."""


def soft_cross_entropy(log_probs_NK: Tensor, targets_NK: Tensor) -> Tensor:
    """Eq. 6 with soft targets: mean over N of -sum_k y_k log pi_k, in nats; rows of ``targets_NK`` sum to 1."""
    # where(): a target of 0 must not turn a log-probability of -inf into NaN.
    return -torch.where(targets_NK > 0, targets_NK * log_probs_NK, 0.0).sum(dim=1).mean()


def entropy(log_probs_NK: Tensor) -> Tensor:
    """H(pi(.|s)) of each row in nats, over the full distribution; (N,)."""
    probs = log_probs_NK.exp()
    return -torch.where(probs > 0, probs * log_probs_NK, 0.0).sum(dim=1)


def kl_divergence(log_probs_NK: Tensor, reference_NK: Tensor) -> Tensor:
    """KL(pi || reference) of each row in nats; both are log-probabilities; (N,)."""
    probs = log_probs_NK.exp()
    return torch.where(probs > 0, probs * (log_probs_NK - reference_NK), 0.0).sum(dim=1)


@dataclass(frozen=True)
class Objective:
    """Eq. 7 of one update. ``loss`` = ``policy_loss`` - beta * ``entropy_bonus``; all carry gradients."""

    loss: Tensor
    policy_loss: Tensor
    entropy_bonus: Tensor
    """sum of entropies / (episodes x T_max), below the mean entropy where episodes are short; or with given shares."""
    ratios_N: Tensor
    """pi(h|s) / pi_start(h|s); all ones at the first step."""


def policy_objective(
    log_probs_NK: Tensor,
    actions_N: Tensor,
    start_probs_N: Tensor,
    advantages_N: Tensor,
    *,
    beta: float,
    normaliser: float,
    entropy_shares_N: Tensor | None = None,
    clip: float = RATIO_CLIP,
) -> Objective:
    """Eq. 7 over the rewarded turns of one update (decision 1).

    ``start_probs_N``: pi(h_t|s_t) that ratios are taken to. ``normaliser``: episodes x T_max, a constant, so that a
    turn of a short episode weighs no more than one of a long one. ``entropy_shares_N``: weights of the turns' entropies
    in place of 1 / normaliser. N may be 0 (loss 0).
    """
    chosen_N = log_probs_NK.gather(1, actions_N.unsqueeze(1)).squeeze(1)
    # A quotient of probabilities, not exp of a difference of logarithms: equal bits give exactly 1.
    ratios_N = chosen_N.exp() / start_probs_N
    gain_N = torch.minimum(ratios_N * advantages_N, ratios_N.clamp(1.0 - clip, 1.0 + clip) * advantages_N)
    policy_loss = -gain_N.sum() / normaliser
    entropies_N = entropy(log_probs_NK)
    entropy_bonus = (
        entropies_N.sum() / normaliser if entropy_shares_N is None else (entropies_N * entropy_shares_N).sum()
    )
    return Objective(
        loss=policy_loss - beta * entropy_bonus,
        policy_loss=policy_loss,
        entropy_bonus=entropy_bonus,
        ratios_N=ratios_N,
    )


def effective_sample_size(weights_N: Tensor) -> float:
    """(sum w)^2 / sum w^2 (Kish): how many equally weighted turns the weighted ones are worth; 0 for none."""
    total, squares = float(weights_N.sum()), float((weights_N**2).sum())
    return total * total / squares if squares > 0 else 0.0
