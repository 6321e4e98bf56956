"""The critic: ridge regression of returns on what the planner's head sees, V(s) = w . (inputs, 1).

    M <- rho M + sum phi phi',  b <- rho b + sum phi R,  w = (M + I)^-1 b

An update's values come from *earlier* updates alone, so the critic has not seen the episodes that it judges: with
lambda 1 it is a baseline and leaves the gradient unbiased. There is no learning rate and nothing random. Its state is
two tensors and a count, which a checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

HALF_LIFE_EPISODES = 300.0
"""After so many episodes a turn weighs half: the policy has changed by then."""
READY_EPISODES = 64
"""Below this many the fit follows single conversations; the mean of other episodes at the same turn is better then."""
_RIDGE = 1.0
"""Weighs as about one turn for each input, since blocks of inputs have a root mean square of 1."""
_BIAS_RIDGE = 1e-6
"""The mean return is not penalised; above 0 only so that the system can be solved without data."""


class Critic:
    """``width``: number of inputs, without the 1 that is added here."""

    def __init__(self, width: int) -> None:
        self._gram = torch.zeros(width + 1, width + 1, dtype=torch.float64)
        self._moment = torch.zeros(width + 1, dtype=torch.float64)
        self._episodes = torch.zeros((), dtype=torch.int64)
        self._weights: Tensor | None = None

    @property
    def ready(self) -> bool:
        """Whether it has seen enough episodes to be believed."""
        return int(self._episodes) >= READY_EPISODES

    def values(self, inputs_NF: Tensor) -> list[float]:
        """V of N states; zeros before anything was added."""
        if self._weights is None:
            penalty = torch.full_like(self._moment, _RIDGE)
            penalty[-1] = _BIAS_RIDGE
            self._weights = torch.linalg.solve(self._gram + penalty.diag(), self._moment)
        found: list[float] = (_with_one(inputs_NF) @ self._weights).tolist()
        return found

    def add(self, inputs_NF: Tensor, returns_N: Sequence[float], episodes: int) -> None:
        """Take in the turns of ``episodes`` episodes that have a return; older ones fade."""
        phi = _with_one(inputs_NF)
        kept = 0.5 ** (episodes / HALF_LIFE_EPISODES)
        self._gram.mul_(kept).add_(phi.T @ phi)
        self._moment.mul_(kept).add_(phi.T @ torch.tensor(returns_N, dtype=torch.float64))
        self._episodes += episodes
        self._weights = None

    def state(self) -> dict[str, Tensor]:
        """What has to be kept to go on to the last bit."""
        return {"gram": self._gram, "moment": self._moment, "episodes": self._episodes}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`, for a critic of the same width."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self._weights = None


def _with_one(inputs_NF: Tensor) -> Tensor:
    inputs = inputs_NF.detach().double().cpu()
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
