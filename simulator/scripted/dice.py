"""The random numbers of one reply: uniforms named by what they decide, from the request's seed.

Replies depend on the prompt and the seed alone, so a recorded run replays exactly. Without a seed, or at temperature
0, the prompt itself is the seed: the same prompt then always gets the same reply, as greedy decoding would give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from harness.core.seeds import uniform

T = TypeVar("T")


class Dice:
    """Named uniforms in [0, 1); the same name gives the same number."""

    def __init__(self, seed: int | str) -> None:
        self._seed = seed

    def uniform(self, *names: int | str) -> float:
        return uniform(self._seed, *names)

    def chance(self, probability: float, *names: int | str) -> bool:
        return uniform(self._seed, *names) < probability

    def pick(self, options: Sequence[T], *names: int | str) -> T:
        return options[int(uniform(self._seed, *names) * len(options))]

    def normal(self, *names: int | str) -> float:
        """A standard normal (Box and Muller)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - uniform(self._seed, "radius", *names)))
        return radius * math.cos(2.0 * math.pi * uniform(self._seed, "angle", *names))
