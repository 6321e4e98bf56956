"""Lanes: batching, isolation of failures, cancellation, back-pressure. No real time is spent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest
import trio
import trio.testing

from harness.core.errors import ExpertError, ReplyError, RunStopped
from harness.core.lane import Lane, batch_lane, call_lane, run_inline

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]]) -> T:
    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def _ask_into(lane: Lane[int, int], request: int, into: dict[int, int | BaseException]) -> None:
    try:
        reply = await lane.ask(request)
    except Exception as error:
        into[request] = error
    else:
        assert isinstance(reply, int)  # an error must be raised, not returned
        into[request] = reply


async def _ask_all(lane: Lane[int, int], requests: Sequence[int]) -> dict[int, int | BaseException]:
    into: dict[int, int | BaseException] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lane.serve)
        async with trio.open_nursery() as callers:
            for request in requests:
                callers.start_soon(_ask_into, lane, request, into)
        lane.close()
    return into


def _doubles(requests: Sequence[int]) -> list[int | ExpertError]:
    return [ReplyError(f"no reply to {r}") if r == 7 else 2 * r for r in requests]


async def _double(request: int) -> int:
    await trio.sleep(1)
    if request == 7:
        raise ReplyError(f"no reply to {request}")
    return 2 * request


def test_a_batch_holds_what_has_gathered_and_no_more_than_allowed() -> None:
    seen: list[list[int]] = []

    def handle(requests: Sequence[int]) -> list[int | ExpertError]:
        seen.append(list(requests))
        return _doubles(requests)

    async def main() -> None:
        lane = batch_lane("planner", handle, max_batch=4, capacity=64, run_sync=run_inline)
        into = await _ask_all(lane, range(20, 30))
        assert into == {r: 2 * r for r in range(20, 30)}
        assert max(map(len, seen)) == 4
        assert len(seen) <= 4
        assert sorted(r for batch in seen for r in batch) == list(range(20, 30))
        statistics = lane.statistics()
        assert (statistics.items, statistics.batches, statistics.largest_batch) == (10, len(seen), 4)
        assert (statistics.waiting, statistics.in_flight) == (0, 0)

    run(main)


@pytest.mark.parametrize("kind", ["batch", "call"])
def test_one_failing_item_of_three_hundred_fails_alone(kind: str) -> None:
    async def main() -> None:
        lane = (
            batch_lane("planner", _doubles, max_batch=32, capacity=16, run_sync=run_inline)
            if kind == "batch"
            else call_lane("actor", _double, max_batch=32, capacity=16, max_in_flight=64)
        )
        into = await _ask_all(lane, range(300))
        failed = into.pop(7)
        assert isinstance(failed, ReplyError)
        assert str(failed) == "no reply to 7"
        assert into == {r: 2 * r for r in range(300) if r != 7}

    run(main)


def test_a_real_worker_thread_does_the_batch() -> None:
    import threading

    def handle(requests: Sequence[int]) -> list[int | ExpertError]:
        return [threading.get_ident() for _ in requests]

    async def main() -> None:
        lane: Lane[int, int] = batch_lane("planner", handle, max_batch=8, capacity=8)
        into = await _ask_all(lane, range(3))
        assert threading.get_ident() not in into.values()

    trio.run(main)


def test_a_batch_that_does_not_block_is_handled_on_the_event_loop() -> None:
    import threading

    def handle(requests: Sequence[int]) -> list[int | ExpertError]:
        return [threading.get_ident() for _ in requests]

    async def main() -> None:
        lane: Lane[int, int] = batch_lane("planner", handle, max_batch=1, capacity=8, blocks=lambda batch: batch[0] > 1)
        into = await _ask_all(lane, range(4))
        assert [into[request] == threading.get_ident() for request in range(4)] == [True, True, False, False]

    trio.run(main)


def test_a_batch_handler_that_raises_reaches_every_caller_of_that_batch_only() -> None:
    def handle(requests: Sequence[int]) -> list[int | ExpertError]:
        if 1 in requests:
            raise ZeroDivisionError("a bug")
        return _doubles(requests)

    async def main() -> None:
        lane = batch_lane("planner", handle, max_batch=2, capacity=8, run_sync=run_inline)
        into: dict[int, int | BaseException] = {}
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as callers:
                for request in (0, 1, 2, 3):
                    callers.start_soon(_ask_into, lane, request, into)
                    await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(lane.serve)
            lane.close()
        assert [type(into[r]) for r in (0, 1)] == [ZeroDivisionError, ZeroDivisionError]
        assert (into[2], into[3]) == (4, 6)

    run(main)


def test_a_batch_of_the_wrong_length_is_a_bug_that_every_caller_sees() -> None:
    async def main() -> None:
        lane: Lane[int, int] = batch_lane("planner", lambda requests: [0], max_batch=2, capacity=8, run_sync=run_inline)
        async with trio.open_nursery() as nursery:
            into: dict[int, int | BaseException] = {}
            async with trio.open_nursery() as callers:
                for request in (0, 1):
                    callers.start_soon(_ask_into, lane, request, into)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(lane.serve)
            lane.close()
        assert all(
            isinstance(error, RuntimeError) and "1 replies to 2 requests" in str(error) for error in into.values()
        )

    run(main)


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), RunStopped("the server is gone")])
def test_whatever_a_call_raises_reaches_its_caller_and_the_lane_goes_on(error: Exception) -> None:
    async def handle(request: int) -> int:
        if request == 1:
            raise error
        return request

    async def main() -> None:
        into = await _ask_all(call_lane("actor", handle, max_batch=8, capacity=8, max_in_flight=8), range(4))
        assert into == {0: 0, 1: error, 2: 2, 3: 3}

    run(main)


def test_a_slow_call_holds_up_nobody_behind_it() -> None:
    async def handle(request: int) -> int:
        await trio.sleep(100 if request == 0 else 1)
        return request

    async def main() -> None:
        lane = call_lane("actor", handle, max_batch=2, capacity=2, max_in_flight=2)
        arrived: list[tuple[int, float]] = []

        async def caller(request: int) -> None:
            arrived.append((await lane.ask(request), trio.current_time() - start))

        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lane.serve)
            async with trio.open_nursery() as callers:
                for request in range(4):
                    callers.start_soon(caller, request)
                    await trio.testing.wait_all_tasks_blocked()
            lane.close()
        assert [(request, round(after)) for request, after in arrived] == [(1, 1), (2, 2), (3, 3), (0, 100)]

    run(main)


def test_calls_that_gathered_start_together() -> None:
    async def main() -> None:
        lane = call_lane("actor", _double, max_batch=64, capacity=64, max_in_flight=64)
        start = trio.current_time()
        await _ask_all(lane, range(50))
        assert trio.current_time() - start == pytest.approx(1.0)

    run(main)


def test_no_more_calls_are_under_way_than_allowed() -> None:
    under_way, most = 0, 0

    async def handle(request: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await trio.sleep(1)
        under_way -= 1
        return request

    async def main() -> None:
        lane = call_lane("actor", handle, max_batch=32, capacity=4, max_in_flight=5)
        start = trio.current_time()
        await _ask_all(lane, range(20))
        assert most == 5
        assert trio.current_time() - start == pytest.approx(4.0)

    run(main)


@pytest.mark.parametrize("kind", ["batch", "call"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_item_cancelled_in_the_inbox_is_never_executed(kind: str, place: int) -> None:
    executed: list[int] = []

    def handle_batch(requests: Sequence[int]) -> list[int | ExpertError]:
        executed.extend(requests)
        return list(requests)

    async def handle_call(request: int) -> int:
        executed.append(request)
        return request

    async def main() -> None:
        lane: Lane[int, int] = (
            batch_lane("planner", handle_batch, max_batch=8, capacity=8, run_sync=run_inline)
            if kind == "batch"
            else call_lane("actor", handle_call, max_batch=8, capacity=8, max_in_flight=8)
        )
        into: dict[int, int | BaseException] = {}
        scope = trio.CancelScope()

        async def cancelled(request: int) -> None:
            with scope:
                await lane.ask(request)

        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as callers:
                for request in range(3):
                    if request == place:
                        callers.start_soon(cancelled, request)
                    else:
                        callers.start_soon(_ask_into, lane, request, into)
                    await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(lane.serve)
            lane.close()
        others = {0, 1, 2} - {place}
        assert into == {request: request for request in others}
        assert set(executed) == others
        assert lane.statistics().items == 2

    run(main)


def test_no_call_begins_after_its_caller_has_left() -> None:
    left = False
    begun_too_late = 0

    async def handle(request: int) -> int:
        nonlocal begun_too_late
        begun_too_late += left
        await trio.sleep(1)
        return request

    async def main() -> None:
        nonlocal left
        # trio runs ready tasks in random order: over many tries the caller leaves before, while and after the lane
        # takes its item, and between the start of the item's task and its first step.
        for i in range(400):
            left = False
            lane = call_lane("actor", handle, max_batch=8, capacity=8, max_in_flight=8)
            scope = trio.CancelScope()

            async def caller(lane: Lane[int, int], scope: trio.CancelScope) -> None:
                nonlocal left
                with scope:
                    try:
                        await lane.ask(1)
                    except trio.Cancelled:
                        left = True
                        raise

            async with trio.open_nursery() as nursery:
                nursery.start_soon(lane.serve)
                nursery.start_soon(caller, lane, scope)
                for _ in range(i % 5):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
                await trio.testing.wait_all_tasks_blocked()
                lane.close()
            assert lane.statistics().in_flight == 0
        assert begun_too_late == 0

    run(main)


def test_cancelling_a_caller_cancels_its_call_and_no_other() -> None:
    cancelled: list[int] = []

    async def handle(request: int) -> int:
        try:
            await trio.sleep(10)
        except trio.Cancelled:
            cancelled.append(request)
            raise
        return request

    async def main() -> None:
        lane = call_lane("actor", handle, max_batch=8, capacity=8, max_in_flight=2)
        into: dict[int, int | BaseException] = {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lane.serve)
            async with trio.open_nursery() as callers:
                callers.start_soon(_ask_into, lane, 0, into)
                with trio.move_on_after(3):
                    await lane.ask(1)
                # Its slot is free again: this one runs beside item 0.
                start = trio.current_time()
                assert await lane.ask(2) == 2
                assert trio.current_time() - start == pytest.approx(10.0)
            lane.close()
        assert cancelled == [1]
        assert into == {0: 0}

    run(main)


def test_cancelling_one_caller_of_a_batch_leaves_the_batch_alone() -> None:
    async def main() -> None:
        async def slowly(function: Callable[[], T], /) -> T:
            await trio.sleep(5)
            return function()

        lane = batch_lane("planner", _doubles, max_batch=8, capacity=8, run_sync=slowly)
        into: dict[int, int | BaseException] = {}
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as callers:
                callers.start_soon(_ask_into, lane, 1, into)
                callers.start_soon(_ask_into, lane, 2, into)
                nursery.start_soon(lane.serve)
                with trio.move_on_after(2) as scope:
                    await lane.ask(3)
                assert scope.cancelled_caught
            lane.close()
        assert into == {1: 2, 2: 4}
        assert lane.statistics().items == 3

    run(main)


def test_a_full_inbox_holds_callers_back() -> None:
    gate = trio.Event()

    async def handle(request: int) -> int:
        await gate.wait()
        return request

    async def main() -> None:
        lane = call_lane("actor", handle, max_batch=1, capacity=3, max_in_flight=2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lane.serve)
            async with trio.open_nursery() as callers:
                for request in range(10):
                    callers.start_soon(lane.ask, request)
                await trio.testing.wait_all_tasks_blocked()
                statistics = lane.statistics()
                assert statistics.in_flight == 2
                assert statistics.waiting == 8
                assert lane._inbox.statistics().current_buffer_used == 3
                gate.set()
            lane.close()
        assert lane.statistics().items == 10

    run(main)


def test_closing_lets_those_in_who_wait_at_the_door_and_nobody_later() -> None:
    async def main() -> None:
        lane = call_lane("actor", _double, max_batch=1, capacity=1, max_in_flight=1)
        into: dict[int, int | BaseException] = {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lane.serve)
            for request in range(4):
                nursery.start_soon(_ask_into, lane, request, into)
            await trio.testing.wait_all_tasks_blocked()
            lane.close()
            with pytest.raises(trio.ClosedResourceError):
                await lane.ask(9)
        assert into == {r: 2 * r for r in range(4)}

    run(main)


def test_nobody_waits_for_ever_on_a_lane_that_was_stopped() -> None:
    async def main() -> None:
        lane = call_lane("actor", _double, max_batch=1, capacity=1, max_in_flight=1)
        into: dict[int, int | BaseException] = {}
        async with trio.open_nursery() as callers:
            for request in range(4):
                callers.start_soon(_ask_into, lane, request, into)
            with trio.move_on_after(0.5):
                await lane.serve()
        assert len(into) == 4
        assert all(isinstance(e, RunStopped) and "the actor lane ended" in str(e) for e in into.values())

    run(main)


def test_a_bug_without_a_caller_left_to_carry_it_ends_the_lane() -> None:
    async def handle(request: int) -> int:
        try:
            await trio.sleep(10)
        finally:
            raise ZeroDivisionError("while cleaning up")

    async def main() -> None:
        lane = call_lane("actor", handle, max_batch=1, capacity=1, max_in_flight=1)

        async def ask_and_leave() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lane.serve)
                with trio.move_on_after(1):
                    await lane.ask(1)
                await trio.sleep(5)

        with pytest.raises(BaseExceptionGroup) as caught:
            await ask_and_leave()
        assert caught.group_contains(ZeroDivisionError)

    run(main)


@pytest.mark.parametrize("bad", [{"max_batch": 0}, {"capacity": 0}, {"max_in_flight": 0}])
def test_sizes_must_be_positive(bad: dict[str, int]) -> None:
    sizes = {"max_batch": 1, "capacity": 1, "max_in_flight": 1} | bad
    with pytest.raises(ValueError, match="lane actor"):
        call_lane("actor", _double, **sizes)
