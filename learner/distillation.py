"""Fits a distilled judge: ridge regression of a teacher's rewards on the seeker's words, and what it is worth.

    w = argmin sum_i (w . x_i - r_i)^2 + ridge |w without its constant|^2

A fifth of the groups (people with their goals, so that all dialogues of one are on one side) is kept out of everything
and gives the held-out figures. But the scripted seeker has few phrases, which stand on both sides, so these flatter.
Therefore five folds of the others leave out, in turn, all replies that begin with the same sentences: they choose among
`RIDGES`, since the judge is meant for other speakers, and give the figures on new words. What it leaves out: the log
(``harness.app.commands.distill_judge``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.core import seeds
from harness.core.errors import InputError
from harness.core.messages import State
from learner.distilled_judge import Agreement, rewards_read, words_read
from learner.sentences import SentenceReader, sentences

RIDGES = (0.1, 1.0, 10.0, 100.0, 1000.0)
_FOLDS = 5
FEWEST_GROUPS = 2 * _FOLDS
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Lesson:
    """One state with the teacher's reward for it."""

    state: State
    reward: float
    group: str
    """Lessons of one group are never on both sides of a split."""
    dialogue: str


@dataclass(frozen=True)
class Fitted:
    """Weights, and how they repeat the teacher."""

    weights: Array
    ridge: float
    turns: int
    dialogues: int
    held_out: Agreement
    held_out_dialogues: Agreement
    new_words: Agreement


def distil(lessons: Sequence[Lesson], reader: SentenceReader) -> Fitted:
    """Fit and measure; the weights are of the fitted groups alone, so that the held-out figures are theirs.

    `InputError` where the teacher's rewards do not vary or there are too few groups to hold some out.
    """
    read = [(lesson, inputs) for lesson in lessons if (inputs := words_read(reader, lesson.state)) is not None]
    groups = {lesson.group for lesson, _ in read}
    if len(groups) < FEWEST_GROUPS:
        raise InputError(f"{len(groups)} people and goals are too few to learn rewards from ({FEWEST_GROUPS} needed)")
    inputs, rewards = np.stack([x for _, x in read]), np.array([lesson.reward for lesson, _ in read])
    if np.ptp(rewards) < 1e-6:
        raise InputError(f"all rewards are {rewards[0]:.3g}: there is nothing to learn from them")
    out = np.isin([lesson.group for lesson, _ in read], sorted(groups, key=_order)[::_FOLDS])
    beginnings = np.array([_order(sentences(lesson.state.turns[-1].reply)[0]) % _FOLDS for lesson, _ in read])
    fitted = np.flatnonzero(~out)
    folded = _Folded(inputs[fitted], rewards[fitted], beginnings[fitted])
    ridge = min(RIDGES, key=lambda one: _squared(rewards[fitted], folded.read(one)))
    weights = solved(folded.gram, folded.moment, ridge)
    found = rewards_read(weights, inputs[out])
    told = [lesson.dialogue for (lesson, _), kept in zip(read, out, strict=True) if kept]
    return Fitted(
        weights=weights,
        ridge=ridge,
        turns=len(fitted),
        dialogues=len({read[at][0].dialogue for at in fitted}),
        held_out=agreement(rewards[out], found),
        held_out_dialogues=agreement(_means(told, rewards[out]), _means(told, found)),
        new_words=agreement(rewards[fitted], folded.read(ridge)),
    )


def solved(gram_FF: Array, moment_F: Array, ridge: float) -> Array:
    """The ridge solution (F,) from X'X and X'r; the last input is the constant, which is not penalised."""
    penalty = np.full(len(moment_F), ridge)
    penalty[-1] = 1e-9
    weights: Array = np.asarray(np.linalg.solve(gram_FF + np.diag(penalty), moment_F), dtype=np.float64)
    return weights


class _Folded:
    """Readings of each fold by the fit to the others, for any ridge: X'X is added up once."""

    def __init__(self, inputs: Array, rewards: Array, fold: NDArray[np.int64]) -> None:
        self._rewards = rewards
        self._parts = [(at, inputs[at]) for one in range(_FOLDS) if len(at := np.flatnonzero(fold == one))]
        self._grams = [part.T @ part for _, part in self._parts]
        self._moments = [part.T @ rewards[at] for at, part in self._parts]
        self.gram: Array = np.sum(self._grams, axis=0)
        self.moment: Array = np.sum(self._moments, axis=0)

    def read(self, ridge: float) -> Array:
        found = np.full(len(self._rewards), self._rewards.mean())
        for (at, part), gram, moment in zip(self._parts, self._grams, self._moments, strict=True):
            if len(self._parts) > 1:
                found[at] = rewards_read(solved(self.gram - gram, self.moment - moment, ridge), part)
        return found


def agreement(teacher: Array, pupil: Array) -> Agreement:
    """How two lists of rewards agree."""
    varied, both = np.ptp(teacher) > 0.0, np.ptp(teacher) > 0.0 and np.ptp(pupil) > 0.0
    return Agreement(
        n=len(teacher),
        r2=float(1.0 - _squared(teacher, pupil) / np.var(teacher)) if varied else None,
        rank=float(stats.spearmanr(teacher, pupil).statistic) if both else None,
        error=float(np.abs(teacher - pupil).mean()),
        spread=float(teacher.std()),
    )


def _order(name: str) -> int:
    # By name, so that a side depends neither on the order of the log nor on the machine.
    return seeds.derive(0, "distil", name)


def _squared(a: Array, b: Array) -> float:
    return float(((a - b) ** 2).mean())


def _means(names: Sequence[str], values: Array) -> Array:
    rows: dict[str, list[float]] = {}
    for name, value in zip(names, values, strict=True):
        rows.setdefault(name, []).append(float(value))
    return np.array([sum(row) / len(row) for row in rows.values()])
