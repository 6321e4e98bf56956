"""One episode built from its events, and the states in which its decisions were taken.

The log stores what each turn added. The state s_t is computed from the events before turn t (`Episode.states`).
Learner, evaluation, replay and report read episodes through this module.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.messages import (
    EpisodeEnded,
    EpisodeStarted,
    Event,
    Opening,
    State,
    Struct,
    Transition,
    Turn,
    Withdrawn,
)


class Episode(Struct, frozen=True, kw_only=True):
    """The events of one episode so far; ``ended`` is None while it runs."""

    started: EpisodeStarted
    opening: Opening | None = None
    transitions: tuple[Transition, ...] = ()
    ended: EpisodeEnded | None = None

    @property
    def id(self) -> str:
        return self.started.episode

    @property
    def failed(self) -> bool:
        """Whether it gives no result: it ended in an error, or did not end."""
        return self.ended is None or self.ended.stop == "error"

    @property
    def steps(self) -> tuple[Opening | Transition | EpisodeEnded, ...]:
        """The events after its start, in order; only these cost calls and seconds."""
        return tuple(event for event in (self.opening, *self.transitions, self.ended) if event is not None)

    @property
    def events(self) -> tuple[Event, ...]:
        """All its events, in order."""
        return (self.started, *self.steps)

    @property
    def rewards(self) -> tuple[float | None, ...]:
        """r_1..r_T in [0,1]; None where the judge's reading is missing."""
        return tuple(transition.score.reward for transition in self.transitions)

    def states(self) -> tuple[State, ...]:
        """s_1..s_{T+1}: the state before each transition, and the final one."""
        state = State(
            episode=self.started.episode,
            seed=self.started.seed,
            max_turns=self.started.max_turns,
            opening=self.opening.text if self.opening else "",
        )
        states = [state]
        for transition in self.transitions:
            state = state.after(played(transition))
            states.append(state)
        return tuple(states)


def played(transition: Transition) -> Turn:
    """A transition as the turn that later states remember."""
    return Turn(
        strategy=transition.decision.strategy if transition.decision else None,
        preferences=transition.preferences,
        response=transition.response,
        recommended=transition.recommended,
        reply=transition.reply.text,
        persuasion=transition.persuasion,
        facts=transition.facts,
    )


class Assembler:
    """Builds episodes from events in log order; a second `EpisodeStarted` of an id drops the unfinished attempt."""

    def __init__(self) -> None:
        self._open: dict[str, list[Event]] = {}

    def add(self, event: Event) -> Episode | None:
        """Add one event; returns the episode if this event ends it, otherwise None."""
        match event:
            case EpisodeStarted():
                self._open[event.episode] = [event]
            case EpisodeEnded():
                return build([*self._open.pop(event.episode), event])
            case Withdrawn():
                pass  # of finished episodes: the caller that keeps them drops them
            case _:
                self._open[event.episode].append(event)
        return None

    def is_open(self, episode: str) -> bool:
        """Whether the episode has started and not ended."""
        return episode in self._open


def build(events: Iterable[Event]) -> Episode:
    """One episode from its events, the first an `EpisodeStarted`."""
    started: EpisodeStarted | None = None
    opening: Opening | None = None
    ended: EpisodeEnded | None = None
    transitions: list[Transition] = []
    for event in events:
        match event:
            case EpisodeStarted():
                started = event
            case Opening():
                opening = event
            case Transition():
                transitions.append(event)
            case EpisodeEnded():
                ended = event
    if started is None:
        raise ValueError("an episode's events begin with EpisodeStarted")
    return Episode(started=started, opening=opening, transitions=tuple(transitions), ended=ended)
