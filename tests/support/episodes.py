"""Made-up episodes for tests: as a run would log them, with rewards and outcomes given by the test."""

from collections.abc import Sequence

from harness.core.messages import (
    Attribute,
    Decision,
    EpisodeEnded,
    EpisodeStarted,
    Event,
    Goal,
    Opening,
    Persona,
    Scenario,
    Score,
    SeekerReply,
    StopCause,
    Transition,
    Usage,
)

UNIFORM = tuple([1 / 13] * 13)


def scenario(name: str = "eval-0000") -> Scenario:
    return Scenario(
        id=name,
        persona=Persona(id="p", name="Pat", text="Pat likes films.", traits={"taste": "facts"}),
        goal=Goal(
            id=f"goal-{name}",
            attributes=(Attribute(kind="genre", value="crime"),),
            target="1",
            matches=("1", "2"),
        ),
    )


def started(episode: str, index: int, phase: str = "train", max_turns: int = 10) -> EpisodeStarted:
    return EpisodeStarted(
        episode=episode,
        phase=phase,
        index=index,
        policy_version=0,
        scenario=scenario(episode),
        seed=index,
        max_turns=max_turns,
    )


def transition(
    episode: str, turn: int, reward: float | None, stop: StopCause | None, strategy: int = 0, accepted: bool = False
) -> Transition:
    return Transition(
        episode=episode,
        turn=turn,
        decision=Decision(strategy="acknowledgment", index=strategy, probabilities=UNIFORM, policy_version=0),
        preferences="Wants: crime",
        facts=(),
        ranking=("2", "3", "1"),
        response=f"response {turn}",
        recommended=("2",),
        reply=SeekerReply(text=f"reply {turn}", accepted=accepted),
        score=Score(reward=reward, raw=(3,)),
        stop=stop,
        usage={"actor": Usage(calls=1, prompt_tokens=10, completion_tokens=5, cached_tokens=turn)},
        timing={"actor": 0.5},
    )


def events_of(
    episode: str,
    index: int,
    *,
    turns: int = 0,
    rewards: Sequence[float | None] = (),
    stop: StopCause = "turns",
    phase: str = "train",
) -> list[Event]:
    """A whole episode; give the number of turns, or a reward for each turn."""
    scores = list(rewards) or [0.5] * turns
    events: list[Event] = [started(episode, index, phase), Opening(episode=episode, text="Hello")]
    for turn, reward in enumerate(scores, start=1):
        events.append(transition(episode, turn, reward, stop if turn == len(scores) else None))
    events.append(EpisodeEnded(episode=episode, stop=stop, turns=len(scores)))
    return events
