"""``python -m harness.app.study.worker``: plays the cells that its parent names, one JSON line a cell in, one out.

A process of its own, because a run keeps one core busy and torch wants one thread. What the cells of one worker share
(encoder, what it has read, entity index) stays in memory. When the parent is gone the input ends, and so does the
worker, in the middle of a cell too: the cell's directory goes on from there another time.
"""

from __future__ import annotations

import io
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import structlog
from rich.console import Console

from harness.app.job.main_job import begin_or_go_on
from harness.app.settings.configfile import config_from_tree
from harness.app.study.cell import measure
from harness.core.errors import HarnessError, Interrupted, leaves
from harness.core.messages import Struct

log = structlog.get_logger()


class Order(Struct, frozen=True, kw_only=True):
    """A cell to play."""

    arm: str
    seed: int
    config: dict[str, Any]
    directory: str


class Answer(Struct, frozen=True, kw_only=True):
    """How it ended: an error is one sentence, none where the cell has its result."""

    seconds: float = 0.0
    error: str = ""
    interrupted: bool = False


def main() -> None:
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    while (line := lines.get()) is not None:
        answers.write(msgspec.json.encode(_play(msgspec.json.decode(line, type=Order))) + b"\n")


def _listen(lines: queue.Queue[bytes | None]) -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


def _play(order: Order) -> Answer:
    try:
        config = config_from_tree(order.config)
        summary = begin_or_go_on(config, Path(order.directory), Console(file=io.StringIO()), quiet=True)
        measure(order.arm, order.seed, config, Path(order.directory), summary.seconds)
    except BaseException as error:
        found = list(leaves(error))
        if any(isinstance(leaf, Interrupted | KeyboardInterrupt) for leaf in found):
            return Answer(error="interrupted", interrupted=True)
        log.error("cell_failed", cell=order.directory, exc_info=error)
        expected = [leaf for leaf in found if isinstance(leaf, HarnessError)]
        return Answer(error=str(expected[0]) if expected else f"{type(found[0]).__name__}: {found[0]}")
    return Answer(seconds=summary.seconds)


if __name__ == "__main__":
    main()
