"""An expert coroutine: it takes requests from an inbox in batches and gives each caller its reply.

A caller writes ``reply = await lane.ask(request)``; somewhere a nursery runs ``lane.serve``. The inbox is bounded, so a
slow expert slows its callers down instead of growing a queue. Two kinds of lane share that inbox:

- `batch_lane` handles the waiting items together, up to ``max_batch`` (planner, retriever). A batch that would block
  the event loop runs in a worker thread; any other batch runs on the event loop. Two threads that both run Python pass
  the interpreter's lock at every system call and every numpy sort (measured: a third of all CPU per turn with 1,000
  conversations).
- `call_lane` starts the waiting items together, one task for each item, and receives the next ones at once. A slow item
  delays no other item (model calls; the server batches continuously).

Failures. An `ExpertError` of one item reaches only its own caller: batch handlers *return* it in the item's place, call
handlers raise it. Everything that a call handler raises reaches its caller. Everything that a batch handler raises
reaches all callers of the batch, since the handler does not say whose item failed: a bug fails each of their
conversations, and a `RunStopped` stops the run. Cancelling a caller cancels its own item. A waiting item is dropped, a
call under way is cancelled, and the result of an item in a running batch is thrown away.

Left out: retries (`llm.py`), priorities, and deadlines, which belong to the callers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Generic, Protocol, TypeVar

import trio

from harness.core.errors import ExpertError, HarnessError, RunStopped
from harness.core.messages import Struct

Q = TypeVar("Q")
R = TypeVar("R")
T = TypeVar("T")


class RunSync(Protocol):
    """Runs a blocking function in a worker thread, or on the event loop in tests."""

    async def __call__(self, function: Callable[[], T], /) -> T: ...


class LaneStatistics(Struct, frozen=True, kw_only=True):
    """A lane at one moment: items that wait (inbox and blocked callers), items under way, totals since its start."""

    waiting: int
    in_flight: int
    batches: int
    items: int
    largest_batch: int


class _Envelope(Generic[Q, R]):
    """One request and the place for its reply. The lane settles it once, or the caller abandons it once."""

    __slots__ = ("_error", "_reply", "_traceback", "abandoned", "done", "request", "scope")

    def __init__(self, request: Q) -> None:
        self.request = request
        self.done = trio.Event()
        self.scope = trio.CancelScope()
        self.abandoned = False
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None

    def succeed(self, reply: R) -> None:
        self._reply = reply
        self.done.set()

    def fail(self, error: BaseException) -> None:
        self._error, self._traceback = error, error.__traceback__
        self.done.set()

    def abandon(self) -> None:
        self.abandoned = True
        self.scope.cancel()

    def unwrap(self) -> R:
        if self._error is not None:
            # A whole batch may share one error, so each caller starts again from the handler's traceback.
            raise self._error.with_traceback(self._traceback)
        return self._reply


class Lane(Generic[Q, R]):
    """A long-lived expert. Made by `batch_lane` or `call_lane`; run ``serve`` in a nursery, then ``ask``."""

    def __init__(
        self, name: str, pump: Callable[[Lane[Q, R]], Awaitable[None]], *, max_batch: int, capacity: int
    ) -> None:
        if max_batch < 1 or capacity < 1:
            raise ValueError(f"lane {name}: max_batch and capacity must be at least 1, not {max_batch} and {capacity}")
        self.name = name
        self._pump = pump
        self._max_batch = max_batch
        self._send, self._inbox = trio.open_memory_channel[_Envelope[Q, R]](capacity)
        self._under_way: set[_Envelope[Q, R]] = set()
        self._batches = self._items = self._largest_batch = 0

    async def ask(self, request: Q) -> R:
        """The expert's reply to one request; waits for a place in the inbox first.

        Raises:
            RunStopped: the lane ended before it answered.
            trio.ClosedResourceError: the lane was closed before this call.
            Exception: whatever the handler returned or raised for this item.
        """
        envelope = _Envelope[Q, R](request)
        await self._hand_in(envelope)
        try:
            await envelope.done.wait()
        except BaseException:
            envelope.abandon()
            raise
        return envelope.unwrap()

    async def _hand_in(self, envelope: _Envelope[Q, R]) -> None:
        # Each caller has its own clone of the channel, so callers that wait here at `close` can still send.
        with self._send.clone() as sender:
            try:
                await sender.send(envelope)
            except trio.BrokenResourceError:
                raise self._ended() from None

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work until `close` was called and every earlier request is answered. Run it once."""
        task_status.started()
        try:
            await self._pump(self)
        finally:
            # Cancelled or crashed: no caller may wait for a lane that has ended.
            left = list(self._under_way)
            while (waiting := self._take_waiting()) is not None:
                left.append(waiting)
            self._inbox.close()
            for envelope in left:
                if not envelope.done.is_set():
                    envelope.fail(self._ended())

    def close(self) -> None:
        """Accept no further request; `serve` returns when the inbox is empty and nothing is under way."""
        self._send.close()

    def statistics(self) -> LaneStatistics:
        """Figures of this moment, for progress lines and tests."""
        inbox = self._inbox.statistics()
        return LaneStatistics(
            waiting=inbox.current_buffer_used + inbox.tasks_waiting_send,
            in_flight=len(self._under_way),
            batches=self._batches,
            items=self._items,
            largest_batch=self._largest_batch,
        )

    def _ended(self) -> RunStopped:
        return RunStopped(f"the {self.name} lane ended before it answered")

    async def _first(self) -> _Envelope[Q, R] | None:
        """The next item whose caller still waits; None when the lane is closed and drained."""
        async for envelope in self._inbox:
            if not envelope.abandoned:
                return envelope
        return None

    def _take_waiting(self) -> _Envelope[Q, R] | None:
        """The next item without waiting; None when there is none."""
        while True:
            try:
                envelope = self._inbox.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel):
                return None
            if not envelope.abandoned:
                return envelope

    def _start(self, batch: list[_Envelope[Q, R]]) -> None:
        self._under_way.update(batch)
        self._batches += 1
        self._items += len(batch)
        self._largest_batch = max(self._largest_batch, len(batch))

    async def _pump_batches(
        self,
        handle: Callable[[Sequence[Q]], Sequence[R | ExpertError]],
        blocks: Callable[[Sequence[Q]], bool],
        run_sync: RunSync,
    ) -> None:
        while (first := await self._first()) is not None:
            batch = [first]
            while len(batch) < self._max_batch and (envelope := self._take_waiting()) is not None:
                batch.append(envelope)
            self._start(batch)
            requests = [envelope.request for envelope in batch]
            try:
                run = run_sync if blocks(requests) else run_inline
                replies = await run(partial(handle, requests))
                if len(replies) != len(batch):
                    raise RuntimeError(f"lane {self.name}: {len(replies)} replies to {len(batch)} requests")
            except Exception as error:
                if all(envelope.abandoned for envelope in batch) and not isinstance(error, HarnessError):
                    raise  # every caller was cancelled, so none can report the bug
                for envelope in batch:
                    envelope.fail(error)
            else:
                for envelope, reply in zip(batch, replies, strict=True):
                    if isinstance(reply, ExpertError):
                        envelope.fail(reply)
                    else:
                        envelope.succeed(reply)
            self._under_way.difference_update(batch)

    async def _pump_calls(self, handle: Callable[[Q], Awaitable[R]], max_in_flight: int) -> None:
        slots = trio.Semaphore(max_in_flight)
        async with trio.open_nursery() as nursery:
            while True:
                # The slot comes first: an item that cannot start yet stays in the inbox, and its caller waits.
                await slots.acquire()
                first = await self._first()
                if first is None:
                    return
                batch = [first]
                while len(batch) < self._max_batch and slots.value > 0:
                    envelope = self._take_waiting()
                    if envelope is None:
                        break
                    slots.acquire_nowait()
                    batch.append(envelope)
                self._start(batch)
                for envelope in batch:
                    nursery.start_soon(self._call, handle, envelope, slots, name=f"{self.name} call")

    async def _call(
        self, handle: Callable[[Q], Awaitable[R]], envelope: _Envelope[Q, R], slots: trio.Semaphore
    ) -> None:
        try:
            with envelope.scope:
                if not envelope.abandoned:
                    envelope.succeed(await handle(envelope.request))
        except Exception as error:
            if envelope.abandoned and not isinstance(error, HarnessError):
                raise  # every caller was cancelled, so none can report the bug
            envelope.fail(error)
        finally:
            if not envelope.done.is_set():
                envelope.fail(self._ended())
            self._under_way.discard(envelope)
            slots.release()


