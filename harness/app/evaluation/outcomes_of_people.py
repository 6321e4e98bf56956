"""Whether a judge's scores of human dialogues agree with how the people in them ended; pure.

A judge reads each dialogue of people. The data say how it ended (INSPIRED's ``fine_label`` and ``coarse_label``). The
area under the ROC curve (AUC) says how often a dialogue that ended well has a higher score than one that did not; equal
scores count half. Two ways to say *well*, because the data allow no single one:

- **accepted**: the coarse label. Of the 14 dialogues of INSPIRED's dev split that were not, 13 accepted the film and
  lost interest at its trailer, which no reader of the dialogue can know.
- **liked**: the film was rated well, against rated low, uninterested and refused. Other endings are missing.

Intervals are DeLong's (DeLong, DeLong and Clarke-Pearson 1988), on the logit scale so that they stay in [0, 1]; the
difference of two scores on the same dialogues has their covariance. A lower bound at or below .5 is *not shown*.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.core.messages import Dialogue, Outcome, State, Struct

Scores = Sequence[float | None]
"""One score a dialogue; None where it could not be read."""
Z = NormalDist().inv_cdf(0.975)
LIKED, DISLIKED = ("accept_rating_good",), ("accept_rating_low", "accept_rating_bad", "accept_uninterested", "reject")
_ACCEPTS = re.compile(
    r"\b(?:i(?:'ll| will| am going to|'m going to) (?:watch|check|give|try|look|see|go with)"
    r"|i(?:'d| would) (?:love|like) to (?:watch|see|try)"
    r"|sounds? (?:good|great|perfect|awesome|interesting|amazing|fun)|let'?s (?:watch|go with))",
    re.IGNORECASE,
)
_REFUSES = re.compile(
    r"\b(?:not|don'?t|doesn'?t|didn'?t|no thanks|already seen|another|something else)\b", re.IGNORECASE
)
_COURTESY = re.compile(
    r"\b(?:thanks?|thank you|please|great|awesome|wonderful|perfect|love|nice|happy)\b", re.IGNORECASE
)
_HARSH = re.compile(r"\b(?:no|not|don'?t|boring|bad|hate|awful|never|sorry|unfortunately|dislike)\b", re.IGNORECASE)
_WORD = re.compile(r"\w+")


def accepted(outcome: Outcome) -> bool | None:
    """By the coarse label; None where it says neither."""
    if outcome.coarse.startswith("accept"):
        return True
    return False if outcome.coarse.startswith("reject") else None


def liked(outcome: Outcome) -> bool | None:
    """By the fine label; None for the endings between."""
    if outcome.fine in LIKED:
        return True
    return False if outcome.fine in DISLIKED else None


MAPS: Mapping[str, Callable[[Outcome], bool | None]] = {"accepted": accepted, "liked": liked}


def states_of(dialogue: Dialogue) -> list[State]:
    """The states after each of the seeker's replies, in order."""
    if dialogue.whole is None:
        return []
    whole = dialogue.whole
    cut = [msgspec.structs.replace(whole, turns=whole.turns[:count]) for count in range(1, len(whole.turns) + 1)]
    return [state for state in cut if state.turns[-1].reply]


def first_acceptance(dialogue: Dialogue) -> State | None:
    """The state after the seeker's first message that says yes, by a short list of phrases; None where none does."""
    for state in states_of(dialogue):
        said = state.turns[-1].reply
        if _ACCEPTS.search(said) and not _REFUSES.search(said):
            return state
    return None


def words(state: State) -> float:
    """Of the whole dialogue: a floor for every judge."""
    return float(sum(len(_WORD.findall(text)) for text in _texts(state)))


def sentiment(state: State) -> float:
    """Of the seeker's last message, kind words minus harsh ones: a floor for every judge."""
    last = next((turn.reply for turn in reversed(state.turns) if turn.reply), state.opening)
    return float(len(_COURTESY.findall(last)) - len(_HARSH.findall(last)))


