"""Human strategy labels as numbers, and how well a planner predicts them.

A turn's target is the distribution of its labels, second labels counted (decision 14). Accuracy is read two ways: the
most likely strategy is the turn's first label, or it is any of its labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import DataError
from harness.core.messages import Dialogue, State, Struct

Matrix = NDArray[np.float64]


class LabelMeasures(Struct, frozen=True, kw_only=True):
    """Quality of predicted strategy distributions on n labelled turns."""

    nll: float
    """Mean of -sum_k y_k log p_k in nats, y the soft target; infinite where a used strategy was ruled out."""
    first_label_accuracy: float
    any_label_accuracy: float
    macro_f1: float
    """Mean F1 over the strategies that are some turn's first label."""
    n: int


@dataclass(frozen=True)
class LabelledStates:
    """N states, their soft targets (N, K) with rows that sum to 1, and the index of each turn's first label (N,)."""

    states: tuple[State, ...]
    targets_NK: Matrix
    first_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.states)


def labelled_states(dialogues: Sequence[Dialogue], strategies: tuple[str, ...]) -> LabelledStates:
    """All labelled turns of some dialogues in order; a label outside of ``strategies`` is a `DataError`."""
    index = {strategy: position for position, strategy in enumerate(strategies)}
    turns = [turn for dialogue in dialogues for turn in dialogue.labelled_turns]
    counts = np.zeros((len(turns), len(strategies)))
    for row, turn in enumerate(turns):
        for label, count in turn.labels.items():
            if label not in index:
                raise DataError(f"dialogue {turn.state.episode!r} has the label {label!r}, which is no strategy here")
            counts[row, index[label]] = count
    return LabelledStates(
        states=tuple(turn.state for turn in turns),
        targets_NK=counts / counts.sum(axis=1, keepdims=True),
        first_N=np.array([index[turn.first_label] for turn in turns], dtype=np.int64),
    )


def measure(probabilities_NK: Matrix, labels: LabelledStates) -> LabelMeasures:
    """Predictions for ``labels``' states, rows in their order, against the labels."""
    targets, first = labels.targets_NK, labels.first_N
    with np.errstate(divide="ignore"):
        logs = np.log(probabilities_NK)
    predicted = probabilities_NK.argmax(axis=1)
    scores = []
    for strategy in np.unique(first):
        hits = np.sum((predicted == strategy) & (first == strategy))
        scores.append(2.0 * hits / (np.sum(predicted == strategy) + np.sum(first == strategy)))
    return LabelMeasures(
        nll=float(-np.where(targets > 0, targets * np.where(targets > 0, logs, 0.0), 0.0).sum(axis=1).mean()),
        first_label_accuracy=float(np.mean(predicted == first)),
        any_label_accuracy=float(np.mean(targets[np.arange(len(labels)), predicted] > 0)),
        macro_f1=float(np.mean(scores)),
        n=len(labels),
    )


def confusion(probabilities_NK: Matrix, labels: LabelledStates) -> NDArray[np.int64]:
    """(K, K) counts: row = the turn's first label, column = the most likely strategy."""
    k = probabilities_NK.shape[1]
    counts: NDArray[np.int64] = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (labels.first_N, probabilities_NK.argmax(axis=1)), 1)
    return counts
