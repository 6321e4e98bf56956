"""`replay --rescore JUDGE`: the logged dialogues under another judge, old and new reward side by side.

A judge is a role's prompt (``reward``: the last message's effect; ``evaluator``: the final state) read in a mode by a
model; mode and model come from the config given with the command. It reads every state after a turn that the log holds.
Nothing is played again, so the dialogues are those that the old judge let happen: where the new one would have ended a
conversation earlier or later is counted, not simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy import stats

from harness.app.console.progress import CONVERSATIONS, Progress
from harness.app.evaluation.scales import SHARE
from harness.app.evaluation.statistics import Estimate, paired_difference
from harness.app.evaluation.summary import mean_over_interval
from harness.app.job.stoppable import run_stoppable
from harness.app.replay.recorded_run import RecordedRun, for_each, with_players
from harness.app.settings.config import Config, Roles
from harness.app.setup.wiring import open_models
from harness.core.errors import ExpertError, InputError
from harness.core.log.episode import Episode
from harness.core.messages import Struct
from harness.core.seams import Judge, Served

JUDGES = ("reward", "evaluator")


class TwoRewards(Struct, frozen=True, kw_only=True):
    """One state's two rewards in [0, 1]; None where missing."""

    episode: str
    turn: int
    old: float | None
    new: float | None


class JudgesAgreement(Struct, frozen=True, kw_only=True):
    """How two judges' readings of the same states agree; statistics over the states that both could read."""

    states: int
    both: int
    old_missing: int
    new_missing: int
    old_mean: float
    new_mean: float
    difference: Estimate
    """New minus old, by episode."""
    absolute: float
    """Mean of |new - old|."""
    pearson: float | None
    """None where a judge gives one value to all states."""
    spearman: float | None
    same_side: float
    """Share of states on the same side of tau."""
    kappa: float | None
    """Cohen's, of being above tau."""
    stops_differ: int
    """Episodes whose first reward above tau comes at another turn, or not at all, under the new judge."""
    episodes: int


def rescore(
    run: RecordedRun, judge: str, config: Config, folder: Path, out: Path | None, console: Console, *, quiet: bool
) -> JudgesAgreement:
    """Print the agreement; with ``out``, write the readings there, one JSON object a line.

    ``config``: whose model plays ``judge`` and whose ``reward`` table says how it is read. ``folder``: for the logs of
    servers that are started.
    """
    if judge not in JUDGES:
        raise InputError(f"--rescore: {judge!r} is no judge; known: {', '.join(JUDGES)}")
    readings = _read(run, judge, config, folder, Progress(console, quiet=quiet))
    found = agreement(readings, run.config.reward.threshold)
    if out is not None:
        out.write_bytes(b"".join(msgspec.json.encode(reading) + b"\n" for reading in readings))
    console.print(
        Text(f"old: {_how(run.config, 'reward')}, as logged; new: {judge}, {_how(config, judge)}"), soft_wrap=True
    )
    console.print(agreement_table(found, run.config.reward.threshold))
    return found


def _how(config: Config, judge: str) -> str:
    """How a judge is read, and by which model."""
    if judge == "reward" and config.reward.distilled:
        return "a model distilled from another judge's scores"
    return f"{config.reward.mode}, {config.models[getattr(config.roles, judge)].model}"


def _read(run: RecordedRun, judge: str, config: Config, folder: Path, progress: Progress) -> list[TwoRewards]:
    readings: list[TwoRewards] = []
    model = getattr(config.roles, judge)
    # One model has all roles, so that no other server is started; only the judge is asked.
    alone = msgspec.structs.replace(config, roles=Roles(**dict.fromkeys(Roles.__struct_fields__, model)))

    async def main(progress: Progress) -> None:
        async with open_models(alone, run.inputs, folder, progress) as models:
            served: dict[str, Served] = dict(models)
            async with with_players(run, served, progress, config=alone) as players:
                progress.begin("rescore", len(run.episodes), unit=CONVERSATIONS)
                cast = players.cast(0, evaluating=True)
                reader = cast.evaluator if judge == "evaluator" and cast.evaluator else cast.judge
                await for_each(run.episodes, lambda episode: _score(episode, reader, readings, progress.ended))

    run_stoppable(lambda _: main(progress), progress, drain_s=0.0)
    order = {episode.id: place for place, episode in enumerate(run.episodes)}
    return sorted(readings, key=lambda reading: (order[reading.episode], reading.turn))


