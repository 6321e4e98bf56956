"""The ledger: who spent what, taken once, bounded in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from harness.core.errors import CallError
from harness.core.messages import ChatReply, ChatRequest, Usage
from harness.core.model.ledger import Ledger


def run(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def _request(episode: str, role: str) -> ChatRequest:
    return ChatRequest(role=role, episode=episode, turn=1, messages=(), max_tokens=8, temperature=1.0, seed=64)


class _Model:
    """Takes ``seconds`` and answers with 10 prompt and 3 reply tokens after two retries, or fails."""

    def __init__(self, seconds: float = 1.0, error: Exception | None = None) -> None:
        self.seconds = seconds
        self.error = error

    async def complete(self, request: ChatRequest) -> ChatReply:
        await trio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        usage = Usage(calls=1, prompt_tokens=10, cached_tokens=4, completion_tokens=3, truncated=1)
        return ChatReply(texts=("hello",), usage=usage, timing={"retries": 2.0})


def test_an_episode_gets_its_own_usage_and_seconds_by_role_and_only_once() -> None:
    async def main() -> None:
        ledger = Ledger()
        quick, slow = ledger.metered(_Model(1.0)), ledger.metered(_Model(5.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(quick.complete, _request("a", "actor"))
            nursery.start_soon(quick.complete, _request("a", "actor"))
            nursery.start_soon(slow.complete, _request("a", "seeker"))
            nursery.start_soon(quick.complete, _request("b", "actor"))
        usage, seconds = ledger.take("a")
        assert usage["actor"] == Usage(calls=2, prompt_tokens=20, cached_tokens=8, completion_tokens=6, truncated=2)
        assert usage["seeker"].calls == 1
        assert seconds == {"actor": pytest.approx(2.0), "seeker": pytest.approx(5.0)}
        assert ledger.take("a") == ({}, {})
        assert ledger.take("b")[0]["actor"].calls == 1
        assert ledger.take("never seen") == ({}, {})

    run(main)


def test_failed_and_cancelled_calls_are_counted_in_the_totals_alone() -> None:
    async def main() -> None:
        ledger = Ledger()
        with pytest.raises(CallError):
            await ledger.metered(_Model(error=CallError("no"))).complete(_request("a", "actor"))
        with trio.move_on_after(0.5):
            await ledger.metered(_Model()).complete(_request("a", "actor"))
        await ledger.metered(_Model()).complete(_request("a", "actor"))
        totals = ledger.totals()["actor"]
        assert (totals.failed, totals.cancelled, totals.retries, totals.usage.calls) == (1, 1, 2, 1)
        assert totals.seconds == pytest.approx(1.0)
        assert ledger.take("a")[0] == {"actor": totals.usage}

    run(main)


def test_a_bug_is_not_booked_as_a_failure_but_passes() -> None:
    async def main() -> None:
        ledger = Ledger()
        with pytest.raises(ZeroDivisionError):
            await ledger.metered(_Model(error=ZeroDivisionError())).complete(_request("a", "actor"))
        assert ledger.totals()["actor"].failed == 0

    run(main)


def test_latency_quantiles_and_their_bounded_sample() -> None:
    async def main() -> None:
        ledger = Ledger()
        model = _Model()
        metered = ledger.metered(model)
        for i in range(5000):
            model.seconds = (i * 37 % 100 + 1) / 100
            await metered.complete(_request("a", "actor"))
        totals = ledger.totals()["actor"]
        assert totals.p50_s == pytest.approx(0.50, abs=0.05)
        assert totals.p95_s == pytest.approx(0.95, abs=0.03)
        assert len(ledger._roles["actor"]._sample) == 2048

    run(main)


def test_no_quantiles_before_the_first_answer() -> None:
    async def main() -> None:
        ledger = Ledger()
        with trio.move_on_after(0.5):
            await ledger.metered(_Model()).complete(_request("a", "actor"))
        assert (ledger.totals()["actor"].p50_s, ledger.totals()["actor"].p95_s) == (None, None)

    run(main)
