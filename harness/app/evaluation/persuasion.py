"""Watching intention and persuasiveness of one dialogue (decision 17); pure.

The evaluator states how likely the seeker is to watch the recommended film, 1..5, three times: *pre* (it has seen the
title only), *post* (after the dialogue) and *true* (it has read the full record). What the dialogue gained over the
title, as a share of what the truth would gain, is the persuasiveness of Qin et al. (PC-CRS, Findings of EMNLP 2024):

    PRS = 1 - (true - post) / (true - pre) = (post - pre) / (true - pre)

The paper takes it in [0, 1] and assumes post <= true. So one dialogue has it only where the record promises more than
the title (pre < true) and the dialogue does not promise more than the record (post <= true); where the dialogue talked
the film down (post < pre) it is 0. What is left out is counted, and two shares say what the ratio cannot: *oversold*
(post > true) and *harmed* (post below both pre and true). `docs/measures.md` has the table of cases.

Per dialogue the ratio explodes where the title alone says nearly all, and the mean of such ratios of integer scores is
badly biased; the headline is therefore the ratio of sums over all dialogues with the three readings, whatever their
order. Left out: asking the evaluator (`examiner`), the ratio of sums and intervals (`two_way`).
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.messages import Struct

MIN_GAP = 0.05
"""Readings this near count as equal. Exact expectations are never quite equal; on integer ratings this is equality."""
CERTAINLY_NOT = 1.0
"""The intention to watch what was never recommended."""


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
    def oversold(self) -> bool | None:
        """Whether the dialogue promised more than the record holds."""
        return None if self.pre is None or self.post is None or self.true is None else _above(self.post, self.true)

    @property
    def harmed(self) -> bool | None:
        """Whether the dialogue left the seeker less willing than both the title and the record do."""
        if self.pre is None or self.post is None or self.true is None:
            return None
        return _above(min(self.pre, self.true), self.post)


def _above(one: float, other: float) -> bool:
    return one - other > MIN_GAP


def intention_of_all(intentions: Intentions) -> float | None:
    """The intention after the dialogue, and the least where nothing was recommended; None where it was not read."""
    return CERTAINLY_NOT if intentions.item is None else intentions.post


def persuasiveness(intentions: Intentions) -> float | None:
    """PRS of one dialogue as the paper has it, in [0, 1].

    None where a reading is missing, where the record promises no more than the title (pre >= true), or where the
    dialogue promised more than the record (post > true).
    """
    gain, room = intentions.gain, intentions.room
    if gain is None or room is None or room < MIN_GAP or intentions.oversold:
        return None
    return min(1.0, max(0.0, gain / room))


class PersuasionCounts(Struct, frozen=True, kw_only=True):
    """Of all dialogues that did not fail. The first four add up to them."""

    used: int
    """In the paper's mean. In results of before ``left_out`` was counted, those are among them."""
    left_out: int = 0
    """pre < true, but post > true."""
    undefined: int
    """pre >= true."""
    missing: int
    """No recommendation, or a reading that could not be had."""
    over_persuaded: int
    """post > true, whether or not pre < true: oversold."""
    harmed: int = 0
    unrecommended: int = 0
    """No film was recommended; among the missing."""


def count_persuasion(intentions: Iterable[Intentions]) -> PersuasionCounts:
    """How many dialogues stand behind the means."""
    used = left_out = undefined = missing = over = harmed = unrecommended = 0
    for one in intentions:
        over += one.oversold is True
        harmed += one.harmed is True
        unrecommended += one.item is None
        room = one.room
        if room is None:
            missing += 1
        elif room < MIN_GAP:
            undefined += 1
        elif one.oversold:
            left_out += 1
        else:
            used += 1
    return PersuasionCounts(
        used=used,
        left_out=left_out,
        undefined=undefined,
        missing=missing,
        over_persuaded=over,
        harmed=harmed,
        unrecommended=unrecommended,
    )
