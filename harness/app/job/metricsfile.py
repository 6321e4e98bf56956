"""`metrics.jsonl`: one line per warm-up, update and evaluation; TensorBoard shows the same numbers.

Its lines carry checksums as the log's do. All lines can be made again from the dialogues and the log: a damaged file is
set aside, and a missing line is written again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar

from harness.core.errors import DataError, RunStopped
from harness.core.log.checkedlines import chain_of, new_chain, read_lines, repair, write_whole
from harness.core.log.rundir import METRICS, TENSORBOARD, write_atomically


class MetricsFile:
    """Appends to a run's metrics. A resumed run replays updates; what is already written is not written twice."""

    def __init__(self, folder: Path) -> None:
        path = folder / METRICS
        self.damage = ""
        """What was wrong with the file that was there, and where it is now; empty where nothing was."""
        repair(path)
        try:
            self._written = {_key(line) for line in read_metrics(path)}
        except DataError as error:
            self._written = set()
            aside = path.with_name(f"{METRICS}.damaged")
            path.rename(aside)
            self.damage = f"{error}; it is set aside as {aside.name}"
        self._file = path.open("ab", buffering=0)
        self._chain = chain_of(path)
        (folder / TENSORBOARD).mkdir(exist_ok=True)
        # Not SummaryWriter: on a full disk its thread dies, and its queue then blocks the run for ever.
        self._board = EventsWriter(str(folder / TENSORBOARD / "events"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        with suppress(OSError):  # on a full disk the error that ends the run already says so
            self._board.close()

    def lacks(self, kind: str, *, name: str | None = None, version: int | None = None) -> bool:
        """Whether there is no such line yet."""
        return (kind, name, version) not in self._written

    def write(self, kind: str, report: msgspec.Struct) -> None:
        """One line ``{"type": kind, ...}``; the numbers of a report that has a version go to TensorBoard too."""
        line: dict[str, Any] = {"type": kind, **msgspec.to_builtins(report)}
        if _key(line) in self._written:
            return
        self._written.add(_key(line))
        try:
            write_whole(self._file, self._chain.sealed(msgspec.json.encode(line)))
            if line.get("version") is not None:
                self._show(_numbers(kind, line), line["version"])
        except OSError as error:
            raise RunStopped(f"cannot write the metrics of the run: {error.strerror}") from error

    def _show(self, numbers: dict[str, float], version: int) -> None:
        for name, value in numbers.items():
            self._board.write_event(Event(wall_time=time.time(), step=version, summary=scalar(name, value)))
        self._board.flush()


def _numbers(kind: str, line: dict[str, Any]) -> dict[str, float]:
    shares = {f"strategy/{name}": value for name, value in line.get("strategy_shares", {}).items()}
    found = {
        f"{kind}/{name}": value
        for name, value in line.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return found | shares


def keep_metrics(folder: Path, stands: Callable[[dict[str, Any]], bool]) -> None:
    """Leave out the lines that are no longer valid. A file of valid lines only, or a damaged one, is not changed."""
    try:
        lines = read_metrics(folder / METRICS)
    except DataError:
        return
    kept, chain = [line for line in lines if stands(line)], new_chain(folder / METRICS)
    if len(kept) < len(lines):
        write_atomically(folder / METRICS, b"".join(chain.sealed(msgspec.json.encode(line)) for line in kept))


def _key(line: dict[str, Any]) -> tuple[Any, Any, Any]:
    return line.get("type"), line.get("name"), line.get("version")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file; none where there is no file, `DataError` naming file:line for damage."""
    found: list[dict[str, Any]] = []
    for line in read_lines(path, "the file of metrics") if path.exists() else ():
        try:
            found.append(msgspec.json.decode(line.record, type=dict[str, Any]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{path}:{line.number}: no line of metrics: {error}") from None
    return found


def metrics_lack(folder: Path, wanted: Iterable[tuple[str, str | None, int | None]]) -> str:
    """What is wrong with a run's metrics: a damaged line, or some of ``wanted`` (type, name, version) are missing."""
    try:
        there = {_key(line) for line in read_metrics(folder / METRICS)}
    except DataError as error:
        return str(error)
    missing = [key for key in wanted if key not in there]
    return f"{folder / METRICS} lacks {len(missing)} of its lines" if missing else ""