def batch_lane(
    name: str,
    handle: Callable[[Sequence[Q]], Sequence[R | ExpertError]],
    *,
    max_batch: int,
    capacity: int,
    blocks: Callable[[Sequence[Q]], bool] = lambda requests: True,
    run_sync: RunSync | None = None,
) -> Lane[Q, R]:
    """A lane that handles requests in batches, one batch at a time; the next one gathers meanwhile.

    Args:
        name: the expert, for messages.
        handle: a batch -> one reply or `ExpertError` for each request, in order.
        max_batch: most requests in one batch.
        capacity: places in the inbox; further callers wait.
        blocks: whether handling a batch would block the event loop for more than some hundredths of a second.
        run_sync: runs the batches that block; by default in a worker thread of the lane, which a cancellation
            does not abandon.
    """
    run = run_sync if run_sync is not None else _own_thread()
    return Lane(name, lambda lane: lane._pump_batches(handle, blocks, run), max_batch=max_batch, capacity=capacity)


def call_lane(
    name: str,
    handle: Callable[[Q], Awaitable[R]],
    *,
    max_batch: int,
    capacity: int,
    max_in_flight: int,
) -> Lane[Q, R]:
    """A lane that starts one call for each request.

    Args:
        name: the expert, for messages.
        handle: a request -> its reply; raises `ExpertError` where it fails.
        max_batch: most requests started together.
        capacity: places in the inbox; further callers wait.
        max_in_flight: most calls under way at a time.
    """
    if max_in_flight < 1:
        raise ValueError(f"lane {name}: max_in_flight must be at least 1, not {max_in_flight}")
    return Lane(name, lambda lane: lane._pump_calls(handle, max_in_flight), max_batch=max_batch, capacity=capacity)


def _own_thread() -> RunSync:
    limiter = trio.CapacityLimiter(1)

    async def run(function: Callable[[], T], /) -> T:
        return await trio.to_thread.run_sync(function, limiter=limiter)

    return run


async def run_inline(function: Callable[[], T], /) -> T:
    """Runs the function on the event loop; tests need it under an autojump clock, which jumps while threads work."""
    await trio.lowlevel.checkpoint()
    return function()
