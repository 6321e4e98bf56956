"""`replay --verify`: every episode again from the tape; any difference is named by episode, turn, role and field.

Two kinds of difference are found. A request that the tape does not hold: some prompt, seed or decoding has changed. An
event that differs from the logged one though all requests were the same: what is read from the replies, the retriever,
the stop rule or the accounting has changed. Times and cache luck are not compared, as in the run's digest.

An episode that failed in mid-turn is compared up to that turn, since the log does not hold the planner's choice in it;
one that ended by a bug has no recorded end to compare with, and is counted apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from harness.app.console.progress import Progress
from harness.app.job.stoppable import run_stoppable
from harness.app.replay.recorded_run import Outcome, RecordedRun, Unlogged, play_again
from harness.core.errors import CheckFailed
from harness.core.log.codec import encode_event
from harness.core.log.episode import Episode
from harness.core.log.rundigest import run_digest
from harness.core.log.tape import NotRecorded
from harness.core.messages import EpisodeEnded, Event, Struct
from harness.core.sections import one_line

SHOWN = 20
"""Differences that are printed; the rest is counted."""

_ROLE_OF = {
    "decision": "planner",
    "preferences": "preference_reasoner",
    "facts": "fact_retriever",
    "ranking": "fact_retriever",
    "response": "actor",
    "recommended": "actor",
    "persuasion": "persuader",
    "reply": "seeker",
    "text": "seeker",
    "feelings": "seeker",
    "score": "reward",
    "evaluation": "evaluator",
}
_CLOCK = frozenset({"timing", "cached_tokens"})


class Divergence(Struct, frozen=True, kw_only=True):
    """The first place where an episode played again is not the logged one."""

    episode: str
    turn: int
    role: str
    field: str


class Verified(Struct, frozen=True, kw_only=True):
    """What came of all episodes."""

    episodes: int
    turns: int
    divergences: tuple[Divergence, ...]
    failed_midway: int
    """Compared up to the turn in which they failed."""
    bugs: int
    """Ended by a bug: not compared."""
    digest: str
    """Of the episodes played again; empty where not all could be."""


def verify(run: RecordedRun, console: Console, *, quiet: bool) -> Verified:
    """Print the result; `CheckFailed` if anything differs."""
    result = verified(run, Progress(console, quiet=quiet))
    for divergence in result.divergences[:SHOWN]:
        where = f"episode {divergence.episode}, turn {divergence.turn}, {divergence.role}"
        console.print(Text(f"{where}: {divergence.field}"), soft_wrap=True)
    if len(result.divergences) > SHOWN:
        console.print(Text(f"... and {len(result.divergences) - SHOWN} more"))
    console.print(
        Text(
            f"{result.episodes} episodes, {result.turns} turns played again from the tape: "
            f"{len(result.divergences)} differ; {result.failed_midway} failed in mid-turn and were compared up to it, "
            f"{result.bugs} ended by a bug and were not compared"
        ),
        soft_wrap=True,
    )
    if result.divergences:
        raise CheckFailed(f"{len(result.divergences)} of {result.episodes} episodes of {run.folder} are not reproduced")
    if result.digest:
        console.print(Text(f"digest {result.digest}, as logged"))
    return result


def verified(run: RecordedRun, progress: Progress) -> Verified:
    """Play all episodes again and compare."""
    found: list[Divergence] = []
    counts = {"midway": 0, "bugs": 0}

    def seen(logged: Episode, outcome: Outcome) -> None:
        ended = logged.ended
        if ended is not None and ended.failure is not None and ended.failure.kind == "bug":
            counts["bugs"] += 1
            return
        divergence = compare(logged, outcome)
        counts["midway"] += _unlogged(outcome) if isinstance(outcome, Episode) else divergence is None
        if divergence is not None:
            found.append(divergence)

    async def main(progress: Progress) -> None:
        await play_again(run, run.recorded_models(), progress, seen)

    run_stoppable(lambda _: main(progress), progress, drain_s=0.0)
    order = {episode.id: place for place, episode in enumerate(run.episodes)}
    whole = not found and not counts["midway"] and not counts["bugs"]
    # Events that do not differ in what the digest covers have the digest of the logged ones.
    digest = run_digest(run.episodes) if whole else ""
    return Verified(
        episodes=len(run.episodes),
        turns=sum(len(episode.transitions) for episode in run.episodes),
        divergences=tuple(sorted(found, key=lambda divergence: order[divergence.episode])),
        failed_midway=counts["midway"],
        bugs=counts["bugs"],
        digest=digest,
    )


def compare(logged: Episode, outcome: Outcome) -> Divergence | None:
    """The first difference, or None."""
    if isinstance(outcome, NotRecorded):
        if _failed_in(logged, outcome.turn):
            # The turn that failed: how far its calls got depended on the clock.
            return None
        return Divergence(episode=logged.id, turn=outcome.turn, role=outcome.role, field=outcome.field)
    before, now = logged.events, outcome.events
    for old, new in zip(before, now, strict=False):
        if _unlogged(outcome) and isinstance(new, EpisodeEnded) and _failed_in(logged, new.turns + 1):
            return None
        turn = getattr(old, "turn", None)
        place = turn if turn is not None else old.turns if isinstance(old, EpisodeEnded) else 0
        if type(old) is not type(new):
            kinds = f"{type(new).__name__} where the log has {type(old).__name__}"
            return Divergence(episode=logged.id, turn=place, role="conversation", field=kinds)
        for path, was, is_ in differences(_timeless(old), _timeless(new)):
            field = f"{path} is {_shown(is_)}, logged was {_shown(was)}"
            return Divergence(episode=logged.id, turn=place, role=_role(path), field=field)
    if len(before) != len(now):
        field = f"{len(now)} events where the log has {len(before)}"
        return Divergence(episode=logged.id, turn=len(logged.transitions), role="conversation", field=field)
    return None


def differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted path, old, new) of every leaf that differs between two trees, in the order of the fields."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            yield from differences(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from differences(old, new, f"{path}[{number}]")
    elif before != now:
        yield path, before, now


def _unlogged(episode: Episode) -> bool:
    failure = episode.ended.failure if episode.ended else None
    return failure is not None and failure.kind == Unlogged.kind


def _failed_in(logged: Episode, turn: int) -> bool:
    failure = logged.ended.failure if logged.ended else None
    return failure is not None and logged.failed and failure.turn == turn


def _timeless(event: Event) -> Any:
    return _without_clock(msgspec.json.decode(encode_event(event)))


def _without_clock(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_clock(value) for key, value in tree.items() if key not in _CLOCK}
    if isinstance(tree, list):
        return [_without_clock(value) for value in tree]
    return tree


def _role(path: str) -> str:
    first, _, rest = path.partition(".")
    if first == "usage":
        return rest.partition(".")[0]
    return _ROLE_OF.get(first.partition("[")[0], "conversation")


def _shown(value: Any) -> str:
    text = one_line(value if isinstance(value, str) else msgspec.json.encode(value).decode("utf-8", "replace"))
    return text if len(text) <= 120 else text[:119] + "…"
