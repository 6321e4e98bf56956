"""How many of a run's judgements could be read, by role, and why the others could not: counts over its log; pure.

Shares are of single readings, not means over them: a judge that can be read in every second turn only may still have a
good mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from harness.core.log.episode import Episode
from harness.core.messages import Decision, EpisodeEnded, Event, Score, Struct, Transition

HALF = 0.5
"""Label mass below which the model mostly wanted to say something else."""


class Readings(Struct, frozen=True, kw_only=True):
    """Of one role: ``reward``, ``evaluator``, or a prompted ``planner``, whose judgements are its choices."""

    judgements: int = 0
    missing: int = 0
    """Judgements without a reward."""
    label_reads: int = 0
    low_mass: int = 0
    """Label reads that gave no reward, since the labels' probability was below ``reward.mass_floor``."""
    half_mass: int = 0
    """Label reads whose labels have less than `HALF` of the probability, the former ones included."""
    samples: int = 0
    unread: int = 0
    """Samples that are no rating."""
    example: str = ""
    """The beginning of the first such sample."""

    def with_score(self, score: Score) -> Readings:
        """The counts with one more judgement."""
        read = score.label_mass is not None
        return replace(
            self,
            judgements=self.judgements + 1,
            missing=self.missing + (score.reward is None),
            label_reads=self.label_reads + read,
            low_mass=self.low_mass + (read and score.reward is None),
            half_mass=self.half_mass + _mostly_else(score.label_mass),
            # A label read that failed for another reason counts as unreadable samples.
            samples=self.samples + (0 if read else len(score.raw) + score.invalid),
            unread=self.unread + score.invalid,
            example=self.example or score.unread,
        )

    def with_decision(self, decision: Decision) -> Readings:
        """The counts with one more choice; one without a readable reply has failed its conversation instead."""
        return replace(
            self,
            judgements=self.judgements + 1,
            label_reads=self.label_reads + (decision.label_mass is not None),
            half_mass=self.half_mass + _mostly_else(decision.label_mass),
            samples=self.samples + decision.invalid,
            unread=self.unread + decision.invalid,
        )


def _mostly_else(mass: float | None) -> bool:
    return mass is not None and mass < HALF


def scores_of(event: Event) -> Iterator[tuple[str, Score]]:
    """(Role, judgement) of an event."""
    if isinstance(event, Transition):
        yield "reward", event.score
    elif isinstance(event, EpisodeEnded) and event.evaluation is not None:
        yield "evaluator", event.evaluation


def readings_of(episodes: Iterable[Episode]) -> dict[str, Readings]:
    """By role, over all episodes."""
    found: dict[str, Readings] = {}
    for episode in episodes:
        for transition in episode.transitions:
            decision = transition.decision
            if decision is not None and (decision.label_mass is not None or decision.invalid):
                found["planner"] = found.get("planner", Readings()).with_decision(decision)
        for event in episode.steps:
            for role, score in scores_of(event):
                found[role] = found.get(role, Readings()).with_score(score)
    return found


def why_missing(score: Score) -> str:
    """Why a judgement has no reward, as the end of a sentence."""
    if score.label_mass is not None:
        return f"the labels 1 to 5 have {score.label_mass:.2g} of its next token's probability"
    if score.unread:
        return f"{score.invalid} of its {score.invalid + len(score.raw)} samples are no rating, such as {score.unread}"
    if not score.invalid:
        return "too few samples"
    return f"{score.invalid} of its {score.invalid + len(score.raw)} samples could not be read"
