"""The Planner (C0): samples a strategy h_t ~ pi(.|s_t) and records the whole acting distribution.

The inverse CDF turns the distribution and one uniform per (conversation, turn) into a choice, so a scenario gets the
same random numbers under every policy. States go through the policy one at a time, because a padded batch changes the
last bits of a forward pass and with them the digest of a run; a batch only saves trips to the worker thread. A policy
that gives a state the same bits in every company (`Together`) is asked for all of a version's states at once.
Left out: the policies (``learner.policy``) and their versions' life (``learner.reinforce``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

from harness.core import seeds
from harness.core.errors import ExpertError
from harness.core.messages import Decision, State, Struct
from harness.core.seams import Immediate, Policy, Together
from harness.domain.strategies import Strategy

_SUM_TOLERANCE = 1e-6
# A float32 softmax over 13 entries is off by about 1e-7.


class PlannerQuery(Struct, frozen=True, kw_only=True):
    """A state and the policy version that acts in its conversation."""

    state: State
    policy_version: int


class PolicyPlanner:
    """Draws strategies; ``policy_at(version)`` gives the policy of a version."""

    def __init__(self, policy_at: Callable[[int], Policy], strategies: tuple[Strategy, ...]) -> None:
        self._policy_at = policy_at
        self._strategies = strategies

    def decide(self, batch: Sequence[PlannerQuery]) -> tuple[Decision | ExpertError, ...]:
        """Draw a strategy for each query; runs the policy, so call it in a worker thread where it `blocks`.

        Returns:
            For each query, in order, its decision, or the error of that query.
        """
        versions = dict.fromkeys(query.policy_version for query in batch)
        found: dict[int, Decision | ExpertError] = {}
        for version in versions:
            rows = [row for row, query in enumerate(batch) if query.policy_version == version]
            asked = [batch[row] for row in rows]
            found.update(zip(rows, self._decide(self._policy_at(version), asked), strict=True))
        return tuple(found[row] for row in range(len(batch)))

    def blocks(self, batch: Sequence[PlannerQuery]) -> bool:
        """Whether `decide` would block the event loop; one query shows it, as all versions of a run are of one kind."""
        return not isinstance(self._policy_at(batch[0].policy_version), Immediate)

    def _decide(self, policy: Policy, queries: Sequence[PlannerQuery]) -> list[Decision | ExpertError]:
        if isinstance(policy, Together):
            rows = policy.distributions([query.state for query in queries])
            return [self._drawn(query, row) for query, row in zip(queries, rows, strict=True)]
        decided: list[Decision | ExpertError] = []
        for query in queries:
            try:
                decided.append(self._drawn(query, policy.distribution(query.state)))
            except ExpertError as error:
                decided.append(error)
        return decided

    def _drawn(self, query: PlannerQuery, raw: Sequence[float]) -> Decision | ExpertError:
        state = query.state
        probabilities = tuple(float(p) for p in raw)
        problem = _problem(probabilities, len(self._strategies))
        if problem:
            return ExpertError(f"the planner's distribution of policy version {query.policy_version} {problem}")
        index = sample(probabilities, seeds.uniform(state.seed, state.turn, "planner"))
        return Decision(
            strategy=self._strategies[index].key,
            index=index,
            probabilities=probabilities,
            policy_version=query.policy_version,
        )


def sample(probabilities: Sequence[float], uniform: float) -> int:
    """Draw an index by the inverse CDF.

    Args:
        probabilities: (n,), not negative; their sum is 1 up to rounding.
        uniform: in [0, 1).

    Returns:
        The index whose share of [0, sum) holds ``uniform`` * sum; never one of probability 0.
    """
    cumulative = list(accumulate(probabilities))
    threshold = uniform * cumulative[-1]
    for index, reached in enumerate(cumulative):
        if reached > threshold:
            return index
    return max(index for index, p in enumerate(probabilities) if p > 0.0)  # uniform * sum rounded up to the sum


def _problem(probabilities: tuple[float, ...], expected: int) -> str | None:
    if len(probabilities) != expected:
        return f"has {len(probabilities)} entries where the run has {expected} strategies"
    if not all(math.isfinite(p) and p >= 0.0 for p in probabilities):
        return "holds an entry that is negative or not finite"
    total = math.fsum(probabilities)
    if abs(total - 1.0) > _SUM_TOLERANCE:
        return f"sums to {total:.9g}, not to 1"
    return None
