"""Whether what was played counts: what failed, what could not be scored, and the reason that came first.

A run counts if every phase that is wholly played has a conversation that was scored, and if over the whole run no
larger share failed than `scheduler.fail_on_error` allows. Both are judged by the log alone, so that a resumed run comes
to the same end. (While it plays, the scheduler ends a run as soon as a share of what this sitting began is too large.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.app.evaluation.readings import scores_of, why_missing
from harness.core.errors import RunFailed
from harness.core.log.episode import Episode
from harness.core.messages import TRAIN, Event


def lost(episode: Episode) -> str:
    """Why a finished conversation gives no result, or only a part of one; empty where nothing is lost."""
    ended = episode.ended
    if ended is not None and ended.failure is not None:
        return ended.failure.message
    if all(reward is None for reward in episode.rewards):
        return f"no reward could be read{_why(next(iter(episode.transitions), None))}"
    if episode.started.phase != TRAIN and not _evaluated(episode):
        return f"the evaluator's reading could not be read{_why(ended)}"
    return ""


def _why(event: Event | None) -> str:
    reasons = [why_missing(score) for _, score in scores_of(event)] if event is not None else []
    return f" ({reasons[0]})" if reasons else ""


def _evaluated(episode: Episode) -> bool:
    reading = episode.ended.evaluation if episode.ended else None
    return reading is not None and reading.reward is not None


class _Phase:
    """Counts of one phase."""

    def __init__(self) -> None:
        self.finished = self.lost = self.failed = self.rewarded = self.evaluated = 0
        self.reasons: dict[str, str] = {}
        """The first reason for each of: a failure, a missing reward, a missing evaluation."""


class Outcomes:
    """Counts of how a run's finished conversations ended; the conversations are not kept."""

    def __init__(self, episodes: Iterable[Episode] = ()) -> None:
        self._phases: dict[str, _Phase] = {}
        for episode in episodes:
            self.add(episode)

    def add(self, episode: Episode) -> None:
        """Count one more finished conversation."""
        phase = self._phases.setdefault(episode.started.phase, _Phase())
        ended = episode.ended
        failed = ended is not None and ended.failure is not None
        rewarded = not episode.failed and any(reward is not None for reward in episode.rewards)
        evaluated = not episode.failed and _evaluated(episode)
        phase.finished += 1
        phase.failed += failed
        phase.rewarded += rewarded
        phase.evaluated += evaluated
        if reason := lost(episode):
            phase.lost += 1
            said = f"{episode.id}: {reason}"
            for kind, applies in (("failed", failed), ("reward", not rewarded), ("evaluation", not evaluated)):
                if applies:
                    phase.reasons.setdefault(kind, said)

    @property
    def lost(self) -> int:
        """Conversations that failed or could not be scored."""
        return sum(phase.lost for phase in self._phases.values())

    @property
    def losses(self) -> dict[str, tuple[int, int, str]]:
        """Phase -> (conversations that are lost, finished ones, the first reason)."""
        return {
            name: (phase.lost, phase.finished, next(iter(phase.reasons.values()), ""))
            for name, phase in self._phases.items()
        }

    @property
    def first_reason(self) -> str:
        """Of the conversations that are `lost`."""
        return next((reason for phase in self._phases.values() for reason in phase.reasons.values()), "")

    def finished(self, phase: str) -> int:
        """Finished conversations of a phase."""
        return self._phases[phase].finished if phase in self._phases else 0

    def all_played(self, wanted: Mapping[str, int]) -> bool:
        """Whether every phase has its conversations; ``wanted``: how many these are."""
        return all(self.finished(name) >= count for name, count in wanted.items())

    def unscored(self, name: str) -> str:
        """The sentence that says that nothing of a phase was scored; empty where something was."""
        phase = self._phases.get(name)
        if phase is None:
            return ""
        for kind, count, what in (
            ("reward", phase.rewarded, "has a reward"),
            ("evaluation", phase.evaluated, "was read by the evaluator"),
        ):
            if count == 0 and not (kind == "evaluation" and name == TRAIN):
                reason = phase.reasons.get("failed") or phase.reasons.get(kind, "")
                return f"none of the {phase.finished} conversations in phase {name} {what}; the first reason: {reason}"
        return ""

    def too_many(self, limit: float) -> str:
        """The sentence that says that more than ``limit`` of all conversations failed; empty where it holds."""
        phases = self._phases.values()
        failed, finished = sum(phase.failed for phase in phases), sum(phase.finished for phase in phases)
        if failed <= limit * finished:
            return ""
        first = next(phase.reasons["failed"] for phase in phases if "failed" in phase.reasons)
        return (
            f"{failed} of {finished} conversations of the run failed, more than scheduler.fail_on_error = {limit:g} "
            f"allows; the first: {first}"
        )

    def verdict(self, wanted: Mapping[str, int], limit: float) -> str:
        """Why a run does not count; empty where it does, or where it is not played far enough to say.

        Args:
            wanted: phase -> its conversations, all that the run has.
            limit: `scheduler.fail_on_error`.
        """
        whole = [name for name, count in wanted.items() if self.finished(name) >= count]
        reasons = [reason for name in whole if (reason := self.unscored(name))]
        if not reasons and self.all_played(wanted) and (reason := self.too_many(limit)):
            reasons.append(reason)
        return reasons[0] if reasons else ""

    def check(self, wanted: Mapping[str, int], limit: float) -> None:
        """`RunFailed` with the verdict where there is one."""
        if reason := self.verdict(wanted, limit):
            raise RunFailed(reason)
