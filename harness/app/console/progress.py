"""What a run is doing right now: counts, rates, queues, shares and the last dialogue.

The run tells this object what happens (`begin`, `saw`, `turn`, `ended`, `advance`); `harness.app.console.show` draws it
at fixed times, so drawing never delays a conversation. Nothing here is a result: results come from the log.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.core.lane import Lane
from harness.core.messages import EpisodeEnded, Event, Struct, Transition

CONVERSATIONS = "conversations"
RECENT = 64
"""Finished episodes over which the running mean return is taken."""
TRACE = 240
"""Finished episodes that a sparkline looks back on."""


class LastTurn(Struct, frozen=True, kw_only=True):
    """The end of the dialogue that ended last; texts as the models wrote them."""

    episode: str
    stop: str
    turns: int
    strategy: str
    response: str
    reply: str


class Progress:
    """The state of a run's current phase."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self.changed = False
        self._lanes: tuple[Lane[Any, Any], ...] = ()
        self._last_turns: dict[str, Transition] = {}
        self.last_turn: LastTurn | None = None
        self.begin("starting", 0, unit="seconds")

    def begin(self, phase: str, total: int, done: int = 0, *, unit: str) -> None:
        """A new phase of ``total`` steps, some of them already done. ``unit`` is what it counts, in the plural."""
        self.phase, self.total, self.done, self.live, self.failed = phase, total, done, 0, 0
        self.unit = unit
        self._resumed_at = done
        self.turns = self.tokens = 0
        self.strategies: Counter[str] = Counter()
        self.returns: deque[float] = deque(maxlen=TRACE)
        self.entropies: deque[float] = deque(maxlen=TRACE * 4)
        self._since = time.monotonic()
        self.changed = True

    def watch(self, lanes: Iterable[Lane[Any, Any]]) -> None:
        """The lanes whose queues are to be shown from now on."""
        self._lanes = tuple(lanes)

    def advance(self, done: int, total: int) -> None:
        """Progress of a step that has no episodes; may be called from a worker thread."""
        self.done, self.total = done, total
        self.changed = True

    def waiting(self, what: str, seconds: float) -> None:
        """The run waits for something outside, such as a server that starts."""
        if what != self.phase:
            self.begin(what, 0, unit="seconds")
        self._since = time.monotonic() - seconds
        self.changed = True

    def turn(self) -> None:
        """One more turn was recorded."""
        self.turns += 1
        self.changed = True

    def saw(self, event: Event) -> None:
        """Take an event of the log: strategies, tokens and the last dialogue are shown from it."""
        if isinstance(event, Transition):
            self._last_turns[event.episode] = event
            if event.decision is not None:
                self.strategies[event.decision.strategy] += 1
                self.entropies.append(event.decision.entropy)
        elif isinstance(event, EpisodeEnded):
            last = self._last_turns.pop(event.episode, None)
            if last is not None:
                self.last_turn = LastTurn(
                    episode=event.episode,
                    stop=event.stop,
                    turns=event.turns,
                    strategy=last.decision.strategy if last.decision is not None else "",
                    response=last.response,
                    reply=last.reply.text,
                )
        for usage in getattr(event, "usage", {}).values():
            self.tokens += usage.prompt_tokens + usage.completion_tokens

    def ended(self, mean_return: float | None, failed: bool) -> None:
        """One more conversation has ended."""
        self.done += 1
        self.failed += failed
        if mean_return is not None:
            self.returns.append(mean_return)
        self.changed = True

    def say(self, text: str) -> None:
        """One line that stays."""
        if not self.quiet:
            self.console.print(Text(text))

    @property
    def elapsed_s(self) -> float:
        """Of the current phase."""
        return max(time.monotonic() - self._since, 1e-9)

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end of the phase at the present speed; None before the first step and after the last."""
        fresh = self.done - self._resumed_at
        if not self.total or fresh <= 0 or self.done >= self.total:
            return None
        return (self.total - self.done) * self.elapsed_s / fresh

    @property
    def mean_return(self) -> float | None:
        """Over the last `RECENT` episodes that have one."""
        recent = list(self.returns)[-RECENT:]
        return sum(recent) / len(recent) if recent else None

    def queues(self) -> list[tuple[str, int, int]]:
        """(lane, items that wait, items under way)."""
        found = []
        for lane in self._lanes:
            now = lane.statistics()
            found.append((lane.name, now.waiting, now.in_flight))
        return found

    def fields(self) -> list[str]:
        """The parts of the plain line."""
        elapsed = self.elapsed_s
        fields = [self.phase, f"{self.done}/{self.total} {self.unit}" if self.total else f"{elapsed:.0f} s"]
        if self.turns:
            fields += [f"{self.live} live", f"{self.turns / elapsed:.1f} turns/s"]
        if self.tokens:
            fields.append(f"{self.tokens / elapsed:,.0f} tokens/s")
        if self.mean_return is not None:
            fields.append(f"mean return {self.mean_return:.2f}")
        if self.failed:
            fields.append(f"{self.failed} failed")
        if self.eta_s is not None:
            fields.append(f"ETA {clock(self.eta_s)}")
        return fields


def clock(seconds: float) -> str:
    """``m:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
