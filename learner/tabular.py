"""A table of logits over (turn, last strategy, stage): the smallest planner that can learn.

For tests, and as a lower bound for planners that read text: it sees no words.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from harness.core.messages import State
from harness.core.seams import Immediate
from learner.state_features import STAGES, stage

Cell = tuple[int, int, int]


class TabularPolicy(Immediate):
    """pi(.|s) = softmax(table[turn, last strategy, stage]); all zero, that is uniform, at first."""

    def __init__(self, strategies: tuple[str, ...], *, max_turns: int = 10) -> None:
        self.strategies = strategies
        self._max_turns = max_turns
        self._row_of = {strategy: row for row, strategy in enumerate(strategies, start=1)}
        # float64: a table is small, and its gradients can be checked against formulas.
        self.table = torch.zeros(
            max_turns, len(strategies) + 1, STAGES, len(strategies), dtype=torch.float64, requires_grad=True
        )

    def prepare(self, state: State) -> Cell:
        """(turn, last strategy, stage) as indices; turns beyond the table use its last row, no strategy is 0."""
        turn = min(state.turn, self._max_turns) - 1
        last = state.turns[-1].strategy if state.turns else None
        return turn, self._row_of.get(last or "", 0), stage(state)

    def distribution(self, state: State) -> tuple[float, ...]:
        with torch.no_grad():
            return tuple(self.log_probabilities([self.prepare(state)])[0].exp().tolist())

    def log_probabilities(self, prepared: Sequence[Cell], *, batched: bool = False) -> Tensor:
        if not prepared:
            return self.table.new_zeros(0, len(self.strategies))
        return torch.stack([torch.log_softmax(self.table[cell], 0) for cell in prepared])

    def critic_inputs(self, prepared: Sequence[Cell]) -> Tensor:
        """Turn, last strategy and stage, one-hot side by side: a table of cells would need every cell's own data."""
        sizes = self.table.shape[:3]
        columns = [
            torch.nn.functional.one_hot(torch.tensor([cell[axis] for cell in prepared], dtype=torch.long), size)
            for axis, size in enumerate(sizes)
        ]
        return torch.cat(columns, dim=1).double()

    def learn_from_rewards(self) -> None:
        """One table for warm-up and rewards."""

    def fit_to_rewards(self, prepared: Sequence[Cell]) -> None:
        """Nothing is fitted."""

    def parameter_groups(self) -> dict[str, list[Tensor]]:
        return {"table": [self.table]}

    def weights(self) -> dict[str, Tensor]:
        return {"table": self.table.detach()}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            self.table.copy_(weights["table"])

    def snapshot(self) -> Self:
        twin = copy.copy(self)
        twin.table = self.table.detach().clone().requires_grad_()
        return twin
