"""What an update says about itself: the figures by which an RL run is believed or stopped.

Pure: from the decisions, rewards, returns and tensors of one update to one `UpdateReport`. None means that there was
nothing to compute a figure from; it is never a number in disguise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.core.log.episode import Episode
from harness.core.messages import Decision, State, Struct
from learner.objective import RATIO_CLIP, Objective, effective_sample_size, entropy, kl_divergence
from learner.returns import Series


class UpdateReport(Struct, frozen=True, kw_only=True):
    """Health of one update. Entropy and KL are of the policy before the step, means over the update's decisions."""

    version: int
    """The version that this update made."""
    refused: str | None
    """Why no step was taken: then the version has the weights of the one before."""
    episodes: int
    errors: int
    """Censored episodes: they hold a place in the update and contribute nothing."""
    turns: int
    """Decisions of the episodes that are not censored."""
    rewarded_turns: int
    """Those with a return; only these are learned from."""
    missing_reward_share: float | None
    loss: float | None
    policy_loss: float | None
    entropy: float | None
    """Nats."""
    kl_to_warmup: float | None
    """KL(pi || the reference policy), nats."""
    gradient_norm: float | None
    """Before clipping."""
    learning_rate_factor: float
    """Linear decay: 1 at the first update."""
    advantage_spread: float | None
    reward_mean: float | None
    reward_spread: float | None
    """Standard deviation of the rewards; near 0 the judge tells nothing apart (flat-reward alarm)."""
    lag: float | None
    """Mean number of updates between the acting version and the one that is updated."""
    effective_sample_size: float | None
    """Of the rewarded turns' importance ratios; equals their number at lag 0."""
    clipped_share: float | None
    """Share of the rewarded turns whose ratio lies outside of the clipping range."""
    mean_return: float | None
    """Mean R_1 of Eq. 8 (literal), over the episodes where it exists."""
    mean_objective: float | None
    """Mean R_1 under the horizon that is optimised."""
    strategy_shares: dict[str, float]
    """Of the decisions, by strategy."""


@dataclass(frozen=True)
class LearnedTurn:
    """A decision, the state it was taken in, and its advantage where its return exists."""

    state: State
    decision: Decision
    advantage: float | None


@dataclass(frozen=True)
class Step:
    """What happened to the weights: log-probabilities (N, K) of the policy and the reference on the update's turns, the
    objective over the rewarded ones, the gradient norm, or why there was no step."""

    log_probs_NK: Tensor
    reference_NK: Tensor
    objective: Objective | None
    gradient_norm: float | None
    refused: str | None


def describe(
    *,
    version: int,
    episodes: Sequence[Episode],
    literal: Sequence[Series],
    optimised: Sequence[Series],
    turns: Sequence[LearnedTurn],
    strategies: tuple[str, ...],
    step: Step,
    rate: float,
) -> UpdateReport:
    """The report of the update that made ``version``; the returns are per episode, empty for censored ones."""
    scored = [episode for episode in episodes if not censored(episode)]
    rewards = [reward for episode in scored for reward in episode.rewards]
    given = [reward for reward in rewards if reward is not None]
    learned = [turn.advantage for turn in turns if turn.advantage is not None]
    played = [turn.decision.strategy for turn in turns]
    objective, log_probs_NK = step.objective, step.log_probs_NK.detach()
    ratios_N = objective.ratios_N.detach() if objective else torch.zeros(0)
    return UpdateReport(
        version=version,
        refused=step.refused,
        episodes=len(episodes),
        errors=len(episodes) - len(scored),
        turns=len(turns),
        rewarded_turns=len(learned),
        missing_reward_share=1.0 - len(given) / len(rewards) if rewards else None,
        loss=_finite(objective.loss) if objective else None,
        policy_loss=_finite(objective.policy_loss) if objective else None,
        entropy=_finite(entropy(log_probs_NK).mean()),
        kl_to_warmup=_finite(kl_divergence(log_probs_NK, step.reference_NK).mean()),
        gradient_norm=step.gradient_norm,
        learning_rate_factor=rate,
        advantage_spread=statistics.pstdev(learned) if learned else None,
        reward_mean=_mean(given),
        reward_spread=statistics.pstdev(given) if given else None,
        lag=_mean(version - 1 - turn.decision.policy_version for turn in turns),
        effective_sample_size=effective_sample_size(ratios_N) if len(ratios_N) else None,
        clipped_share=_finite(((ratios_N - 1.0).abs() > RATIO_CLIP).double().mean()),
        mean_return=_mean(series[0] for series in literal if series),
        mean_objective=_mean(series[0] for series in optimised if series),
        strategy_shares={strategy: played.count(strategy) / max(1, len(played)) for strategy in strategies},
    )


def censored(episode: Episode) -> bool:
    """Whether an episode ended in an error (decision 8) or not at all: its rewards are never learned from."""
    return episode.ended is None or episode.ended.stop == "error"


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.fmean(found) if found else None


def _finite(value: Tensor) -> float | None:
    # A log holds JSON, which has no NaN; that the figure is missing and the step refused says it.
    number = value.item()
    return number if math.isfinite(number) else None
