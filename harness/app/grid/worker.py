"""``python -m harness.app.grid.worker``: plays the orders that its parent sends, one JSON line in, one line out.

A process of its own, because a run keeps one core busy and torch wants one thread. What the cells of one worker share
(encoder, what it has read) stays in memory. When the parent is gone the input ends, and so does the worker, in the
middle of a cell too: the cell's directory goes on from there another time.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping

import msgspec
import structlog

from harness.app.grid.comparison import cell as system
from harness.app.grid.comparison import planners
from harness.app.grid.orders import Answer, Kind, Order
from harness.app.grid.study import cell as arm
from harness.core.errors import HarnessError, Interrupted, leaves

PLAYERS: Mapping[Kind, Callable[[Order], None]] = {
    "study": arm.play,
    "comparison": system.play,
    "training": planners.play,
}

log = structlog.get_logger()


def main() -> None:
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    while True:
        answers.write(msgspec.json.encode(play(msgspec.json.decode(lines.get(), type=Order))) + b"\n")


def _listen(lines: queue.Queue[bytes]) -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


def play(order: Order) -> Answer:
    """Play an order in this process; how it ended is said, never raised."""
    began = time.monotonic()
    try:
        PLAYERS[order.kind](order)
    except BaseException as error:
        found = list(leaves(error))
        if any(isinstance(leaf, Interrupted | KeyboardInterrupt) for leaf in found):
            return Answer(error="interrupted", interrupted=True)
        expected = [leaf for leaf in found if isinstance(leaf, HarnessError)]
        if expected:
            return Answer(error=str(expected[0]))
        log.error("cell_failed", cell=order.directory, exc_info=error)
        return Answer(error=f"{type(found[0]).__name__}: {found[0]}")
    return Answer(seconds=time.monotonic() - began)


if __name__ == "__main__":
    main()
