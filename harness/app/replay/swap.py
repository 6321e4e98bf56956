"""`replay --swap ROLE=MODEL`: one expert is replaced, the others answer from the tape as long as their prompts match.

The replaced role is asked live; every other role answers from the tape. As soon as the new expert says something that
changes another role's prompt, that request is not on the tape and the episode has left the record: the turn and the
role are reported, and the episode is not played on, since what the others would have answered is not known. What
was reached until then is the same conversation with one expert changed.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.console.progress import Progress
from harness.app.job.stoppable import run_stoppable
from harness.app.replay.recorded_run import Outcome, RecordedRun, Unlogged, play_again
from harness.app.replay.rescore import JUDGES
from harness.app.settings.config import Config, Roles
from harness.app.setup.wiring import open_models
from harness.core.errors import InputError
from harness.core.log.episode import Episode
from harness.core.log.tape import NotRecorded
from harness.core.messages import Struct
from harness.core.seams import Served

SWAPPED = "the swapped expert"
"""Name under which the live model plays its one role; no config can use it (a blank is no part of a name)."""


class Fate(Struct, frozen=True, kw_only=True):
    """How far one episode stayed on the record."""

    episode: str
    left: int | None
    """The turn in which it left; None where it came to its end on the record."""
    by: str
    """Whose prompt no longer matched; empty where it never left."""
    changed_end: bool = False
    """It ended on the record, but at another turn or for another reason (a swapped judge)."""


def swap(
    run: RecordedRun, assignment: str, config: Config, folder: Path, console: Console, *, quiet: bool
) -> list[Fate]:
    """Print how many episodes left the record in which turn; ``config`` holds the new model."""
    role, equals, name = assignment.partition("=")
    known = run.config.roles_in_use
    if not equals or role not in known:
        raise InputError(f"--swap wants ROLE=MODEL with a role of {', '.join(known)}, not {assignment!r}")
    if name not in config.models:
        raise InputError(f"--swap: there is no [models.{name}]; known: {', '.join(sorted(config.models))}")
    if role in JUDGES and config.reward != run.config.reward:
        raise InputError("--swap keeps the run's [reward] settings; --rescore reads the dialogues with others")
    fates = _play(run, role, name, config, folder, Progress(console, quiet=quiet))
    for fate in fates:
        if fate.left is not None:
            console.print(
                Text(f"episode {fate.episode} left the record in turn {fate.left} ({fate.by})"), soft_wrap=True
            )
    console.print(fates_table(fates))
    return fates


def _play(run: RecordedRun, role: str, name: str, config: Config, folder: Path, progress: Progress) -> list[Fate]:
    fates: list[Fate] = []
    alone = msgspec.structs.replace(config, roles=Roles(**dict.fromkeys(Roles.__struct_fields__, name)))
    decoding = run.config.decoding
    if role not in JUDGES:
        decoding = msgspec.structs.replace(decoding, **{role: getattr(config.decoding, role)})
    roles = msgspec.structs.replace(run.config.roles, **{role: SWAPPED})
    settings = {**run.config.models, SWAPPED: config.models[name]}
    mixed = msgspec.structs.replace(run.config, models=settings, roles=roles, decoding=decoding)

    async def main(progress: Progress) -> None:
        async with open_models(alone, run.inputs, folder, progress) as live:
            models: dict[str, Served] = {**run.recorded_models(), SWAPPED: live[name]}
            await play_again(
                run, models, progress, lambda logged, outcome: fates.append(_fate(logged, outcome)), config=mixed
            )

    run_stoppable(lambda _: main(progress), progress, drain_s=0.0)
    order = {episode.id: place for place, episode in enumerate(run.episodes)}
    return sorted(fates, key=lambda fate: order[fate.episode])


def _fate(logged: Episode, outcome: Outcome) -> Fate:
    if isinstance(outcome, NotRecorded):
        return Fate(episode=logged.id, left=outcome.turn, by=outcome.role)
    before, now = logged.ended, outcome.ended
    if now is not None and now.failure is not None and now.failure.kind == Unlogged.kind:
        # The conversation goes on where the logged one had ended: the planner's next choice is not on record.
        return Fate(episode=logged.id, left=now.turns + 1, by="planner")
    changed = before is None or now is None or (before.stop, before.turns) != (now.stop, now.turns)
    return Fate(episode=logged.id, left=None, by="", changed_end=changed)


def fates_table(fates: list[Fate]) -> Table:
    """Episodes by the turn in which they left."""
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("left the record in turn")
    shown.add_column("episodes", justify="right")
    shown.add_column("share", justify="right")
    counts = Counter(fate.left for fate in fates if fate.left is not None)
    rows = [(str(turn), counts[turn]) for turn in sorted(counts)]
    stayed = [fate for fate in fates if fate.left is None]
    rows.append(("never", len(stayed)))
    rows.append(("  of these, ended otherwise than logged", sum(fate.changed_end for fate in stayed)))
    for title, count in rows:
        shown.add_row(title, str(count), f"{count / max(len(fates), 1):.2f}")
    return shown
