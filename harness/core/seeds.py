"""Random streams by name: (seed, words...) -> an integer or a uniform, by SHA-256.

A stream depends only on its name. So results do not depend on timing, concurrency or call order, and a scenario gets
the same random numbers under every policy (common random numbers).
"""

from __future__ import annotations

import hashlib

SPACING = 64
"""Distance between request seeds: a server that draws n replies from one seed uses seed, seed+1, ... (n <= 64)."""


def _word(*names: int | str) -> int:
    # Length-prefixed, so that ("a", "bc") and ("ab", "c") are different streams.
    text = "".join(f"{len(str(name))}:{name};" for name in names)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def derive(*names: int | str) -> int:
    """A seed in [0, 2**63), for generators and further streams."""
    return _word(*names) >> 1


def request_seed(*names: int | str) -> int:
    """A seed for one model request: below 2**31 (every server accepts it) and a multiple of `SPACING`."""
    return (_word(*names) >> 33) // SPACING * SPACING


def uniform(*names: int | str) -> float:
    """A uniform in [0, 1) with 53 random bits."""
    return (_word(*names) >> 11) * 2.0**-53
