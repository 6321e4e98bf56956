"""`metrics.jsonl`: one line per warm-up, update and evaluation; TensorBoard shows the same numbers."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from tensorboardX import SummaryWriter

from harness.core.eventlog import repair
from harness.core.rundir import METRICS, TENSORBOARD


class MetricsFile:
    """Appends to a run's metrics. A resumed run replays updates; what is already written is not written twice."""

    def __init__(self, folder: Path) -> None:
        path = folder / METRICS
        repair(path)
        self._written = {_key(line) for line in read_metrics(path)}
        self._file = path.open("ab", buffering=0)
        self._board = SummaryWriter(str(folder / TENSORBOARD))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()

    def write(self, kind: str, report: msgspec.Struct) -> None:
        """One line ``{"type": kind, ...}``; the numbers of a report that has a version go to TensorBoard too."""
        line: dict[str, Any] = {"type": kind, **msgspec.to_builtins(report)}
        if _key(line) in self._written:
            return
        self._written.add(_key(line))
        self._file.write(msgspec.json.encode(line) + b"\n")
        if line.get("version") is not None:
            for name, value in line.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    self._board.add_scalar(f"{kind}/{name}", value, line["version"])
            for name, value in line.get("strategy_shares", {}).items():
                self._board.add_scalar(f"strategy/{name}", value, line["version"])


def _key(line: dict[str, Any]) -> tuple[object, ...]:
    return line["type"], line.get("name"), line.get("version")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a metrics file; none where there is no file."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line) for line in path.read_bytes().split(b"\n")[:-1]]
