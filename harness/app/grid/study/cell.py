"""What a study keeps of one of its runs, made from the run's log: ``result.json`` in the run directory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from harness.app.evaluation.answers import of_dialogues
from harness.app.evaluation.metrics import by_scenario, first_return, judge_success
from harness.app.evaluation.shares import shares_over_progress
from harness.app.evaluation.statistics import estimate
from harness.app.grid.cell import CellResult, write_result
from harness.app.grid.orders import Order
from harness.app.grid.study.plan import ArmCell
from harness.app.job.examination import known_readings
from harness.app.job.main_job import Extent, begin_or_go_on
from harness.app.job.summary import did_not_count, measures_of
from harness.app.settings.config import Config
from harness.app.setup.inputs import pool_digest, read_inputs
from harness.core.log import rundir
from harness.core.log.episode import Episode
from harness.core.log.loggedepisodes import read_episodes
from harness.core.log.rundigest import run_digest
from harness.core.messages import TRAIN, Struct
from learner.checkpoint import load_checkpoint, newest_checkpoint

CURVE_EPISODES = 48
"""Training episodes in one point of a learning curve."""


class Point(Struct, frozen=True, kw_only=True):
    """Means over `CURVE_EPISODES` training episodes; the last one may be of fewer."""

    episodes: int
    """Training episodes so far."""
    conv_sr: float | None
    """By the training judge, which alone reads training conversations."""
    mean_return: float | None
    mean_objective: float | None
    entropy: float | None


class ArmResult(CellResult, frozen=True, kw_only=True):
    """What a study needs of one run: the values of its last evaluation, scenario by scenario."""

    arm: str
    phase: str
    weights: str
    """Hash of the planner that was evaluated; empty where it has none."""
    seconds: float
    errors: int
    personas: dict[str, str]
    """Scenario id -> persona."""
    shares: list[dict[str, float]]
    """Strategy shares over conversation progress (Fig. 3)."""
    curve: tuple[Point, ...]


def play(order: Order) -> None:
    """The cell's run, or the rest of it, and its result."""
    cell, folder = msgspec.convert(order.cell, ArmCell), Path(order.directory)
    extent = Extent(limit=order.limit, base_urls=order.base_urls)
    silent = Console(file=io.StringIO())
    retry = did_not_count(folder)
    summary = begin_or_go_on(cell.resolved(), folder, silent, quiet=True, retry_failed=retry, extent=extent)
    write_result(folder, measure(cell, folder, summary.seconds, order.limit))


def measure(cell: ArmCell, folder: Path, seconds: float, limit: int | None = None) -> ArmResult:
    """From the log of a run and its newest checkpoint; of the first ``limit`` held-out scenarios (all, if None)."""
    config = cell.resolved()
    inputs = read_inputs(config)
    episodes = read_episodes(folder / rundir.EPISODES)
    phases = {episode.started.phase for episode in episodes}
    phase = next(name for name in ("rl", "warmup", "before") if name in phases)
    scenarios = [scenario.id for scenario in inputs.held_out[:limit]]
    found = [e for e in episodes if e.started.phase == phase and e.started.scenario.id in scenarios]
    gamma = config.rl.gamma
    measures = measures_of(config, inputs, of_dialogues(known_readings(folder), found)) | {
        "absorbing": lambda e: first_return(e, gamma, "absorbing"),
        "terminal": lambda e: first_return(e, gamma, "terminal"),
        "quit": lambda e: float(e.ended is not None and e.ended.stop == "quit"),
    }
    newest = newest_checkpoint(folder / rundir.CHECKPOINTS)
    trained = sorted((e for e in episodes if e.started.phase == TRAIN), key=lambda e: e.started.index)
    return ArmResult(
        arm=cell.arm,
        seed=cell.seed,
        phase=phase,
        digest=run_digest(episodes),
        scenarios=tuple(e.started.scenario.id for e in found),
        weights=load_checkpoint(newest).meta.weights_hash if newest else "",
        seconds=seconds,
        errors=sum(e.failed for e in episodes),
        values={name: by_scenario(found, value) for name, value in measures.items()},
        personas={e.started.scenario.id: e.started.scenario.persona.name for e in found},
        shares=shares_over_progress(found, inputs.strategies),
        curve=_curve(trained, config),
        pool=pool_digest(inputs.held_out),
    )


def _curve(trained: Sequence[Episode], config: Config) -> tuple[Point, ...]:
    points = []
    for start in range(0, len(trained), CURVE_EPISODES):
        part = [e for e in trained[start : start + CURVE_EPISODES] if not e.failed]
        chosen = [t.decision.entropy for e in part for t in e.transitions if t.decision is not None]
        points.append(
            Point(
                episodes=min(start + CURVE_EPISODES, len(trained)),
                conv_sr=_mean([judge_success(e) for e in part]),
                mean_return=_mean([first_return(e, config.rl.gamma, "literal") for e in part]),
                mean_objective=_mean([first_return(e, config.rl.gamma, config.rl.horizon) for e in part]),
                entropy=_mean(chosen),
            )
        )
    return tuple(points)


def _mean(values: Sequence[float | None]) -> float | None:
    return estimate(values).mean
