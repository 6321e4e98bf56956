"""The cost of model calls: tokens and seconds by (episode, role) for the log, totals by role for the summary.

`Ledger.metered` wraps any `ChatModel` and is the only place that counts. An episode's record holds answered calls only.
Failed and cancelled calls are in the totals alone, for two reasons: their cost to the server is unknown, and they
depend on the clock and the network, while an episode's record (and so the run's digest) must not. Latencies are kept in
a bounded sample (Vitter's algorithm R), so memory does not grow with the run.
"""

from __future__ import annotations

import random
from array import array

import trio

from harness.core.errors import HarnessError
from harness.core.messages import ChatReply, ChatRequest, Struct, Usage
from harness.core.seams import ChatModel

_SAMPLE = 2048
"""Latencies kept a role: p95's standard error is then about half a percentile."""


class RoleTotals(Struct, frozen=True, kw_only=True):
    """One role's model calls so far."""

    usage: Usage
    """Usage of the answered calls; its ``calls`` does not count failed and cancelled ones."""
    failed: int
    cancelled: int
    retries: int
    seconds: float
    """Summed over answered calls, waiting and retries included."""
    p50_s: float | None
    """Median latency of answered calls; None before the first."""
    p95_s: float | None


class _Role:
    def __init__(self, name: str) -> None:
        self.usage = Usage()
        self.failed = self.cancelled = self.retries = 0
        self.seconds = 0.0
        self._sample = array("d")
        self._seen = 0
        # The choice of latencies changes a displayed figure only, never a result.
        self._random = random.Random(name)

    def answered(self, reply: ChatReply, seconds: float) -> None:
        self.usage += reply.usage
        self.seconds += seconds
        self.retries += int(reply.timing.get("retries", 0))
        self._seen += 1
        if len(self._sample) < _SAMPLE:
            self._sample.append(seconds)
        elif (place := self._random.randrange(self._seen)) < _SAMPLE:
            self._sample[place] = seconds

    def totals(self) -> RoleTotals:
        ordered = sorted(self._sample)
        return RoleTotals(
            usage=self.usage,
            failed=self.failed,
            cancelled=self.cancelled,
            retries=self.retries,
            seconds=self.seconds,
            p50_s=_quantile(ordered, 0.50),
            p95_s=_quantile(ordered, 0.95),
        )


class _Metered:
    def __init__(self, ledger: Ledger, model: ChatModel) -> None:
        self._ledger = ledger
        self._model = model

    async def complete(self, request: ChatRequest) -> ChatReply:
        role = self._ledger._role(request.role)
        started_at = trio.current_time()
        try:
            reply = await self._model.complete(request)
        except trio.Cancelled:
            role.cancelled += 1
            raise
        except HarnessError:
            role.failed += 1
            raise
        seconds = trio.current_time() - started_at
        role.answered(reply, seconds)
        self._ledger._note(request, reply.usage, seconds)
        return reply


class Ledger:
    """Counts the model calls of a run, of all its models. Not thread-safe."""

    def __init__(self) -> None:
        self._roles: dict[str, _Role] = {}
        self._spent: dict[str, dict[str, tuple[Usage, float]]] = {}

    def metered(self, model: ChatModel) -> ChatModel:
        """The same model, with every call counted here under its request's episode and role."""
        return _Metered(self, model)

    def take(self, episode: str) -> tuple[dict[str, Usage], dict[str, float]]:
        """The episode's cost since the last `take`.

        Call it at the latest when the episode ends, also after a failure: counts that nobody takes stay in memory.

        Returns:
            Usage by role, and seconds by role; both empty where nothing was spent.
        """
        spent = self._spent.pop(episode, {})
        roles = sorted(spent)
        return {role: spent[role][0] for role in roles}, {role: spent[role][1] for role in roles}

    def totals(self) -> dict[str, RoleTotals]:
        """The running totals by role, in alphabetical order."""
        return {name: self._roles[name].totals() for name in sorted(self._roles)}

    def _role(self, name: str) -> _Role:
        if name not in self._roles:
            self._roles[name] = _Role(name)
        return self._roles[name]

    def _note(self, request: ChatRequest, usage: Usage, seconds: float) -> None:
        by_role = self._spent.setdefault(request.episode, {})
        before = by_role.get(request.role)
        by_role[request.role] = (before[0] + usage, before[1] + seconds) if before else (usage, seconds)


def _quantile(ordered: list[float], q: float) -> float | None:
    """The nearest-rank quantile of sorted values."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
