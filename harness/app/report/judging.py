"""How far the judge's readings can be trusted: raw scores, alarms, repeatability, and the judge beside the evaluator;
pure.

Repeatability is the intraclass correlation ICC(1) (Shrout & Fleiss, 1979) of the samples that one reading consists of,
and Spearman-Brown's reliability of their mean. In the ``multinomial`` mode the samples are draws from one distribution
that was read once: then both speak of the sampling alone, not of asking the judge a second time. `replay --rescore`
asks again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from harness.app.evaluation.readings import HALF
from harness.core.log.episode import Episode
from harness.core.messages import Score, Struct

LABELS = (1, 2, 3, 4, 5)
FLAT_SPREAD = 0.05
"""Standard deviation of rewards below which a judge hardly tells dialogues apart (a fifth of one rating step)."""
ONE_LABEL = 0.9
"""Share of one label above which the scores are nearly constant."""
OFTEN_LOW = 0.1
"""Share of turns with a label mass below `HALF` above which the judge's readings are worth little."""


class JudgeFigures(Struct, frozen=True, kw_only=True):
    """The judge's figures over a set of turns; None where there is nothing to make them from."""

    turns: int
    histogram: tuple[float, ...]
    """Share of each label 1..5: of the raw samples, else of the expected distribution."""
    from_samples: bool
    invalid: int
    samples: int
    missing: int
    """Turns without a reward, for want of a quorum."""
    reward_mean: float | None
    reward_spread: float | None
    label_mass_mean: float | None
    label_mass_low: float | None
    """Share of turns whose label mass is below `HALF`."""
    refused: int
    """Turns without a reward, for want of label mass."""
    example: str
    """The beginning of a sample that could not be read; empty where there was none."""
    icc: float | None
    reliability: float | None
    alarms: tuple[str, ...]


def read_judge(scores: Sequence[Score]) -> JudgeFigures:
    """All figures of these readings."""
    raw = [value for score in scores for value in score.raw]
    histogram = _histogram(scores, raw)
    rewards = [score.reward for score in scores if score.reward is not None]
    masses = [score.label_mass for score in scores if score.label_mass is not None]
    icc, reliability = repeatability([score.raw for score in scores])
    spread = statistics.pstdev(rewards) if rewards else None
    return JudgeFigures(
        turns=len(scores),
        histogram=histogram,
        from_samples=bool(raw),
        invalid=sum(score.invalid for score in scores),
        samples=len(raw) + sum(score.invalid for score in scores),
        missing=len(scores) - len(rewards),
        reward_mean=statistics.fmean(rewards) if rewards else None,
        reward_spread=spread,
        label_mass_mean=statistics.fmean(masses) if masses else None,
        label_mass_low=sum(mass < HALF for mass in masses) / len(masses) if masses else None,
        refused=sum(score.label_mass is not None and score.reward is None for score in scores),
        example=next((score.unread for score in scores if score.unread), ""),
        icc=icc,
        reliability=reliability,
        alarms=tuple(_alarms(histogram, spread, masses, len(rewards))),
    )


def _histogram(scores: Sequence[Score], raw: Sequence[int]) -> tuple[float, ...]:
    if raw:
        return tuple(raw.count(label) / len(raw) for label in LABELS)
    read = [score.distribution for score in scores if len(score.distribution) == len(LABELS)]
    if not read:
        return ()
    return tuple(statistics.fmean(distribution[place] for distribution in read) for place in range(len(LABELS)))


def _alarms(histogram: Sequence[float], spread: float | None, masses: Sequence[float], rewards: int) -> Iterable[str]:
    if spread is not None and rewards > 1 and spread < FLAT_SPREAD:
        yield f"flat rewards: their standard deviation is {spread:.3f}"
    if histogram and max(histogram) > ONE_LABEL:
        label = LABELS[max(range(len(LABELS)), key=lambda place: histogram[place])]
        yield f"nearly constant scores: {max(histogram):.0%} are {label}"
    low = sum(mass < HALF for mass in masses)
    if low > OFTEN_LOW * len(masses):
        yield f"low label mass: in {low / len(masses):.0%} of the turns less than half of it lies on the five labels"


def repeatability(raw: Iterable[Sequence[int]]) -> tuple[float | None, float | None]:
    """(ICC(1), reliability of the mean) of readings with the same number k >= 2 of samples.

    Readings with other numbers of samples than the most frequent one are left out. None where nothing varies.
    """
    groups = [list(samples) for samples in raw if len(samples) > 1]
    if not groups:
        return None, None
    k = statistics.mode(len(samples) for samples in groups)
    groups = [samples for samples in groups if len(samples) == k]
    if len(groups) < 2:
        return None, None
    between = k * statistics.variance([statistics.fmean(samples) for samples in groups])
    within = statistics.fmean(statistics.variance(samples) for samples in groups)
    if between + (k - 1) * within <= 0.0:
        return None, None
    icc = (between - within) / (between + (k - 1) * within)
    reliability = (between - within) / between if between > 0.0 else None
    return icc, reliability


class JudgeRange(Struct, frozen=True, kw_only=True):
    """Final rewards of the training judge in one range, beside what the held-out evaluator gave the same dialogues."""

    low: float
    high: float
    n: int
    judge: float
    evaluator: float


def judge_beside_evaluator(episodes: Iterable[Episode], bins: int = 5) -> tuple[JudgeRange, ...]:
    """Equal ranges of the judge's last reward with any dialogue in them."""
    pairs: list[tuple[float, float]] = []
    for episode in episodes:
        evaluation = episode.ended.evaluation if episode.ended is not None else None
        if evaluation is None or evaluation.reward is None or not episode.transitions:
            continue
        last = episode.transitions[-1].score.reward
        if last is not None:
            pairs.append((last, evaluation.reward))
    found = []
    for place in range(bins):
        inside = [pair for pair in pairs if min(int(pair[0] * bins), bins - 1) == place]
        if inside:
            found.append(
                JudgeRange(
                    low=place / bins,
                    high=(place + 1) / bins,
                    n=len(inside),
                    judge=statistics.fmean(judge for judge, _ in inside),
                    evaluator=statistics.fmean(evaluator for _, evaluator in inside),
                )
            )
    return tuple(found)


def correlation(episodes: Iterable[Episode]) -> float | None:
    """Pearson's r of last reward and evaluator's reading; None below three dialogues or where one does not vary."""
    ends = [
        (e.transitions[-1].score.reward, e.ended.evaluation.reward)
        for e in episodes
        if e.transitions and e.ended is not None and e.ended.evaluation is not None
    ]
    pairs = [(a, b) for a, b in ends if a is not None and b is not None]
    if len(pairs) < 3:
        return None
    try:
        found = statistics.correlation(*zip(*pairs, strict=True))
    except statistics.StatisticsError:
        return None
    return found if math.isfinite(found) else None
