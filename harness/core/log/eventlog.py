"""The append-only episode log, the truth of a run; `harness.core.log.loggedepisodes` reads it back.

Each line is one JSON object with its checksum (`harness.core.log.checkedlines`). One task writes all waiting events and
makes them durable with one fsync (group commit). The writer of an episode's end waits for that, so everything that the
learner sees is on disk. A file that ends in the middle of a record (after kill -9) is cut back to its last line break
before anything is appended.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import trio

from harness.core.errors import RunStopped
from harness.core.log.checkedlines import chain_of, repair, write_whole
from harness.core.log.codec import encode_event
from harness.core.messages import EpisodeEnded, Event, Withdrawn

INBOX = 4096
"""Events that may wait for the disk before their conversations wait too (some megabytes)."""

RunSync = Callable[[Callable[[], None]], Awaitable[None]]
_Queued = tuple[Event, trio.Event | None]
"""An event, and what is set when it is durable."""


class EventLog:
    """The writing end of an open log."""

    def __init__(self, file: BinaryIO, path: Path, run_sync: RunSync) -> None:
        self._file = file
        self._path = path
        self._run_sync = run_sync
        self._inbox, self._outbox = trio.open_memory_channel[_Queued](INBOX)
        self._length = file.seek(0, os.SEEK_END)
        self._chain = chain_of(path)
        self.fsyncs = 0
        self.events = 0

    @property
    def length(self) -> int:
        """Durable bytes."""
        return self._length

    async def append(self, event: Event) -> None:
        """Queue an event; for an `EpisodeEnded` or a `Withdrawn`, return when it is durable."""
        durable = trio.Event() if isinstance(event, EpisodeEnded | Withdrawn) else None
        await self._inbox.send((event, durable))
        if durable is not None:
            await durable.wait()

    async def _serve(self) -> None:
        # The writer is shielded from cancellation: events already queued still reach the disk.
        with trio.CancelScope(shield=True), self._outbox:
            async for first in self._outbox:
                await self._keep(
                    self._gathered_with(first)
                )  # no variable here keeps a batch alive while the next is awaited

    def _gathered_with(self, first: _Queued) -> list[_Queued]:
        batch = [first]
        while True:
            try:
                batch.append(self._outbox.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                return batch

    async def _keep(self, batch: list[_Queued]) -> None:
        lines = bytearray()  # a list of lines, joined, would hold a thousand turns in memory twice
        for event, _ in batch:
            lines += self._chain.sealed(encode_event(event))
        await self._run_sync(partial(self._write, lines))
        self.events += len(batch)
        for _, durable in batch:
            if durable is not None:
                durable.set()

    def _close(self) -> None:
        self._inbox.close()

    def _write(self, lines: bytearray) -> None:
        try:
            write_whole(self._file, lines)
        except OSError as error:
            # Cut off the partly written group, so that the earlier records stay valid.
            os.truncate(self._path, self._length)
            raise RunStopped(f"cannot write the event log {self._path}: {error.strerror}") from error
        self._length += len(lines)
        self.fsyncs += 1


async def _in_thread(function: Callable[[], None]) -> None:
    await trio.to_thread.run_sync(function)


@asynccontextmanager
async def open_log(path: Path, *, run_sync: RunSync = _in_thread) -> AsyncIterator[EventLog]:
    """Open for appending; cuts off an incomplete last line first. Queued events are written however the block ends."""
    repair(path)
    with path.open("ab", buffering=0) as raw:
        log = EventLog(raw, path, run_sync)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log._serve)
            try:
                yield log
            finally:
                log._close()
