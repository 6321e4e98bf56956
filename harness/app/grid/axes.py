"""What the files of studies and comparisons share: axes, the way they are read, and what is refused in them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from harness.app.settings.config import Config, Name
from harness.app.settings.configfile import config_from_tree, overridden
from harness.app.settings.tomlfile import converted, read_toml
from harness.core.errors import ConfigError, InputError
from harness.core.messages import Struct

T = TypeVar("T")
Seed = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Axes(Struct, frozen=True, kw_only=True):
    """The table that a grid file is named after."""

    name: Name
    directory: str = "../runs"
    """Where directories of grids are made, relative to the file."""
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1)] = (0,)
    """Of trainings and conversations."""
    scenarios: Annotated[int, Meta(ge=1, le=100_000)] = 50
    """Held-out dialogues a cell."""
    scenario_seed: Seed = 0
    """``data.scenario_seed`` of all cells: every seed meets the same goals and personas."""
    processes: Annotated[int, Meta(ge=1, le=64)] = 2
    """Cells that are played side by side."""
    set: tuple[str, ...] = ()
    """``key=value`` overrides of every experiment; paths in them are relative to the current folder."""


def read_grid_file(path: Path, what: str, kind: type[T], overrides: Sequence[str]) -> tuple[T, tuple[str, ...]]:
    """The file as ``kind``, and the overrides that are not of its own table ``what``, so of every experiment."""
    own = [text for text in overrides if text.startswith(f"{what}.")]
    tree = read_toml(path, f"{what} file")
    if what not in tree:
        raise ConfigError(f"{path} has no [{what}]: is it an experiment file? `run` plays those")
    file = converted(overridden(tree, own), kind, str(path))
    seeds: tuple[int, ...] = getattr(file, what).seeds
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"{what}.seeds: a seed is named twice")
    return file, tuple(text for text in overrides if text not in own)


def check_names(names: Collection[str], what: str) -> None:
    """They become parts of directory names."""
    for name in names:
        if not name.replace("_", "").replace("-", "").isalnum():
            raise ConfigError(f"{name!r}: names of {what} are letters, digits, _ and -")


def check_known(key: str, wanted: str, known: Collection[str], what: str) -> None:
    """`ConfigError` with the nearest name where ``key`` names a ``what`` that the file does not have."""
    if wanted not in known:
        near = difflib.get_close_matches(wanted, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"{key}: there is no {what} {wanted!r}; {hint}")


def kept(entries: dict[str, T], only: Sequence[str], always: Collection[str], what: str) -> dict[str, T]:
    """The entries that ``--only`` names, and those that all are compared with; everything where it names none."""
    for name in only:
        if name not in entries:
            raise InputError(f"--only {name}: there is no such {what}; known: {', '.join(entries)}")
    return {name: entry for name, entry in entries.items() if not only or name in only or name in always}


def config_at(
    base: Config, axes: Axes, seed: int, changes: Sequence[str], where: str, **tables: dict[str, str]
) -> Config:
    """An experiment at one point of the axes; ``tables``: keys that the point itself sets, by table."""
    tree = overridden(msgspec.to_builtins(base), changes)
    tree["run"] |= {"seed": seed}
    tree["data"] |= {"scenario_seed": axes.scenario_seed}
    tree["evaluation"] |= {"dialogues": axes.scenarios}
    for table, keys in tables.items():
        tree[table] |= keys
    try:
        return config_from_tree(tree)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
