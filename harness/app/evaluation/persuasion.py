"""Watching intention and persuasiveness of one dialogue (decision 17); pure.

The evaluator states how likely the seeker is to watch the recommended film, 1..5, three times: *pre* (it has seen the
title only), *post* (after the dialogue) and *true* (it has read the full record). What the dialogue gained over the
title, as a share of what the truth would gain, is the persuasiveness of Qin et al. (PC-CRS, Findings of EMNLP 2024):

    PRS = 1 - (true - post) / (true - pre) = (post - pre) / (true - pre)

Per dialogue that ratio explodes where the title alone says nearly all, and the mean of such ratios of integer scores is
badly biased; the headline is therefore the ratio of sums. The paper's mean of clipped ratios stands beside it with
counts of what it uses. Left out: asking the evaluator (`examiner`), the ratio of sums
and intervals (`two_way`).
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.messages import Struct

MIN_GAP = 0.05
"""|true - pre| below which one dialogue's ratio is undefined, and post - true above which it counts as over-persuaded.
Exact expectations are never quite equal; on integer ratings this is equality."""


class Intentions(Struct, frozen=True, kw_only=True):
    """The three readings, each in [1, 5]; None where the evaluator gave none. Without a recommended item: all None."""

    item: str | None = None
    """The item asked about: the last one recommended."""
    pre: float | None = None
    post: float | None = None
    true: float | None = None

    @property
    def gain(self) -> float | None:
        """post - pre: what the dialogue moved."""
        return None if self.pre is None or self.post is None or self.true is None else self.post - self.pre

    @property
    def room(self) -> float | None:
        """true - pre: what knowing everything would move. Exists exactly where `gain` does."""
        return None if self.pre is None or self.post is None or self.true is None else self.true - self.pre

    @property
    def over_persuaded(self) -> bool | None:
        """Whether the dialogue promised more than the record holds."""
        return None if self.post is None or self.true is None else self.post - self.true > MIN_GAP


def persuasiveness(intentions: Intentions, *, clipped: bool = True) -> float | None:
    """PRS of one dialogue; clipped to [0, 1] as the paper does. None where a reading is missing or true = pre."""
    gain, room = intentions.gain, intentions.room
    if gain is None or room is None or abs(room) < MIN_GAP:
        return None
    ratio = gain / room
    return min(1.0, max(0.0, ratio)) if clipped else ratio


class PersuasionCounts(Struct, frozen=True, kw_only=True):
    """Of all dialogues that did not fail."""

    used: int
    """A ratio is defined."""
    undefined: int
    """All three readings are there, but true = pre."""
    missing: int
    """No recommendation, or a reading that could not be had."""
    over_persuaded: int
    """post > true, whether or not the ratio is defined."""


def count_persuasion(intentions: Iterable[Intentions]) -> PersuasionCounts:
    """How many dialogues stand behind the means."""
    used = undefined = missing = over = 0
    for one in intentions:
        over += one.over_persuaded is True
        if one.gain is None:
            missing += 1
        elif persuasiveness(one) is None:
            undefined += 1
        else:
            used += 1
    return PersuasionCounts(used=used, undefined=undefined, missing=missing, over_persuaded=over)
