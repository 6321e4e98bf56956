"""A comparison file -> the cells to play: system x model x dataset x seed.

A comparison names experiment files instead of repeating them: each ``[datasets.NAME]`` is one (its data, models, roles
and settings), ``[comparison] set`` and each system's ``set`` change keys of it. Everything is resolved and checked
here, before a directory is made or a model is called. Left out: playing cells (`cell`), training planners (`planners`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from harness.app.grid.axes import Axes, check_known, check_names, config_at, kept, read_grid_file
from harness.app.grid.cell import Cell
from harness.app.identity.sittings import Identity, identity_of
from harness.app.settings.config import Config, Name, NonNegative, operational, settings
from harness.app.settings.configfile import load_config, resolved_models
from harness.app.setup.baselines import SYSTEMS
from harness.app.setup.trained import COPY, TRAINED, settings_of, title_of, with_roles
from harness.core.errors import ConfigError
from harness.core.messages import Struct

RSO = "rso"
Stage = Literal["untrained", "warmup", "rl"]
Price = Annotated[float, Meta(ge=0.0, le=1e9)]


class Paper(Axes, frozen=True, kw_only=True):
    """``[comparison]``."""

    name: Name = "comparison"
    reference: str
    """The system that all others are compared with."""
    models: tuple[str, ...] = ()
    """Names of models that play the recommender, one row each (Fig. 4); empty: the experiment's actor."""
    improve_over: str = ""
    """The system over which the column Improve. of Table V is computed; empty: the table has no such column."""
    tokens_per_s: NonNegative = 0.0
    """Tokens that a server reads and writes a second, for the estimate of hours; 0: none is made."""


class System(Struct, frozen=True, kw_only=True):
    """``[systems.NAME]``: one row of the tables."""

    title: str = ""
    kind: str = RSO
    """``rso``, or a baseline's name in `harness.app.setup.baselines.BASELINES`."""
    stage: Stage = "rl"
    """Of RSO's planner: never trained, after warm-up, or after RL."""
    group: Literal["system", "ablation"] = "system"
    """Ablations are drawn together (Fig. 5)."""
    models: tuple[str, ...] = ()
    """As ``comparison.models``, for this system."""
    init: str = ""
    """Checkpoint folder of a trained planner, relative to the comparison file; empty: trained here, once a seed."""
    trained_without: bool = False
    """Whether the experts that ``network.without`` takes away are missing when the planner is trained, too. False: they
    are taken from the planner that was trained with all of them (Fig. 5 has both kinds apart)."""
    set: tuple[str, ...] = ()
    left_out: str = ""
    """Why this row is not played, in a few words; it then stands in the tables with this and without numbers."""


class DatasetSettings(Struct, frozen=True, kw_only=True):
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

    comparison: Paper
    systems: dict[str, System]
    datasets: dict[str, DatasetSettings]
    models: dict[str, dict[str, Any]] = {}
    """``[models.NAME]``, put over those of every experiment, key by key."""
    prices: dict[str, Prices] = {}


class SystemCell(Cell, frozen=True, kw_only=True):
    """All that one cell's result depends on."""

    system: str
    kind: str
    stage: Stage
    model: str
    dataset: str
    planner: str = ""
    """Name of the training that this cell's planner comes from, or a checkpoint folder; empty where none is needed."""

    @property
    def name(self) -> str:
        return f"{self.system}.{self.model}.{self.dataset}.s{self.seed}"

    def identity(self) -> Identity:
        return identity_of(self.resolved(), compared=True, baseline=self.kind != RSO)


class Training(Cell, frozen=True, kw_only=True):
    """One planner to train: the same for all systems whose experiments agree in what training depends on."""

    name: str
    reinforced: bool
    """Whether any system asks for more than the warm-up."""
    crs: str = ""
    """``unicrs`` or ``barcor``: that system is trained, and no planner."""

    @property
    def row(self) -> str:
        return f"(training) {super().row}"

    def dialogues(self, scenarios: int) -> tuple[int, int]:
        return 0, self.resolved().training_episodes if self.reinforced else 0


class Plan(Struct, frozen=True, kw_only=True):
    """What a comparison will do."""

    file: ComparisonFile
    cells: tuple[SystemCell, ...]
    trainings: tuple[Training, ...]

    def title(self, system: str) -> str:
        own = self.file.systems[system]
        if own.kind not in TRAINED or own.left_out:
            return own.title or system
        config = next(cell for cell in self.cells if cell.system == system).resolved()
        name = title_of(config, own.kind)
        # Whatever the file calls it, a system on other models than the paper's says so.
        return own.title if own.title and ("-lite" not in name or "lite" in own.title.lower()) else name

    @property
    def left_out(self) -> dict[str, str]:
        """Title -> why, of the rows that are not played."""
        return {self.title(name): one.left_out for name, one in self.file.systems.items() if one.left_out}


