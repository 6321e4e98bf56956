"""What an engine gets and gives: orders and answers as plain values, and the queue that says which order is next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import trio

from harness.app.grid.cell import Cell
from harness.core.messages import Struct

Kind = Literal["study", "comparison", "training"]


class Order(Struct, frozen=True, kw_only=True):
    """A cell, or a training that cells wait for, to be played by some process."""

    kind: Kind
    name: str
    directory: str
    cell: dict[str, Any]
    """The cell as plain values."""
    limit: int | None = None
    """Only the first so many held-out scenarios; None: all."""
    base_urls: dict[str, str] = {}
    """Model -> server that runs already; the others are started by whoever plays the order."""
    after: str = ""
    """Name of the order that must be done first."""


class Answer(Struct, frozen=True, kw_only=True):
    """How it ended: an error is one sentence, none where the cell has its result."""

    seconds: float = 0.0
    error: str = ""
    interrupted: bool = False


def order_for(kind: Kind, cell: Cell, directory: Path, *, limit: int | None, after: str = "") -> Order:
    """The order to play a cell in its directory."""
    place, values = str(directory.resolve()), msgspec.to_builtins(cell)
    return Order(kind=kind, name=cell.name, directory=place, cell=values, limit=limit, after=after)


Done = Callable[[Order, Answer], None]


class Engine(Protocol):
    """Who plays orders: processes of this machine (`engine.LocalEngine`)."""

    async def work(self, orders: Sequence[Order], done: Done) -> None:
        """Play all orders; ``done`` hears of each. After `stop` no further one begins, and all have ended."""
        ...

    def stop(self, signal_number: int) -> None:
        """Ask everything that is being played to stop, as that signal asks a run."""
        ...


class Queue:
    """Orders in their order, each when the one that it waits for has ended well."""

    def __init__(self, orders: Sequence[Order], done: Done) -> None:
        self._waiting = list(orders)
        self._open = {order.name for order in orders}
        self._done = done
        self._changed = trio.Event()

    async def next(self) -> Order | None:
        """The next order that may begin; None where none is left."""
        while self._waiting:
            for order in self._waiting:
                if order.after not in self._open:
                    self._waiting.remove(order)
                    return order
            await self._changed.wait()
        return None

    def ended(self, order: Order, answer: Answer) -> None:
        """Report an order's end; where it failed, the orders that wait for it fail too."""
        self._open.discard(order.name)
        self._done(order, answer)
        lost = [other for other in self._waiting if other.after == order.name and (answer.error or answer.interrupted)]
        for other in lost:
            self._waiting.remove(other)
            why = f"what it plays with was not trained: {answer.error}"
            self.ended(other, Answer(error=why, interrupted=answer.interrupted))
        self._wake()

    def close(self) -> None:
        """Nothing further begins."""
        self._waiting.clear()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
