"""`metrics.jsonl`: one line per warm-up, update and evaluation; TensorBoard shows the same numbers."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import scalar

from harness.core.errors import RunStopped
from harness.core.log.checkedlines import repair, write_whole
from harness.core.log.rundir import METRICS, TENSORBOARD


class MetricsFile:
    """Appends to a run's metrics. A resumed run replays updates; what is already written is not written twice."""

    def __init__(self, folder: Path) -> None:
        path = folder / METRICS
        repair(path)
        self._written = {_key(line) for line in read_metrics(path)}
        self._file = path.open("ab", buffering=0)
        (folder / TENSORBOARD).mkdir(exist_ok=True)
        # The plain writer: SummaryWriter's thread dies on a full disk, and its queue then blocks the run for ever.
        self._board = EventsWriter(str(folder / TENSORBOARD / "events"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        with suppress(OSError):  # on a full disk the reason that is under way already says it
            self._board.close()

    def write(self, kind: str, report: msgspec.Struct) -> None:
        """One line ``{"type": kind, ...}``; the numbers of a report that has a version go to TensorBoard too."""
        line: dict[str, Any] = {"type": kind, **msgspec.to_builtins(report)}
        if _key(line) in self._written:
            return
        self._written.add(_key(line))
        try:
            write_whole(self._file, msgspec.json.encode(line) + b"\n")
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


def _key(line: dict[str, Any]) -> tuple[object, ...]:
    return line["type"], line.get("name"), line.get("version")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a metrics file; none where there is no file."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line) for line in path.read_bytes().split(b"\n")[:-1]]