def read_plan(path: Path, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Plan:
    """Read, resolve and check a comparison file; `ConfigError` names the key, `InputError` the file.

    ``overrides``: ``comparison.key=value`` changes the comparison, any other key every experiment. ``only``: systems to
    keep; the reference stays in any case, as everything is compared with it.
    """
    file, shared = read_grid_file(path, "comparison", ComparisonFile, overrides)
    _check(file, path)
    axes, folder = file.comparison, path.resolve().parent
    systems = kept(file.systems, only, tuple(filter(None, (axes.reference, axes.improve_over))), "system")
    cells: list[SystemCell] = []
    trainings: dict[str, Training] = {}
    models = resolved_models(file.models, folder)
    for dataset, source in file.datasets.items():
        base = load_config(folder / source.experiment, (*axes.set, *source.set, *shared), models)
        for name, system in systems.items():
            alone = "" if system.left_out else _own_name(system, axes, base, f"systems.{name}")
            own = (alone,) if alone else system.models or axes.models or (base.roles.actor,)
            for model in () if system.left_out else own:
                for seed in axes.seeds:
                    config = config_at(
                        base,
                        axes,
                        seed,
                        system.set,
                        f"systems.{name}",
                        roles={} if alone else {"actor": model, "preference_reasoner": model},
                        # A cell's planner is named by the system's `init`, not by another key.
                        planner={"init": ""},
                    )
                    config = with_roles(config, system.kind)
                    training = _training(config, system, dataset, model, seed)
                    planner = str((folder / system.init).resolve()) if system.init else ""
                    if training is not None and not planner:
                        known = trainings.get(training.name)
                        reinforced = training.reinforced or (known is not None and known.reinforced)
                        trainings[training.name] = msgspec.structs.replace(training, reinforced=reinforced)
                        planner = training.name
                    cells.append(
                        SystemCell(
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
    file = msgspec.structs.replace(file, comparison=axes, systems=systems)
    return Plan(file=file, cells=tuple(cells), trainings=tuple(trainings.values()))


def _own_name(system: System, axes: Paper, base: Config, where: str) -> str:
    """The name of a trained system that asks no model; "" for all others."""
    if system.kind not in TRAINED:
        return ""
    config = config_at(base, axes, axes.seeds[0], system.set, where)
    return "" if config.crs.text == "actor" else title_of(config, system.kind)


def _training_of_crs(config: Config, kind: str, dataset: str, seed: int) -> Training:
    """One a dataset, seed and settings; ``+copy`` shares that of its system."""
    settings_, data = settings_of(config, kind), msgspec.to_builtins(config.data)
    content = {"kind": kind, "crs": settings_, "data": data, "file": config.crs.dialogues, "seed": config.run.seed}
    digest = hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
    name = f"{dataset}.{kind}.s{seed}.{digest[:8]}"
    return Training(name=name, seed=seed, config=msgspec.to_builtins(config), reinforced=False, crs=kind)


def _training(config: Config, system: System, dataset: str, model: str, seed: int) -> Training | None:
    if system.kind in TRAINED:
        return _training_of_crs(config, system.kind.removesuffix(COPY), dataset, seed)
    learns = config.learns and "planner" not in config.network.without
    if system.kind != RSO or system.stage == "untrained" or not learns:
        return None
    whole = config
    if not system.trained_without:
        whole = msgspec.structs.replace(config, network=msgspec.structs.replace(config.network, without=()))
    tree: dict[str, Any] = msgspec.to_builtins(whole)
    flat = {key: value for key, value in settings(whole).items() if not operational(key)}
    digest = hashlib.sha256(msgspec.json.encode({"config": flat, "name": "", "seed": seed}, order="sorted")).hexdigest()
    name = f"{dataset}.{model}.s{seed}.{digest[:8]}"
    return Training(name=name, seed=seed, config=tree, reinforced=system.stage == "rl")


def _check(file: ComparisonFile, path: Path) -> None:
    if not file.systems or not file.datasets:
        raise ConfigError(f"{path}: a comparison needs at least one [systems.NAME] and one [datasets.NAME]")
    for name, system in file.systems.items():
        if not system.left_out and system.kind != RSO and system.kind not in SYSTEMS:
            raise ConfigError(f"systems.{name}.kind: {system.kind!r} is none of: {RSO}, {', '.join(SYSTEMS)}")
    check_names((*file.systems, *file.datasets), "systems and datasets")
    check_known("comparison.reference", file.comparison.reference, file.systems, "system")
    if file.systems[file.comparison.reference].left_out:
        raise ConfigError(
            f"comparison.reference: {file.comparison.reference} is left out, and all are compared with it"
        )
    if file.comparison.improve_over:
        check_known("comparison.improve_over", file.comparison.improve_over, file.systems, "system")
