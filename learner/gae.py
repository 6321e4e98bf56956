"""Generalised advantage estimation (Schulman et al., 2016): credited rewards and a critic's values -> advantages.

Plain arithmetic, no tensors, nothing random. lambda 1 is the return minus the value: no bias from the critic, all
variance of later turns. lambda 0 looks one turn ahead: little variance, all of the critic's errors. With values of 0
and lambda 1 the advantages are `learner.returns.returns` to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

from learner.returns import Series


def generalised_advantages(
    credited: Sequence[float | None], values: Sequence[float], *, gamma: float, lam: float
) -> Series:
    """A_t = sum_{k>=0} (gamma lam)^k delta_{t+k} with delta_t = r_t + gamma V_{t+1} - V_t, for t = 1..T.

    ``credited``: r_1..r_T as `learner.returns.credited` gives them; ``values``: V_1..V_T. V_{T+1} is 0, since the turn
    limit is a part of the state and not a cut. A_t exists only where r_t..r_T all do.
    """
    found: list[float | None] = []
    later: float | None = 0.0
    next_value = 0.0
    for reward, value in zip(reversed(credited), reversed(values), strict=True):
        if reward is not None and later is not None:
            later = reward + gamma * next_value - value + gamma * lam * later
        else:
            later = None
        next_value = value
        found.append(later)
    return tuple(reversed(found))
