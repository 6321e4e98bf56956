"""A comparison file -> the cells to play: system x model x dataset x seed.

A comparison names experiment files instead of repeating them: each ``[datasets.NAME]`` is one (its data, models, roles
and settings), ``[comparison] set`` and each system's ``set`` change keys of it. Everything is resolved and checked
here, before a directory is made or a model is called. Left out: playing cells (`cell`), training planners (`planners`).
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from harness.app.settings.config import Config, Name, operational, settings
from harness.app.settings.configfile import config_from_tree, load_config, overridden
from harness.app.settings.tomlfile import converted, read_toml
from harness.app.setup.wiring import BASELINES
from harness.core.errors import ConfigError, InputError
from harness.core.messages import Struct

RSO = "rso"
Stage = Literal["untrained", "warmup", "rl"]
Price = Annotated[float, Meta(ge=0.0, le=1e9)]


class Axes(Struct, frozen=True, kw_only=True):
    """``[comparison]``."""

    name: Name = "comparison"
    directory: str = "../runs"
    """Where directories of comparisons are made, relative to the comparison file."""
    seeds: Annotated[tuple[Annotated[int, Meta(ge=0, le=2**31 - 1)], ...], Meta(min_length=1)] = (0,)
    """Of trainings and conversations."""
    scenarios: Annotated[int, Meta(ge=1, le=100_000)] = 50
    """Dialogues a cell; another number draws other goals."""
    scenario_seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """``data.scenario_seed`` of all cells: every seed meets the same goals and personas."""
    reference: str
    """The system that all others are compared with."""
    models: tuple[str, ...] = ()
    """Names of models that play the recommender, one row each (Fig. 4); empty: the experiment's actor."""
    set: tuple[str, ...] = ()
    """``key=value`` overrides of every experiment; paths in them are relative to the current folder."""


class System(Struct, frozen=True, kw_only=True):
    """``[systems.NAME]``: one row of the tables."""

    title: str = ""
    kind: str = RSO
    """``rso``, or a baseline's name in `harness.app.setup.wiring.BASELINES`."""
    stage: Stage = "rl"
    """Of RSO's planner: never trained, after warm-up, or after RL."""
    group: Literal["system", "ablation"] = "system"
    """Ablations are drawn together (Fig. 5)."""
    models: tuple[str, ...] = ()
    """As ``comparison.models``, for this system."""
    init: str = ""
    """Checkpoint folder of a trained planner, relative to the comparison file; empty: trained here, once a seed."""
    set: tuple[str, ...] = ()


class Dataset(Struct, frozen=True, kw_only=True):
    """``[datasets.NAME]``."""

    experiment: str
    """Experiment file, relative to the comparison file."""
    set: tuple[str, ...] = ()


class Prices(Struct, frozen=True, kw_only=True):
    """``[prices.MODEL]``: money a million tokens."""

    prompt: Price = 0.0
    completion: Price = 0.0


class ComparisonFile(Struct, frozen=True, kw_only=True):
    """The whole file."""

    comparison: Axes
    systems: dict[str, System]
    datasets: dict[str, Dataset]
    prices: dict[str, Prices] = {}


class Cell(Struct, frozen=True, kw_only=True):
    """All that one cell's result depends on."""

    system: str
    kind: str
    stage: Stage
    model: str
    dataset: str
    seed: int
    config: dict[str, Any]
    """The resolved experiment (`harness.app.settings.config.Config` as plain values)."""
    planner: str = ""
    """Name of the training that this cell's planner comes from, or a checkpoint folder; empty where none is needed."""

    @property
    def name(self) -> str:
        """Its directory's."""
        return f"{self.system}.{self.model}.{self.dataset}.s{self.seed}"

    @property
    def digest(self) -> str:
        """Of everything that its result depends on."""
        return digest_of(self)

    def resolved(self) -> Config:
        return config_from_tree(self.config)


class Training(Struct, frozen=True, kw_only=True):
    """One planner to train: the same for all systems whose experiments agree in what training depends on."""

    name: str
    seed: int
    config: dict[str, Any]
    reinforced: bool
    """Whether any system asks for more than the warm-up."""

    @property
    def digest(self) -> str:
        return digest_of(self)


class Plan(Struct, frozen=True, kw_only=True):
    """What a comparison will do."""

    file: ComparisonFile
    cells: tuple[Cell, ...]
    trainings: tuple[Training, ...]

    def title(self, system: str) -> str:
        return self.file.systems[system].title or system


def digest_of(struct: Cell | Training) -> str:
    """SHA-256 of a struct whose ``config`` counts only by the keys that a result can depend on."""
    tree = msgspec.to_builtins(struct)
    flat = settings(config_from_tree(struct.config))
    tree["config"] = {key: value for key, value in flat.items() if not operational(key)}
    tree.pop("reinforced", None)
    return hashlib.sha256(msgspec.json.encode(tree, order="sorted")).hexdigest()