def courtesy(state: State) -> float:
    """Kind words a hundred words of the whole dialogue."""
    return 100.0 * sum(len(_COURTESY.findall(text)) for text in _texts(state)) / max(words(state), 1.0)


class Auc(Struct, frozen=True, kw_only=True):
    """An area under the ROC curve; no interval where all pairs are ordered alike or a class has one dialogue."""

    auc: float | None
    low: float | None
    high: float | None
    positives: int
    negatives: int
    missing: int
    """Dialogues without a score or without an ending of this map."""

    @property
    def shown(self) -> bool:
        """Whether the score is shown to be better than chance."""
        return self.low is not None and self.low > 0.5


def auc_of(scores: Scores, ended_well: Sequence[bool | None]) -> Auc:
    """How well the scores tell the dialogues that ended well from the others."""
    places = _placements(scores, ended_well)
    missing = len(scores) - len(places.of_positives) - len(places.of_negatives)
    counts = {"positives": len(places.of_positives), "negatives": len(places.of_negatives), "missing": missing}
    if not len(places.of_positives) or not len(places.of_negatives):
        return Auc(auc=None, low=None, high=None, **counts)
    auc = float(places.of_positives.mean())
    variance = _variance(places.of_positives, places.of_negatives)
    if variance is None or not 0.0 < auc < 1.0 or variance <= 0.0:
        return Auc(auc=auc, low=None, high=None, **counts)
    middle, reach = math.log(auc / (1 - auc)), Z * math.sqrt(variance) / (auc * (1 - auc))
    low, high = (1 / (1 + math.exp(-(middle + side * reach))) for side in (-1, 1))
    return Auc(auc=auc, low=low, high=high, **counts)


def auc_difference(
    ours: Scores, theirs: Scores, ended_well: Sequence[bool | None]
) -> tuple[float, float, float] | None:
    """Ours minus theirs on the dialogues that both score, with DeLong's interval; None where it has none: a class has
    one dialogue, all pairs are alike, or so few dialogues are there that it would leave [-1, 1]."""
    both = [None if a is None or b is None else good for a, b, good in zip(ours, theirs, ended_well, strict=True)]
    one, other = _placements(ours, both), _placements(theirs, both)
    if not len(one.of_positives) or not len(one.of_negatives):
        return None
    gap = one.of_positives - other.of_positives, one.of_negatives - other.of_negatives
    variance = _variance(*gap)
    if variance is None or variance <= 0.0:
        return None
    mean = float(gap[0].mean())
    reach = Z * math.sqrt(variance)
    return (mean, mean - reach, mean + reach) if abs(mean) + reach <= 1.0 else None


class _Placements(NamedTuple):
    """DeLong's structural components: of a positive the share of negatives below it, of a negative of positives above
    it; halves for equals."""

    of_positives: NDArray[np.float64]
    of_negatives: NDArray[np.float64]


def _placements(scores: Scores, ended_well: Sequence[bool | None]) -> _Placements:
    pairs = [(score, good) for score, good in zip(scores, ended_well, strict=True) if score is not None]
    positives = np.array([score for score, good in pairs if good is True], dtype=float)
    negatives = np.array([score for score, good in pairs if good is False], dtype=float)
    above = (positives[:, None] > negatives[None, :]) + 0.5 * (positives[:, None] == negatives[None, :])
    if not above.size:
        return _Placements(np.zeros(len(positives)), np.zeros(len(negatives)))
    return _Placements(above.mean(axis=1), above.mean(axis=0))


def _variance(of_positives: NDArray[np.float64], of_negatives: NDArray[np.float64]) -> float | None:
    if min(len(of_positives), len(of_negatives)) < 2:
        return None
    return float(of_positives.var(ddof=1) / len(of_positives) + of_negatives.var(ddof=1) / len(of_negatives))


def _texts(state: State) -> list[str]:
    return [state.opening, *(text for turn in state.turns for text in (turn.response, turn.reply))]
