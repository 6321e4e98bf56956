"""One conversation: Algorithm 1 of the paper as one function.

The conversation knows the seams only (`Recommender`, `Seeker`, `Judge`); which experts, baselines or people are behind
them is decided in `harness.app.setup.wiring`. It records every event before anything learns from it, and turns an
expert's failure into a censored episode: counted, never scored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from harness.core.errors import ExpertError
from harness.core.messages import (
    EpisodeEnded,
    EpisodeStarted,
    Event,
    Failure,
    Opening,
    RecommenderTurn,
    Score,
    SeekerReply,
    State,
    StopCause,
    Struct,
    Transition,
    Turn,
    Usage,
)
from harness.core.seams import Judge, Recommender, Seeker

STILL_LOOKING = "I am still looking."
"""How a reply begins where the harness knows that the target was not found (``within`` of `converse`)."""
Spent = tuple[dict[str, Usage], dict[str, float]]
"""Usage and seconds by role since it was last asked."""


class Cast(Struct, frozen=True, kw_only=True):
    """Who plays in a conversation."""

    recommender: Recommender
    seeker: Seeker
    judge: Judge
    evaluator: Judge | None = None
    """Reads the final state of evaluation episodes (decision 9)."""


async def converse(
    job: EpisodeStarted,
    cast: Cast,
    *,
    threshold: float,
    record: Callable[[Event], Awaitable[None]],
    spent: Callable[[str], Spent],
    within: int = 0,
) -> EpisodeEnded:
    """Play one scenario to its end (Algorithm 1).

    Args:
        job: the episode to play; recorded as its first event.
        cast: the players.
        threshold: tau in [0,1]; a reward above it ends the conversation as a success (decision 8).
        record: makes an event part of the log.
        spent: what the episode's model calls have used since the last call.
        within: 0, or the harness decides instead of judge and seeker: the conversation is a success as soon as the
            goal's target is among so many first films of a ranking, and until then each reply begins with
            `STILL_LOOKING`.

    Returns:
        The recorded end. An `ExpertError` becomes ``stop="error"``; anything else passes through.
    """
    await record(job)
    state = State(episode=job.episode, seed=job.seed, max_turns=job.max_turns)
    evaluation: Score | None = None
    failure: Failure | None = None
    stop: StopCause | None = None
    played = 0
    try:
        opening = await cast.seeker.reply(job.scenario, state)
        state = msgspec.structs.replace(state, opening=opening.text)
        usage, timing = spent(job.episode)
        await record(
            Opening(episode=job.episode, text=opening.text, feelings=opening.feelings, usage=usage, timing=timing)
        )
        while stop is None:
            turn = state.turn
            move = await cast.recommender.respond(state)
            asked = state.after(_turn(move))
            reply = await cast.seeker.reply(job.scenario, asked)
            found = job.scenario.goal.target in move.ranking[:within]
            if within and not found:
                reply = msgspec.structs.replace(reply, text=f"{STILL_LOOKING} {reply.text}")
            state = asked.answered(reply.text)
            score = await cast.judge.score(state)
            if within:
                stop = "target" if found else "turns" if turn >= job.max_turns else None
            else:
                stop = stop_cause(score, reply, turn, job.max_turns, threshold)
            usage, timing = spent(job.episode)
            await record(_transition(job.episode, turn, move, reply, score, stop, usage, timing))
            played = turn
        if cast.evaluator is not None:
            evaluation = await cast.evaluator.score(state)
    except ExpertError as error:
        failure = Failure(kind=error.kind, message=str(error), turn=played if stop else played + 1)
        # Only the evaluator failed: the finished dialogue keeps its result, and the evaluator's reading is missing.
        stop = stop or "error"
    usage, timing = spent(job.episode)
    ended = EpisodeEnded(
        episode=job.episode,
        stop=stop,
        turns=played,
        evaluation=evaluation,
        failure=failure,
        usage=usage,
        timing=timing,
    )
    await record(ended)
    return ended


def stop_cause(score: Score, reply: SeekerReply, turn: int, max_turns: int, threshold: float) -> StopCause | None:
    """Why a conversation ends after this turn (decision 8).

    Args:
        score: the judge's reading after the turn.
        reply: the seeker's reply in the turn.
        turn: index of the turn, from 1.
        max_turns: T_max.
        threshold: tau in [0, 1]; a reward above it is a success.

    Returns:
        The cause, or None where the conversation goes on. The judge's reading comes before the seeker's own ending.
    """
    if score.reward is not None and score.reward > threshold:
        return "judge"
    if reply.accepted:
        return "user"
    if reply.quit:
        return "quit"
    return "turns" if turn >= max_turns else None


def _turn(move: RecommenderTurn) -> Turn:
    return Turn(
        strategy=move.decision.strategy if move.decision else None,
        preferences=move.preferences,
        response=move.response,
        recommended=move.recommended,
        persuasion=move.persuasion,
        facts=move.facts,
    )


def _transition(
    episode: str,
    turn: int,
    move: RecommenderTurn,
    reply: SeekerReply,
    score: Score,
    stop: StopCause | None,
    usage: dict[str, Usage],
    timing: dict[str, float],
) -> Transition:
    return Transition(
        episode=episode,
        turn=turn,
        decision=move.decision,
        preferences=move.preferences,
        facts=move.facts,
        ranking=move.ranking,
        response=move.response,
        recommended=move.recommended,
        reply=reply,
        score=score,
        stop=stop,
        usage=usage,
        timing=timing,
        persuasion=move.persuasion,
    )
