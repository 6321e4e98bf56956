"""Tokens of the scripted model: a deterministic word-piece-like cut, and a model of a prefix cache in blocks of 16.

Words are cut into pieces of up to six letters, each digit and each sign is a token of its own, as in byte-pair
vocabularies that split digits. The id of a one-character token is its code point, so an id can be turned back into its
label; other ids are a checksum. Counts are for accounting and cache arithmetic, not for comparison with a real model.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache

BLOCK = 16
"""Tokens a cache block, vLLM's default."""
_BLOCKS_KEPT = 60_000
"""Blocks that the cache holds: about a million tokens, the order of a large GPU."""
_MESSAGE_OVERHEAD = 4
"""Tokens of a chat template around each message."""
_PIECE = re.compile(r" ?[^\W\d_]{1,6}|\d|\s|[^\w\s]|_|\w")
_FIRST_WORD_ID = 300
_VOCABULARY = 50_000


def pieces(text: str) -> list[str]:
    """The tokens' texts; joined they give the text back."""
    return _PIECE.findall(text)


def token_id(piece: str) -> int:
    """The id of a token's text."""
    if len(piece) == 1 and ord(piece) < _FIRST_WORD_ID:
        return ord(piece)
    return _FIRST_WORD_ID + zlib.crc32(piece.encode("utf-8", "surrogatepass")) % (_VOCABULARY - _FIRST_WORD_ID)


def label_of(token: int) -> str | None:
    """The text of a one-character token; None for the others."""
    return chr(token) if 0 <= token < _FIRST_WORD_ID else None


@lru_cache(maxsize=100_000)
def _line_ids(line: str) -> tuple[int, ...]:
    return tuple(token_id(piece) for piece in pieces(line))


def ids(text: str) -> list[int]:
    """Token ids of a text. Lines are remembered, as a growing prompt repeats nearly all of them."""
    found: list[int] = []
    for index, line in enumerate(text.split("\n")):
        if index:
            found.append(10)
        found += _line_ids(line)
    return found


def prompt_ids(messages: Sequence[str]) -> list[int]:
    """Token ids of a whole chat prompt, template overhead included."""
    found: list[int] = []
    for message in messages:
        found += [0] * _MESSAGE_OVERHEAD
        found += ids(message)
    return found


class PrefixCache:
    """The prompt blocks that a server would have in its cache; a block's key covers the block and all before it."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self.queries = 0
        self.hits = 0

    def look_up(self, token_ids: list[int]) -> int:
        """Number of leading tokens already in the cache; adds all full blocks of the prompt to it."""
        chain, cached, unbroken = 0, 0, True
        for start in range(0, len(token_ids) - BLOCK + 1, BLOCK):
            chain = hash((chain, tuple(token_ids[start : start + BLOCK])))
            if chain in self._blocks:
                self._blocks.move_to_end(chain)
                cached += BLOCK if unbroken else 0
            else:
                unbroken = False
                self._blocks[chain] = None
        while len(self._blocks) > _BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        self.queries += len(token_ids)
        self.hits += cached
        return cached
