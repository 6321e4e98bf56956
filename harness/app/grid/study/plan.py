"""A study file -> the runs to make: arm x seed.

A study names one experiment file; every arm changes keys of it (``set``), every seed trains and talks anew, and all
play the same held-out scenarios (``data.scenario_seed``). A cell is an ordinary run directory. Everything is resolved
and checked here, before a directory is made. Left out: playing cells (`cell`), what they show (`findings`).

An arm with ``search`` has a schedule that is looked for first, in the scripted world's workbench and on goals that no
cell is measured on: the best single strategy, or the best strategy a turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from harness.app.grid.axes import Axes, Seed, check_known, check_names, config_at, kept, read_grid_file
from harness.app.grid.cell import Cell
from harness.app.settings.config import Config, Name, settings
from harness.app.settings.configfile import config_from_tree, load_config
from harness.core.errors import ConfigError
from harness.core.messages import Struct

Search = Literal["", "strategy", "schedule"]
BUDGET_KEYS = frozenset({"rl.epochs", "rl.dialogues_per_epoch"})


class Design(Axes, frozen=True, kw_only=True):
    """``[study]``."""

    experiment: str
    """Experiment file, relative to the study file."""
    name: Name = "study"
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1)]
    scenarios: Annotated[int, Meta(ge=2, le=100_000)] = 200
    base: str
    """The arm that all others are compared with: the warm-up."""
    tested: str
    """The arm that the study is about: RL with the default settings."""
    bound: str = ""
    """The arm of a planner that is told what no planner can know: an upper bound. Printed is how far ``tested`` comes
    from ``base`` towards it."""


class Arm(Struct, frozen=True, kw_only=True):
    """``[arms.NAME]``."""

    title: str = ""
    set: tuple[str, ...] = ()
    search: Search = ""
    """``strategy``, ``schedule``: a fixed planner whose schedule is searched for."""
    seeds: tuple[Seed, ...] = ()
    """Fewer seeds than the study's, for an expensive arm."""


class StudyFile(Struct, frozen=True, kw_only=True):
    """The whole file."""

    study: Design
    arms: dict[str, Arm]


class ArmCell(Cell, frozen=True, kw_only=True):
    """One run; the config of an arm with ``search`` is without its schedule (see `with_schedule`)."""

    arm: str
    search: Search = ""

    @property
    def name(self) -> str:
        return f"{self.arm}.s{self.seed}"

    def dialogues(self, scenarios: int) -> tuple[int, int]:
        config = self.resolved()
        learns = config.learns and not self.search
        phases = [phase for phase in config.evaluation.phases if learns or phase == "before"]
        return scenarios * len(phases), config.training_episodes if learns else 0


class Plan(Struct, frozen=True, kw_only=True):
    """What a study will do."""

    file: StudyFile
    cells: tuple[ArmCell, ...]
    """By seed, then arm: a stopped study has about as many cells of every arm."""

    def title(self, arm: str) -> str:
        return self.file.arms[arm].title or arm

    def config(self, arm: str) -> Config:
        """The arm's settings, at its first seed."""
        return config_from_tree(next(cell.config for cell in self.cells if cell.arm == arm))

    @property
    def budgets(self) -> dict[int, str]:
        """Training episodes -> arm, of the tested arm and those that differ from it in their number alone."""
        tested = settings(self.config(self.file.study.tested))
        found = {}
        for arm in self.file.arms:
            own = settings(self.config(arm))
            if not self.file.arms[arm].search and {key for key in own if own[key] != tested[key]} <= BUDGET_KEYS:
                found[self.config(arm).training_episodes] = arm
        return dict(sorted(found.items()))


def read_plan(path: Path, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Plan:
    """Read, resolve and check a study file; `ConfigError` names the key, `InputError` the file.

    ``overrides``: ``study.key=value`` changes the study, any other key the experiment of every arm. ``only``: arms to
    keep; base and tested stay in any case.
    """
    file, shared = read_grid_file(path, "study", StudyFile, overrides)
    _check(file)
    design, folder = file.study, path.resolve().parent
    arms = kept(file.arms, only, (design.base, design.tested), "arm")
    base = load_config(folder / design.experiment, (*design.set, *shared))
    cells = tuple(
        ArmCell(arm=name, seed=seed, search=arm.search, config=_config(base, design, arm, seed, f"arms.{name}"))
        for seed in design.seeds
        for name, arm in arms.items()
        if not arm.seeds or seed in arm.seeds
    )
    design = msgspec.structs.replace(
        design, directory=str((folder / design.directory).resolve()), bound=design.bound if design.bound in arms else ""
    )
    return Plan(file=StudyFile(study=design, arms=arms), cells=cells)


def with_schedule(cell: ArmCell, schedules: Mapping[str, Sequence[str]]) -> ArmCell:
    """The cell; of an arm with ``search``, with the schedule that was found (search -> strategies)."""
    if not cell.search:
        return cell
    planner = {**cell.config["planner"], "kind": "fixed", "strategy": "", "schedule": list(schedules[cell.search])}
    return msgspec.structs.replace(cell, config={**cell.config, "planner": planner})


def _config(base: Config, design: Design, arm: Arm, seed: int, where: str) -> dict[str, Any]:
    config = config_at(base, design, seed, arm.set, where)
    models = {getattr(config.roles, role) for role in config.roles.__struct_fields__}
    scripted = all(config.models[name].backend == "scripted" for name in models)
    if (arm.search or config.planner.kind == "rule") and not scripted:
        raise ConfigError(f"{where}: hand rules and searched schedules belong to the scripted world")
    return dict(msgspec.to_builtins(config))


def _check(file: StudyFile) -> None:
    check_names(file.arms, "arms")
    for key in ("base", "tested", "bound"):
        if wanted := getattr(file.study, key):
            check_known(f"study.{key}", wanted, file.arms, "arm")
    for name, arm in file.arms.items():
        if other := set(arm.seeds) - set(file.study.seeds):
            raise ConfigError(f"arms.{name}.seeds: {min(other)} is none of study.seeds")
