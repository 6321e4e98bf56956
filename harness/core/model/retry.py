"""The one place where model calls are repeated: which failures, how often, after which wait.

The first attempt of a call does not use the retry library (stamina, on tenacity): it costs 0.1 ms of CPU a call, and
most calls need no retry. If the attempt fails, the failure enters stamina's loop as its first attempt.

There are two bounds. A failure of the server (unreachable, 429, 5xx) is repeated until a time budget is spent, so the
server may be restarted meanwhile. A failure that the same request may cause again (deadline, unreadable body) is
repeated a few times only.

Waits grow exponentially, with jitter from the `random` module. They change when a call is made, never its result.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import stamina
import trio

from harness.core.messages import Struct

T = TypeVar("T")
FailureKind = Literal["unreachable", "broken", "busy", "server", "gateway", "deadline", "unreadable"]


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """Bounds of the retries of one call."""

    budget_s: float
    """From the first failure on; a server that the harness starts again needs longer than its start-up takes."""
    wait_initial_s: float = 0.5
    wait_max_s: float = 10.0
    retry_after_max_s: float = 60.0
    """A server's ``Retry-After`` is honoured up to this."""
    deadline_tries: int = 2
    """Attempts in all of a call that runs into its deadline; few, since repeating favours short replies."""
    unreadable_tries: int = 3
    """Attempts in all of a call whose answer cannot be read."""


class TransientFailure(Exception):
    """A failure that may pass. Stays inside the client: callers see `CallError` or `RunStopped`."""

    def __init__(self, kind: FailureKind, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.retry_after_s = retry_after_s


class _Budget:
    """stamina's hook: whether to repeat after this failure, and after what wait. One a call."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures: Counter[FailureKind] = Counter()
        self._ends_at = trio.current_time() + policy.budget_s

    def __call__(self, error: Exception) -> bool | float:
        if not isinstance(error, TransientFailure):
            return False
        self._failures[error.kind] += 1
        tries = {"deadline": self._policy.deadline_tries, "unreadable": self._policy.unreadable_tries}
        if self._failures[error.kind] >= tries.get(error.kind, math.inf) or trio.current_time() >= self._ends_at:
            return False
        if error.retry_after_s is None:
            return True
        return min(error.retry_after_s, self._policy.retry_after_max_s) * random.uniform(1.0, 1.25)


async def retrying(attempt: Callable[[], Awaitable[T]], policy: RetryPolicy) -> tuple[T, int]:
    """Repeat an attempt until it succeeds or the bounds are reached.

    Args:
        attempt: makes the call once.
        policy: the bounds.

    Returns:
        The result, and the number of failed attempts before it.

    Raises:
        TransientFailure: the last failure, when the bounds are reached.
        Exception: any other exception of the attempt, at once.
    """
    try:
        return await attempt(), 0
    except TransientFailure as failure:
        first: TransientFailure | None = failure
    async for try_ in stamina.retry_context(
        on=_Budget(policy),
        attempts=None,
        timeout=None,
        wait_initial=policy.wait_initial_s,
        wait_max=policy.wait_max_s,
        wait_jitter=policy.wait_initial_s,
    ):
        with try_:
            if first is not None:
                made, first = first, None
                raise made
            return await attempt(), try_.num - 1
    raise AssertionError("stamina ends by a result or an exception")
