"""Episodes as a policy would log them in a tiny world: what it says is what the reward depends on, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core import seeds
from harness.core.log.episode import Episode, build
from harness.core.messages import (
    Decision,
    EpisodeEnded,
    EpisodeStarted,
    Event,
    Opening,
    Score,
    SeekerReply,
    State,
    StopCause,
    Transition,
    Turn,
)
from harness.core.seams import Policy
from support.episodes import scenario

MAX_TURNS = 4


def play(
    policy: Policy,
    strategies: Sequence[str],
    index: int,
    *,
    version: int = 0,
    good: int = 0,
    missing: Sequence[int] = (),
    error: bool = False,
) -> list[Event]:
    """Events of training episode ``index``: strategy number ``good`` is rewarded with .9, any other with .1.

    ``missing`` turns (from 1) have no reward; with ``error`` the episode breaks after turn 2.
    """
    name = f"train-{index}"
    events: list[Event] = [
        EpisodeStarted(
            episode=name,
            phase="train",
            index=index,
            policy_version=version,
            scenario=scenario(name),
            seed=index,
            max_turns=MAX_TURNS,
        ),
        Opening(episode=name, text=f"hello {index}"),
    ]
    state = State(episode=name, seed=index, max_turns=MAX_TURNS, opening=f"hello {index}")
    turns = 2 if error else MAX_TURNS - index % 2
    stop: StopCause = "error" if error else "turns" if turns == MAX_TURNS else "judge"
    for turn in range(1, turns + 1):
        probabilities = tuple(policy.distribution(state))
        chosen, below = 0, probabilities[0]
        while below <= seeds.uniform(index, turn) and chosen < len(strategies) - 1:
            chosen += 1
            below += probabilities[chosen]
        reward = None if turn in missing else 0.9 if chosen == good else 0.1
        reply = f"reply {turn} to {strategies[chosen]}"
        events.append(
            Transition(
                episode=name,
                turn=turn,
                decision=Decision(
                    strategy=strategies[chosen], index=chosen, probabilities=probabilities, policy_version=version
                ),
                preferences="",
                facts=(),
                ranking=(),
                response=f"response {turn}",
                recommended=("1",) if turn == 2 else (),
                reply=SeekerReply(text=reply),
                score=Score(reward=reward),
                stop=stop if turn == turns and not error else None,
            )
        )
        state = state.after(
            Turn(
                strategy=strategies[chosen],
                preferences="",
                response=f"response {turn}",
                recommended=("1",) if turn == 2 else (),
                reply=reply,
            )
        )
    events.append(EpisodeEnded(episode=name, stop=stop, turns=turns))
    return events


def episodes(policy: Policy, strategies: Sequence[str], indices: Sequence[int], **kinds: object) -> list[Episode]:
    return [build(play(policy, strategies, index, **kinds)) for index in indices]  # type: ignore[arg-type]
