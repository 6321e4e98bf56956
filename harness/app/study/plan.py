"""A study file -> the runs to make: arm x seed.

A study names one experiment file; every arm changes keys of it (``set``), every seed trains and talks anew, and all
play the same held-out scenarios (``data.scenario_seed``). A cell is an ordinary run directory. Everything is resolved
and checked here, before a directory is made. Left out: playing cells (`cell`), what they show (`findings`).

An arm with ``search`` has a schedule that is looked for first, in the scripted world's workbench and on goals that no
cell is measured on: the best single strategy, or the best strategy a turn.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from harness.app.settings.config import Config, Name, settings
from harness.app.settings.configfile import config_from_tree, load_config, overridden
from harness.app.settings.tomlfile import converted, read_toml
from harness.core.errors import ConfigError, InputError
from harness.core.messages import Struct

Seed = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Search = Literal["", "strategy", "schedule"]
BUDGET_KEYS = frozenset({"rl.epochs", "rl.dialogues_per_epoch"})


class Design(Struct, frozen=True, kw_only=True):
    """``[study]``."""

    experiment: str
    """Experiment file, relative to the study file."""
    name: Name = "study"
    directory: str = "../runs"
    """Where directories of studies are made, relative to the study file."""
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1)]
    scenarios: Annotated[int, Meta(ge=2, le=100_000)] = 200
    scenario_seed: Seed = 0
    """Draws goals and personas, once for all arms and seeds."""
    base: str
    """The arm that all others are compared with: the warm-up."""
    tested: str
    """The arm that the study is about: RL with the default settings."""
    bound: str = ""
    """The arm of a planner that knows what no planner can; how far ``tested`` gets from ``base`` to it is printed."""
    processes: Annotated[int, Meta(ge=1, le=64)] = 2
    """Cells that are played side by side."""
    set: tuple[str, ...] = ()
    """``key=value`` overrides of the experiment for all arms; paths in them are relative to the current folder."""


class Arm(Struct, frozen=True, kw_only=True):
    """``[arms.NAME]``."""

    title: str = ""
    set: tuple[str, ...] = ()
    search: Search = ""
    """``strategy``, ``schedule``: a fixed planner whose schedule is searched for."""
    seeds: tuple[Seed, ...] = ()
    """Fewer seeds than the study's, for what costs much."""


class StudyFile(Struct, frozen=True, kw_only=True):
    """The whole file."""

    study: Design
    arms: dict[str, Arm]


class Cell(Struct, frozen=True, kw_only=True):
    """One run."""

    arm: str
    seed: int
    search: Search
    config: dict[str, Any]
    """The resolved experiment; of an arm with ``search`` without its schedule (see `with_schedule`)."""

    @property
    def name(self) -> str:
        """Its directory's."""
        return f"{self.arm}.s{self.seed}"


class Plan(Struct, frozen=True, kw_only=True):
    """What a study will do."""

    file: StudyFile
    cells: tuple[Cell, ...]
    """By seed, then arm: whatever a stopped study has finished is balanced over the arms."""

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
    own = [text for text in overrides if text.startswith("study.")]
    shared = [text for text in overrides if not text.startswith("study.")]
    file = _read_file(path, own)
    unknown = [name for name in only if name not in file.arms]
    if unknown:
        raise InputError(f"--only {unknown[0]}: there is no such arm; known: {', '.join(file.arms)}")
    design, folder = file.study, path.resolve().parent
    kept = {n: arm for n, arm in file.arms.items() if not only or n in (*only, design.base, design.tested)}
    base = load_config(folder / design.experiment, (*design.set, *shared))
    cells = tuple(
        Cell(arm=name, seed=seed, search=arm.search, config=_config(base, design, arm, seed, f"arms.{name}"))
        for seed in design.seeds
        for name, arm in kept.items()
        if not arm.seeds or seed in arm.seeds
    )
    design = msgspec.structs.replace(
        design, directory=str((folder / design.directory).resolve()), bound=design.bound if design.bound in kept else ""
    )
    return Plan(file=StudyFile(study=design, arms=kept), cells=cells)


def with_schedule(cell: Cell, schedules: Mapping[str, Sequence[str]]) -> Config:
    """A cell's config; of an arm with ``search``, with the schedule that was found (search -> strategies)."""
    if not cell.search:
        return config_from_tree(cell.config)
    planner = {**cell.config["planner"], "kind": "fixed", "strategy": "", "schedule": list(schedules[cell.search])}
    return config_from_tree({**cell.config, "planner": planner})


def _config(base: Config, design: Design, arm: Arm, seed: int, where: str) -> dict[str, Any]:
    tree = overridden(msgspec.to_builtins(base), arm.set)
    tree["run"] |= {"seed": seed}
    tree["data"] |= {"scenario_seed": design.scenario_seed}
    tree["evaluation"] |= {"dialogues": design.scenarios}
    try:
        config = config_from_tree(tree)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    models = {getattr(config.roles, role) for role in config.roles.__struct_fields__}
    scripted = all(config.models[name].backend == "scripted" for name in models)
    if (arm.search or config.planner.kind == "rule") and not scripted:
        raise ConfigError(f"{where}: hand rules and searched schedules belong to the scripted world")
    return dict(msgspec.to_builtins(config))


def _read_file(path: Path, overrides: Sequence[str]) -> StudyFile:
    tree = read_toml(path, "study file")
    if "study" not in tree:
        raise ConfigError(f"{path} has no [study]: is it an experiment file? `run` plays those")
    file = converted(overridden(tree, overrides), StudyFile, str(path))
    for name in file.arms:
        if not name.replace("_", "").replace("-", "").isalnum():
            raise ConfigError(f"{name!r}: names of arms are letters, digits, _ and -")
    for key in ("base", "tested", "bound"):
        wanted = getattr(file.study, key)
        if wanted and wanted not in file.arms:
            near = difflib.get_close_matches(wanted, file.arms, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(file.arms)}"
            raise ConfigError(f"study.{key}: there is no arm {wanted!r}; {hint}")
    if len(set(file.study.seeds)) < len(file.study.seeds):
        raise ConfigError("study.seeds: a seed is named twice")
    for name, arm in file.arms.items():
        if other := set(arm.seeds) - set(file.study.seeds):
            raise ConfigError(f"arms.{name}.seeds: {min(other)} is none of study.seeds")
    return file
