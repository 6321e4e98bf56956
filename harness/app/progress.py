"""What a run shows while it works: one live line on a terminal, plain lines elsewhere.

The run tells this object what happens (`begin`, `turn`, `ended`, `advance`); one task draws it at the clock's pace, so
drawing never holds up a conversation. Model text never appears here.
"""

from __future__ import annotations

import time
from collections import deque

import trio
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

TERMINAL_S, PLAIN_S = 0.25, 5.0
"""Seconds between two drawings."""
RECENT = 64
"""Finished episodes over which the running mean return is taken."""


class Progress:
    """The state of a run in a line."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console = console
        self._quiet = quiet
        self._changed = False
        self.begin("starting", 0)

    def begin(self, phase: str, total: int, done: int = 0) -> None:
        """A new phase of ``total`` steps (episodes, texts, epochs), some of them already done."""
        self.phase, self.total, self.done, self.live, self.failed = phase, total, done, 0, 0
        self._resumed_at = done
        self._turns = 0
        self._returns: deque[float] = deque(maxlen=RECENT)
        self._since = time.monotonic()
        self._changed = True

    def advance(self, done: int, total: int) -> None:
        """Where a step that is not made of episodes has got to; may be called from a worker thread."""
        self.done, self.total = done, total
        self._changed = True

    def waiting(self, what: str, seconds: float) -> None:
        """Something outside takes its time (a server that starts)."""
        if what != self.phase:
            self.begin(what, 0)
        self._since = time.monotonic() - seconds
        self._changed = True

    def turn(self) -> None:
        """One more turn was recorded."""
        self._turns += 1
        self._changed = True

    def ended(self, mean_return: float | None, failed: bool) -> None:
        """One more conversation has ended."""
        self.done += 1
        self.failed += failed
        if mean_return is not None:
            self._returns.append(mean_return)
        self._changed = True

    def say(self, text: str) -> None:
        """One line that stays."""
        if not self._quiet:
            self.console.print(Text(text))

    async def show(self) -> None:
        """Draw until cancelled."""
        if self._quiet:
            await trio.sleep_forever()
        if not self.console.is_terminal:
            while True:
                await trio.sleep(PLAIN_S)
                if self._changed:
                    self._changed = False
                    self.console.print(Text(" | ".join(self._fields())), soft_wrap=True)
        with Live(console=self.console, refresh_per_second=1 / TERMINAL_S, transient=True) as live:
            while True:
                live.update(self._row())
                await trio.sleep(TERMINAL_S)

    def _fields(self) -> list[str]:
        elapsed = max(time.monotonic() - self._since, 1e-9)
        fields = [self.phase, f"{self.done}/{self.total}" if self.total else f"{elapsed:.0f} s"]
        if self._turns:
            fields += [f"live {self.live}", f"{self._turns / elapsed:.1f} turns/s"]
        if self._returns:
            fields.append(f"mean return {sum(self._returns) / len(self._returns):.2f}")
        if self.failed:
            fields.append(f"failed {self.failed}")
        fresh = self.done - self._resumed_at
        if self.total and fresh > 0 and self.done < self.total:
            fields.append(f"ETA {_clock((self.total - self.done) * elapsed / fresh)}")
        return fields

    def _row(self) -> Table:
        row = Table.grid(padding=(0, 2))
        row.add_row(*(Text(field, style="bold" if n == 0 else "") for n, field in enumerate(self._fields())))
        return row


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