def read_plan(path: Path, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Plan:
    """Read, resolve and check a comparison file; `ConfigError` names the key, `InputError` the file.

    ``overrides``: ``comparison.key=value`` changes the comparison, any other key every experiment. ``only``: systems to
    keep; the reference stays in any case, as everything is compared with it.
    """
    own = [text for text in overrides if text.startswith("comparison.")]
    shared = [text for text in overrides if not text.startswith("comparison.")]
    file = _read_file(path, own)
    unknown = [name for name in only if name not in file.systems]
    if unknown:
        raise InputError(f"--only {unknown[0]}: there is no such system; known: {', '.join(file.systems)}")
    systems = {
        name: system
        for name, system in file.systems.items()
        if not only or name in only or name == file.comparison.reference
    }
    axes, folder = file.comparison, path.resolve().parent
    cells: list[Cell] = []
    trainings: dict[str, Training] = {}
    for dataset, source in file.datasets.items():
        base = load_config(folder / source.experiment, (*axes.set, *source.set, *shared))
        for name, system in systems.items():
            for model in system.models or axes.models or (base.roles.actor,):
                for seed in axes.seeds:
                    config = _config(base, axes, system, model, seed, f"systems.{name}")
                    training = _training(config, system, dataset, model, seed)
                    planner = str((folder / system.init).resolve()) if system.init else ""
                    if training is not None and not planner:
                        known = trainings.get(training.name)
                        reinforced = training.reinforced or (known is not None and known.reinforced)
                        trainings[training.name] = msgspec.structs.replace(training, reinforced=reinforced)
                        planner = training.name
                    cells.append(
                        Cell(
                            system=name,
                            kind=system.kind,
                            stage=system.stage if system.kind == RSO else "untrained",
                            model=model,
                            dataset=dataset,
                            seed=seed,
                            config=msgspec.to_builtins(config),
                            planner=planner,
                        )
                    )
    axes = msgspec.structs.replace(axes, directory=str((folder / axes.directory).resolve()))
    kept = msgspec.structs.replace(file, comparison=axes, systems=systems)
    return Plan(file=kept, cells=tuple(cells), trainings=tuple(trainings.values()))


def _config(base: Config, axes: Axes, system: System, model: str, seed: int, where: str) -> Config:
    tree = overridden(msgspec.to_builtins(base), system.set)
    tree["run"] |= {"seed": seed}
    tree["data"] |= {"scenario_seed": axes.scenario_seed}
    tree["evaluation"] |= {"dialogues": axes.scenarios}
    tree["roles"] |= {"actor": model, "preference_reasoner": model}
    # A cell may not depend on a planner that another key smuggles in: `init` of the system is the place for it.
    tree["planner"] |= {"init": ""}
    try:
        return config_from_tree(tree)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _training(config: Config, system: System, dataset: str, model: str, seed: int) -> Training | None:
    learns = config.planner.kind in ("encoder", "tabular") and "planner" not in config.network.without
    if system.kind != RSO or system.stage == "untrained" or not learns:
        return None
    # Ablations take experts away from the planner that was trained with all of them.
    whole = msgspec.structs.replace(config, network=msgspec.structs.replace(config.network, without=()))
    training = Training(
        name="",
        seed=seed,
        config=msgspec.to_builtins(whole),
        reinforced=system.stage == "rl",
    )
    return msgspec.structs.replace(training, name=f"{dataset}.{model}.s{seed}.{training.digest[:8]}")


def _read_file(path: Path, overrides: Sequence[str]) -> ComparisonFile:
    tree = read_toml(path, "comparison file")
    if "comparison" not in tree:
        raise ConfigError(f"{path} has no [comparison]: is it an experiment file? `run` plays those")
    file = converted(overridden(tree, overrides), ComparisonFile, str(path))
    if not file.systems or not file.datasets:
        raise ConfigError(f"{path}: a comparison needs at least one [systems.NAME] and one [datasets.NAME]")
    for name, system in file.systems.items():
        if system.kind != RSO and system.kind not in BASELINES:
            raise ConfigError(f"systems.{name}.kind: {system.kind!r} is none of: {RSO}, {', '.join(BASELINES)}")
    for name in (*file.systems, *file.datasets):
        if not name.replace("_", "").replace("-", "").isalnum():
            raise ConfigError(f"{name!r}: names of systems and datasets are letters, digits, _ and -")
    reference = file.comparison.reference
    if reference not in file.systems:
        near = difflib.get_close_matches(reference, file.systems, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(file.systems)}"
        raise ConfigError(f"comparison.reference: there is no system {reference!r}; {hint}")
    if len(set(file.comparison.seeds)) < len(file.comparison.seeds):
        raise ConfigError("comparison.seeds: a seed is named twice")
    return file
