"""The finished episodes of a log as a sequence; each is read from the file when it is used.

Memory holds only the places of an episode's lines in the file: about a hundred bytes instead of the 16 KiB of the
episode. A run with 20,000 episodes therefore needs hardly more memory than one with 200. Episodes that a caller keeps
need memory of their own.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, overload

import msgspec

from harness.core.errors import DataError, InputError
from harness.core.log.checkedlines import Line, new_chain, read_lines, record_of
from harness.core.log.codec import decode_event
from harness.core.log.episode import Episode, build
from harness.core.messages import EpisodeEnded, EpisodeStarted, Event, Struct, Withdrawn


class _Place(Struct, frozen=True, kw_only=True, gc=False):
    """The place of one finished episode in the file."""

    phase: str
    index: int
    starts: bytes
    """An array of the first bytes of its lines."""


class LoggedEpisodes(Sequence[Episode]):
    """Finished episodes of a log in some order; each access reads the file again."""

    def __init__(self, path: Path, places: Mapping[str, _Place], order: Sequence[str]) -> None:
        """Made by `EpisodeIndex`."""
        self.path = path
        self._places = places
        self._order = order

    @property
    def counts(self) -> Counter[str]:
        """The number of episodes by phase."""
        return Counter(self._places[name].phase for name in self._order)

    def of(self, *phases: str) -> LoggedEpisodes:
        """The episodes of the given phases, in the same order as here."""
        return self.only(name for name in self._order if self._places[name].phase in phases)

    def only(self, names: Iterable[str]) -> LoggedEpisodes:
        """The episodes with these ids, in this order; `KeyError` for an unknown id."""
        order = tuple(names)
        return LoggedEpisodes(self.path, {name: self._places[name] for name in order}, order)

    def get(self, name: str) -> Episode | None:
        """The episode with this id; None where there is none."""
        return self._read_one(name) if self.has(name) else None

    def has(self, name: str) -> bool:
        """Whether the episode of this id is there."""
        return name in self._places

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Episode]:
        if self._order:
            with self._opened() as file:
                for name in self._order:
                    yield self._read(file, name)

    @overload
    def __getitem__(self, at: int) -> Episode: ...
    @overload
    def __getitem__(self, at: slice) -> LoggedEpisodes: ...
    def __getitem__(self, at: int | slice) -> Episode | LoggedEpisodes:
        return self.only(self._order[at]) if isinstance(at, slice) else self._read_one(self._order[at])

    def _read_one(self, name: str) -> Episode:
        with self._opened() as file:
            return self._read(file, name)

    def _opened(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise InputError(f"cannot read the event log {self.path}: {error.strerror}") from error

    def _read(self, file: BinaryIO, name: str) -> Episode:
        events = []
        for start in array("q", self._places[name].starts):
            file.seek(start)
            # `refresh` has already compared the checksums.
            events.append(decode_event(record_of(file.readline())))
        return build(events)


class EpisodeIndex(LoggedEpisodes):
    """All finished episodes of a log that were not withdrawn, in order of phase and index; empty without a file.

    Both the constructor and `refresh` raise `DataError` for a damaged line, for a line that is no event, and for a
    duplicated or orphaned record.
    """

    def __init__(self, path: Path) -> None:
        self._known: dict[str, _Place] = {}
        super().__init__(path, self._known, [])
        self._open: dict[str, tuple[EpisodeStarted, array[int]]] = {}
        self._chain = new_chain(path)
        self._end = self._number = 0
        self.checked = True
        """Whether every line carried a checksum."""
        self.refresh()

    def refresh(self) -> None:
        """Read the lines that were appended since the last reading."""
        if not self.path.exists():
            return
        for line in read_lines(self.path, "the event log", start=self._end, number=self._number, chain=self._chain):
            self._take(_event(self.path, line), line)
            self._end, self._number = line.end, line.number
            self.checked = self.checked and line.checked
        self._order = sorted(self._known, key=lambda name: (self._known[name].phase, self._known[name].index))

    def _take(self, event: Event, line: Line) -> None:
        if isinstance(event, Withdrawn):
            for name in event.episodes:
                if self._known.pop(name, None) is None:
                    raise DataError(f"{self.path}:{line.number}: episode {name} is withdrawn and was not finished")
            return
        name = event.episode
        if isinstance(event, EpisodeStarted):
            self._open[name] = (event, array("q", [line.start]))
            return
        if name not in self._open:
            raise DataError(f"{self.path}:{line.number}: episode {name} has a record before its start")
        started, starts = self._open[name]
        starts.append(line.start)
        if isinstance(event, EpisodeEnded):
            if name in self._known:
                raise DataError(f"{self.path}:{line.number}: episode {name} is finished twice")
            del self._open[name]
            phase = sys.intern(started.phase)
            self._known[sys.intern(name)] = _Place(phase=phase, index=started.index, starts=starts.tobytes())


def _event(path: Path, line: Line) -> Event:
    try:
        return decode_event(line.record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}:{line.number}: not an event: {error}") from None


def read_events(path: Path) -> Iterator[Event]:
    """All events of whole lines; a damaged line, or one that is no event, is a `DataError` naming file:line."""
    for line in read_lines(path, "the event log"):
        yield _event(path, line)


def read_episodes(path: Path) -> EpisodeIndex:
    """All finished episodes of a log, by phase and index; `InputError` where there is none."""
    if not path.exists():
        raise InputError(f"cannot read the event log {path}: there is no such file")
    return EpisodeIndex(path)
