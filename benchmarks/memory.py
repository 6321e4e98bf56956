"""Resident memory a live conversation, at 100, 1,000 and 10,000 of them.

Each size in a process of its own: first a tenth of the conversations play two turns, then all, begun together. What
the highest resident size of the process grew by from the one to the other is divided by the nine tenths. Each of them
has a call under way, so a connection as well; the server's memory is its own. (The kernel's socket buffers are not
resident memory of the process.)
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import trio

from benchmarks.fixed_server import fixed_server
from benchmarks.measure import Bench, Cell, Goal, Result, main, median, spread
from benchmarks.pipeline import ROOT, at_work, config_for, scenarios

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LATENCY_S = 0.2
_TURNS = 2
_SPARE_FILES = 200
_REPEATED = {1_000: 3}
"""How the waves of calls fall moves the peak by a tenth; with 100 it hardly does, with 10,000 it takes too long."""
_WHEN = ("before", "highest")


class _Highest:
    """Samples this process's resident size in a thread."""

    def __init__(self) -> None:
        self.bytes = self._now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Highest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.bytes = max(self.bytes, self._now())

    @staticmethod
    def _now() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def run(bench: Bench) -> Result:
    """As many sizes as this machine's limit of open files allows."""
    began = time.perf_counter()
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _SPARE_FILES
    sizes = (2, 4) if bench.tiny else tuple(size for size in (100, 1_000, 10_000) if size <= allowed)
    rows: list[tuple[Cell, ...]] = []
    figures: dict[int, float] = {}
    for size in sizes:
        command = [sys.executable, "-m", "benchmarks.memory", "--child", str(size)]
        seen: list[dict[str, int]] = []
        for _ in range(1 if bench.tiny else _REPEATED.get(size, 1)):
            seen.append(json.loads(subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout))
        found = [_kib(said, size) for said in seen]
        figures[size] = median(found)
        rows.append((size, *(median([said[when] for said in seen]) / 2**20 for when in _WHEN), spread(found, 1)))
    return Result(
        name="memory",
        title="Resident memory a live conversation",
        columns=("C", "MiB at C / 10", "MiB at C", "KiB a conversation"),
        rows=tuple(rows),
        goals=tuple(
            Goal(what=f"KiB a conversation at C = {size:,}", figure=figures[size], bound=32.0, kind="at most")
            for size in sizes[1:]
        ),
        limit=(
            "after two turns; a longer dialogue adds its texts, and finished episodes stay in memory (about their size "
            "in the log); at the smallest size what is made once is most of the figure."
        ),
        seconds=time.perf_counter() - began,
    )


def _kib(said: dict[str, int], size: int) -> float:
    return (said["highest"] - said["before"]) / (size - size // 10) / 1024


def _child(size: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, size + _SPARE_FILES), hard), hard))

    async def measured(url: str, folder: Path) -> None:
        config = config_for(size, _TURNS)
        async with at_work(config, url, "fixed", folder) as (session, inputs, _):
            with _Highest() as before:
                await session.play(session.jobs("warm", scenarios(inputs, max(size // 10, 1)), lambda i: 0))
            with _Highest() as highest:
                await session.play(session.jobs("train", scenarios(inputs, size), lambda i: 0))
            print(json.dumps({"before": before.bytes, "highest": highest.bytes}))

    with fixed_server(_LATENCY_S) as url, tempfile.TemporaryDirectory() as folder:
        trio.run(measured, url, Path(folder))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", type=int)
    child: int | None = parser.parse_args().child
    if child is None:
        main(run)
    else:
        _child(child)
