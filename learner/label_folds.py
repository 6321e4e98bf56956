"""Cross-validation of strategy predictors on labelled dialogues, paired by dialogue.

Each repeat cuts the dialogues anew into folds of about equal size. A predictor is fitted on all folds but one and
predicts the turns of that one, so every turn has one prediction a repeat, from a predictor that saw nothing of its
dialogue. What a predictor chooses for itself (epochs, say) it chooses inside the dialogues that it is given.

A difference between two predictors is over the same turns. Turns of one dialogue are not independent: its interval is
Student's t of the mean over turns with the variance of the dialogues' sums (a cluster-robust variance). A turn's value
is its mean over the repeats, so that repeats make a value more exact but do not count as more data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.core import seeds
from harness.core.errors import InputError
from harness.core.messages import Dialogue, Struct
from learner.labels import LabelledStates, Matrix, labelled_states

Predictor = Callable[[Sequence[Dialogue], LabelledStates], Matrix]
"""Dialogues to fit on, and the states to predict: (N, K) probabilities."""
_Round = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(N,) NLL and (N,) hits of all turns, each predicted from dialogues that are not its own."""
LEVEL = 0.95


class Comparison(Struct, frozen=True, kw_only=True):
    """A predictor on all labelled turns, and the reference's differences from it (the reference minus this)."""

    nll: float
    """Nats a turn."""
    any_label: float
    """Share of turns whose most likely strategy is one of the turn's labels."""
    repeats: int
    nll_difference: tuple[float, float, float] | None = None
    """Mean, low and high; None for the reference itself, and where all dialogues differ alike."""
    any_label_difference: tuple[float, float, float] | None = None


def folds_of(dialogues: int, folds: int, *, seed: int, repeat: int) -> Iterator[NDArray[np.bool_]]:
    """For each fold a mask of the dialogues (N,) that are held out; together they hold each dialogue once."""
    drawn = np.random.default_rng(seeds.derive(seed, "label-folds", str(repeat))).permutation(dialogues)
    for part in np.array_split(drawn, folds):
        held = np.zeros(dialogues, dtype=np.bool_)
        held[part] = True
        yield held


def cross_validate(
    dialogues: Sequence[Dialogue],
    strategies: tuple[str, ...],
    predictors: Mapping[str, tuple[Predictor, int]],
    *,
    reference: str,
    folds: int,
    seed: int,
    done: Callable[[str], None] = lambda name: None,
) -> dict[str, Comparison]:
    """Every predictor's measures; the reference is compared with the others on the repeats that both have.

    Args:
        predictors: name -> the predictor, and for how many repeats.
        done: called with a predictor's name after each fold.

    Raises:
        InputError: there are fewer labelled dialogues than folds.
    """
    labelled = [dialogue for dialogue in dialogues if dialogue.labelled_turns]
    if not 2 <= folds <= len(labelled):
        raise InputError(f"{folds} folds do not suit {len(labelled)} dialogues with labelled turns")
    cluster = np.array([at for at, dialogue in enumerate(labelled) for _ in dialogue.labelled_turns])
    found = {
        name: [
            _one_repeat(labelled, strategies, cluster, predictor, folds, seed, repeat, partial(done, name))
            for repeat in range(repeats)
        ]
        for name, (predictor, repeats) in predictors.items()
    }
    return {
        name: _compared(rounds, found[reference] if name != reference else None, cluster)
        for name, rounds in found.items()
    }


def _compared(rounds: list[_Round], reference: list[_Round] | None, cluster: NDArray[np.int64]) -> Comparison:
    nll, hits = (np.mean([one[which] for one in rounds], axis=0) for which in (0, 1))
    result = Comparison(nll=float(nll.mean()), any_label=float(hits.mean()), repeats=len(rounds))
    if reference is None:
        return result
    pairs = list(zip(reference, rounds, strict=False))  # the repeats that both have
    gaps = [by_cluster(np.mean([ours[at] - its[at] for ours, its in pairs], axis=0), cluster) for at in (0, 1)]
    return msgspec.structs.replace(result, nll_difference=gaps[0], any_label_difference=gaps[1])


def by_cluster(values_N: NDArray[np.float64], cluster_N: NDArray[np.int64]) -> tuple[float, float, float] | None:
    """Mean, low and high of values that come in clusters (see the module); None where no cluster leaves the mean."""
    mean, count = float(values_N.mean()), len(np.unique(cluster_N))
    sums = np.bincount(cluster_N, weights=values_N - mean)
    error = float(np.sqrt(count / (count - 1) * np.square(sums).sum()) / len(values_N))
    if error < 1e-12:
        return None
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * error
    return mean, mean - reach, mean + reach


def _one_repeat(
    labelled: Sequence[Dialogue],
    strategies: tuple[str, ...],
    cluster: NDArray[np.int64],
    predictor: Predictor,
    folds: int,
    seed: int,
    repeat: int,
    done: Callable[[], None],
) -> _Round:
    nll, hits = np.zeros(len(cluster)), np.zeros(len(cluster))
    for held in folds_of(len(labelled), folds, seed=seed, repeat=repeat):
        learning = [dialogue for dialogue, out in zip(labelled, held, strict=True) if not out]
        asked = labelled_states([dialogue for dialogue, out in zip(labelled, held, strict=True) if out], strategies)
        predicted = predictor(learning, asked)
        rows = np.flatnonzero(held[cluster])
        with np.errstate(divide="ignore"):
            logs = np.log(predicted)
        nll[rows] = -np.where(asked.targets_NK > 0, asked.targets_NK * logs, 0.0).sum(axis=1)
        hits[rows] = asked.targets_NK[np.arange(len(asked)), predicted.argmax(axis=1)] > 0
        done()
    return nll, hits