async def _score(
    episode: Episode, judge: Judge, readings: list[TwoRewards], ended: Callable[[float | None, bool], None]
) -> None:
    for transition, state in zip(episode.transitions, episode.states()[1:], strict=True):
        try:
            new = (await judge.score(state)).reward
        except ExpertError:
            new = None  # counted as missing, as an unreadable verdict is
        readings.append(TwoRewards(episode=episode.id, turn=transition.turn, old=transition.score.reward, new=new))
    ended(None, False)


def agreement(readings: Sequence[TwoRewards], tau: float) -> JudgesAgreement:
    """All statistics of a list of readings, in (episode, turn) order."""
    both = [reading for reading in readings if reading.old is not None and reading.new is not None]
    if not both:
        raise InputError("there is no state that both judges could read")
    old = np.array([reading.old for reading in both], dtype=float)
    new = np.array([reading.new for reading in both], dtype=float)
    above_old, above_new = old > tau, new > tau
    same = float((above_old == above_new).mean())
    chance = float(above_old.mean() * above_new.mean() + (1 - above_old.mean()) * (1 - above_new.mean()))
    varied = bool(np.ptp(old) > 0 and np.ptp(new) > 0)
    names = list(dict.fromkeys(reading.episode for reading in readings))
    old_stops, new_stops = _stops(readings, "old", tau), _stops(readings, "new", tau)
    return JudgesAgreement(
        states=len(readings),
        both=len(both),
        old_missing=sum(reading.old is None for reading in readings),
        new_missing=sum(reading.new is None for reading in readings),
        old_mean=float(old.mean()),
        new_mean=float(new.mean()),
        difference=paired_difference(_by_episode(both, "new"), _by_episode(both, "old"), SHARE),
        absolute=float(np.abs(new - old).mean()),
        pearson=float(stats.pearsonr(old, new).statistic) if varied else None,
        spearman=float(stats.spearmanr(old, new).statistic) if varied else None,
        same_side=same,
        kappa=(same - chance) / (1 - chance) if chance < 1 else None,
        stops_differ=sum(old_stops.get(name) != new_stops.get(name) for name in names),
        episodes=len(names),
    )


def _stops(readings: Sequence[TwoRewards], side: str, tau: float) -> dict[str, int]:
    """Episode -> the turn of its first reward above tau."""
    found: dict[str, int] = {}
    for reading in readings:
        value = getattr(reading, side)
        if value is not None and value > tau:
            found.setdefault(reading.episode, reading.turn)
    return found


def _by_episode(readings: Sequence[TwoRewards], side: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for reading in readings:
        values.setdefault(reading.episode, []).append(getattr(reading, side))
    return {name: sum(found) / len(found) for name, found in values.items()}


def agreement_table(found: JudgesAgreement, tau: float) -> Table:
    """The agreement as a table."""
    shown = Table(box=box.SIMPLE_HEAD)
    for title in ("", "old", "new"):
        shown.add_column(title, justify="left" if not title else "right")
    shown.add_row("mean reward", f"{found.old_mean:.3f}", f"{found.new_mean:.3f}")
    shown.add_row("missing", str(found.old_missing), str(found.new_missing))
    shown.add_section()
    shown.add_row(
        f"new - old, by episode (n {found.difference.n})", "", mean_over_interval(found.difference, signed=True)
    )
    shown.add_row(f"mean |new - old| over {found.both} of {found.states} states", "", f"{found.absolute:.3f}")
    shown.add_row("Pearson / Spearman", _number(found.pearson), _number(found.spearman))
    shown.add_row(f"same side of tau = {tau:g} / kappa", f"{found.same_side:.3f}", _number(found.kappa))
    shown.add_row("episodes that would stop at another turn", "", f"{found.stops_differ} of {found.episodes}")
    return shown


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
