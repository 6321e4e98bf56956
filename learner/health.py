"""What an update says about itself: the figures that tell whether an RL run can be trusted.

Pure: from the decisions, rewards, returns and tensors of one update to one `UpdateReport`. None means that there was
nothing to compute a figure from; it is never replaced by a number.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harness.core.log.episode import Episode
from harness.core.messages import Decision, Struct
from learner.objective import effective_sample_size, entropy, kl_divergence
from learner.passes import Climb, PassReport
from learner.returns import Series


class UpdateReport(Struct, frozen=True, kw_only=True):
    """Health of one update. Entropy and KL are of the policy before the step, means over the update's decisions."""

    version: int
    """The version that this update made."""
    refused: str | None
    """Why no step was taken: then the version has the weights of the one before."""
    episodes: int
    errors: int
    """Failed episodes: they have a place in the update and contribute nothing."""
    turns: int
    """Decisions of the episodes that did not fail."""
    rewarded_turns: int
    """Those with a return; only these are learned from."""
    missing_reward_share: float | None
    turns_without_return: dict[str, int]
    """By stop cause: the turns that are not learned from because a reward is missing at or after them."""
    loss: float | None
    policy_loss: float | None
    entropy: float | None
    """Nats."""
    kl_to_warmup: float | None
    """KL(pi || the reference policy), nats."""
    gradient_norm: float | None
    """Of the first pass, before clipping."""
    passes: tuple[PassReport, ...]
    """Of each step that was taken."""
    passes_ended: str | None
    """Why there were fewer passes than the setting asks for."""
    advantage_spread: float | None
    reward_mean: float | None
    reward_spread: float | None
    """Standard deviation of the rewards; near 0 the judge gives every dialogue the same reward (flat-reward alarm)."""
    lag: float | None
    """Mean number of updates between the acting version and the one that is updated."""
    effective_sample_size: float | None
    """Of the rewarded turns' importance weights before the first pass; equals their number at lag 0."""
    critic_loss: float | None
    """Mean squared error of the critic's values on this update's returns, which it had not been fitted to."""
    explained_variance: float | None
    """1 - Var(R - V) / Var(R), likewise: 1 is perfect; at or below 0 the critic does not help."""
    mean_return: float | None
    """Mean R_1 of Eq. 8 (literal), over the episodes where it exists."""
    mean_objective: float | None
    """Mean R_1 under the horizon that is optimised."""
    strategy_shares: dict[str, float]
    """Of the decisions, by strategy."""


@dataclass(frozen=True)
class LearnedTurn:
    """A decision, its state as the policy prepares it, and where they exist its return under the horizon that is
    optimised and its advantage; ``value`` is what the critic expected."""

    prepared: Any
    decision: Decision
    returned: float | None
    value: float
    advantage: float | None
    dialogue: str = ""
    """Id of its episode."""


@dataclass(frozen=True)
class Step:
    """What happened to the weights: log-probabilities (N, K) of the policy before and of the reference on the update's
    turns, the passes over the rewarded ones, or why there was no step."""

    log_probs_NK: Tensor
    reference_NK: Tensor
    climb: Climb | None
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
) -> UpdateReport:
    """The report of the update that made ``version``; the returns are per episode, empty for failed ones."""
    scored = [episode for episode in episodes if not episode.failed]
    rewards = [reward for episode in scored for reward in episode.rewards]
    given = [reward for reward in rewards if reward is not None]
    learned = [turn.advantage for turn in turns if turn.advantage is not None]
    played = [turn.decision.strategy for turn in turns]
    climb, log_probs_NK = step.climb, step.log_probs_NK.detach()
    returned = [turn.returned for turn in turns if turn.returned is not None]
    errors = [turn.returned - turn.value for turn in turns if turn.returned is not None]
    return UpdateReport(
        version=version,
        refused=step.refused,
        episodes=len(episodes),
        errors=len(episodes) - len(scored),
        turns=len(turns),
        rewarded_turns=len(learned),
        missing_reward_share=1.0 - len(given) / len(rewards) if rewards else None,
        turns_without_return=_without_return(episodes, optimised),
        loss=_finite(climb.first.loss) if climb else None,
        policy_loss=_finite(climb.first.policy_loss) if climb else None,
        entropy=_finite(entropy(log_probs_NK).mean()),
        kl_to_warmup=_finite(kl_divergence(log_probs_NK, step.reference_NK).mean()),
        gradient_norm=climb.passes[0].gradient_norm if climb and climb.passes else None,
        passes=climb.passes if climb else (),
        passes_ended=climb.ended if climb else None,
        advantage_spread=statistics.pstdev(learned) if learned else None,
        reward_mean=_mean(given),
        reward_spread=statistics.pstdev(given) if given else None,
        lag=_mean(version - 1 - turn.decision.policy_version for turn in turns),
        effective_sample_size=effective_sample_size(climb.weights_N) if climb else None,
        critic_loss=_mean(error**2 for error in errors),
        explained_variance=_explained(errors, returned),
        mean_return=_mean(series[0] for series in literal if series),
        mean_objective=_mean(series[0] for series in optimised if series),
        strategy_shares={strategy: played.count(strategy) / max(1, len(played)) for strategy in strategies},
    )


def _without_return(episodes: Sequence[Episode], returns: Sequence[Series]) -> dict[str, int]:
    found: dict[str, int] = {}
    for episode, series in zip(episodes, returns, strict=True):
        if episode.ended is not None and None in series:
            found[episode.ended.stop] = found.get(episode.ended.stop, 0) + series.count(None)
    return found


def _explained(errors: Sequence[float], returned: Sequence[float]) -> float | None:
    spread = statistics.pvariance(returned) if returned else 0.0
    return 1.0 - statistics.pvariance(errors) / spread if spread > 0.0 else None


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.fmean(found) if found else None


def _finite(value: Tensor) -> float | None:
    # JSON has no NaN: the figure is missing, and the report says that the step was refused.
    number = value.item()
    return number if math.isfinite(number) else None
