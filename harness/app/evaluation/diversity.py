"""Distinct-2 of responses (decision 19; Li et al., NAACL 2016): distinct bigrams over all bigrams; pure.

Per response (the paper's) it says how little one message repeats itself; over the corpus, how little the system repeats
itself. The second falls with the amount of text, so only systems on the same scenarios may be compared by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def bigrams(text: str) -> list[tuple[str, str]]:
    """Neighbouring words, lower case, punctuation left out."""
    return list(pairwise(word.lower() for word in _WORD.findall(text)))


def distinct_2(text: str) -> float | None:
    """Of one response, in (0, 1]; None for an empty or one-word response, which has no bigram."""
    pairs = bigrams(text)
    return len(set(pairs)) / len(pairs) if pairs else None


def mean_distinct_2(responses: Sequence[str]) -> float | None:
    """Mean over the responses that have a bigram; None where none has."""
    values = [value for response in responses if (value := distinct_2(response)) is not None]
    return sum(values) / len(values) if values else None


def corpus_distinct_2(responses: Iterable[str]) -> float | None:
    """Over all responses together; no bigram spans two responses. None where there is no bigram."""
    pairs = [pair for response in responses for pair in bigrams(response)]
    return len(set(pairs)) / len(pairs) if pairs else None
