"""What is said or stops a run while it plays: a judge whose replies cannot be read, and models that write their
thoughts.

Counted in this sitting, so that a run may go on once the reason is gone. The figures of a whole phase are given at its
end (``harness.app.evaluation.readings``).
"""

from __future__ import annotations

from collections.abc import Callable

from harness.app.evaluation.readings import Readings, scores_of, why_missing
from harness.core.errors import RunStopped
from harness.core.messages import EpisodeStarted, Event, Score, Withdrawn

FIRST = 20
"""Judgements of one role without any reward after which the run stops."""


class Watch:
    """Sees every event of a sitting. ``say`` shows a sentence; ``mass_floor`` is ``reward.mass_floor``."""

    def __init__(self, say: Callable[[str], None], mass_floor: float) -> None:
        self._say = say
        self._mass_floor = mass_floor
        self._unread: dict[str, Readings] = {}
        self._readable: set[str] = set()
        self._thinks: set[str] = set()

    def saw(self, event: Event) -> None:
        """Raises `RunStopped` with the last of `FIRST` judgements of a role of which none gave a reward."""
        if isinstance(event, EpisodeStarted | Withdrawn):
            return
        for role, score in scores_of(event):
            self._judged(role, score)
        for role, usage in event.usage.items():
            if usage.thoughts and role not in self._thinks:
                self._thinks.add(role)
                self._say(f"{role}: the model writes down its thoughts; they are taken out and nothing reads them")

    def _judged(self, role: str, score: Score) -> None:
        if role in self._readable:
            return
        if score.reward is not None:
            self._readable.add(role)
            return
        found = self._unread[role] = self._unread.get(role, Readings()).with_score(score)
        if found.judgements >= FIRST:
            raise RunStopped(
                f"no reward could be read in the first {FIRST} judgements of {role}: {why_missing(score)}; "
                f"{self._advice(role, score)}"
            )

    def _advice(self, role: str, score: Score) -> str:
        other = f"name another model in roles.{role}"
        if score.label_mass is not None:
            return f'below reward.mass_floor = {self._mass_floor:g}; set reward.mode = "samples", or {other}'
        if "thought" in score.unread:
            return f"turn its thinking off at the server, or {other}"
        return f"{other} (`doctor` tells what this one's server can do)"
