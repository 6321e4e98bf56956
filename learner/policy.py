"""What the learner needs of a planner beyond the `Policy` seam, and the two planners that do not learn.

A policy is a pure function of the state; it keeps no rollouts and draws nothing. Everything that learns is a
`TrainablePolicy`: `learner.encoder_policy` (text encoder and a linear head) and `learner.tabular` (for tests and as a
floor). Left out: sampling (`experts.planner`), updates (`learner.updates`), files (`learner.checkpoint`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from harness.core.errors import ConfigError
from harness.core.messages import State
from harness.core.seams import Immediate

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class TrainablePolicy(Protocol):
    """A policy with weights. K: number of strategies, in the order of ``strategies``."""

    @property
    def strategies(self) -> tuple[str, ...]:
        """Strategy keys in the order of every probability vector."""
        ...

    def distribution(self, state: State) -> Sequence[float]:
        """pi(.|s), K probabilities; for one state and one set of weights always the same bits."""
        ...

    def prepare(self, state: State) -> Any:
        """The part of the computation that no trainable weight changes; valid for every snapshot of this policy."""
        ...

    def log_probabilities(self, prepared: Sequence[Any], *, batched: bool = False) -> Tensor:
        """log pi(.|s) of N prepared states, (N, K) float64 with gradients.

        Each state alone, so that exp of a row has the bits of `distribution`; ``batched`` is the faster path, equal up
        to rounding.
        """
        ...

    def critic_inputs(self, prepared: Sequence[Any]) -> Tensor:
        """What a critic may read of N prepared states, (N, F): those of the head's scaled inputs that no training
        moves, since a regression on inputs that move would have to be fitted again at every update."""
        ...

    def learn_from_rewards(self) -> None:
        """From now on `parameter_groups` are those that rewards train; warm-up is over."""
        ...

    def fit_to_rewards(self, prepared: Sequence[Any]) -> None:
        """Fit what may be fitted to the states of the first update; the distribution stays what it is, to the bit."""
        ...

    def parameter_groups(self) -> dict[str, list[Tensor]]:
        """Trainable tensors by kind, since kinds have learning rates of their own: ``text`` and ``numbers`` (a head's
        weights on either), ``head`` (of one with a hidden layer), ``encoder``, ``table``."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """Every tensor that distinguishes this policy from a fresh one, by name; the tensors themselves, no copies."""
        ...

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take over the values of tensors with the names and shapes of `weights`."""
        ...

    def snapshot(self) -> Self:
        """An independent copy that later updates never touch; what is frozen is shared."""
        ...


class UniformPolicy(Immediate):
    """Every strategy alike: the planner before any learning."""

    def __init__(self, strategies: tuple[str, ...]) -> None:
        self.strategies = strategies

    def distribution(self, state: State) -> tuple[float, ...]:
        return (1.0 / len(self.strategies),) * len(self.strategies)


class FixedPolicy(Immediate):
    """One strategy a turn, whatever is said: always the same, or a fixed schedule whose last strategy is repeated."""

    def __init__(self, strategies: tuple[str, ...], *schedule: str) -> None:
        for strategy in schedule:
            if strategy not in strategies:
                raise ConfigError(f"fixed strategy {strategy!r} is none of: {', '.join(strategies)}")
        self.strategies = strategies
        self._schedule = [certainly(strategies, strategy) for strategy in schedule]

    def distribution(self, state: State) -> tuple[float, ...]:
        return self._schedule[min(state.turn, len(self._schedule)) - 1]


def certainly(strategies: tuple[str, ...], strategy: str) -> tuple[float, ...]:
    """Probability 1 for one strategy, (K,)."""
    return tuple(1.0 if known == strategy else 0.0 for known in strategies)
