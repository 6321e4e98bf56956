"""One cell of a grid: its config, its directory and what the directory was begun with, its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.app.evaluation.pools import refuse_other_pools
from harness.app.identity.manifest import (
    config_of,
    encode,
    manifest_of,
    read_manifest,
    refuse_changes,
    refuse_other_files,
)
from harness.app.identity.sittings import Identity, identity_of, refuse_other_texts, sit_down
from harness.app.settings.config import Config
from harness.app.settings.configfile import config_from_tree
from harness.core.errors import DataError, InputError
from harness.core.log import rundir
from harness.core.log.checkedlines import FileMark, fits, mark_of
from harness.core.messages import Struct

SPEC, RESULT = "cell.json", "result.json"

R = TypeVar("R", bound="CellResult")


class Cell(Struct, frozen=True, kw_only=True):
    """A point of the axes."""

    seed: int
    config: dict[str, Any]
    """The resolved experiment (`harness.app.settings.config.Config` as plain values)."""

    @property
    def name(self) -> str:
        """The name of its directory; each kind of cell has its own rule."""
        raise NotImplementedError

    @property
    def row(self) -> str:
        """Its name without the seed."""
        return self.name.partition(f".s{self.seed}")[0]

    def dialogues(self, scenarios: int) -> tuple[int, int]:
        """How many are played on ``scenarios`` held-out ones: (held-out, training)."""
        return scenarios, 0

    def identity(self) -> Identity:
        """The code and the texts that it is played with now."""
        return identity_of(self.resolved())

    def resolved(self) -> Config:
        return config_from_tree(self.config)


class CellResult(Struct, frozen=True, kw_only=True):
    """What every ``result.json`` holds."""

    seed: int
    digest: str
    """Of the dialogues (`harness.core.log.eventlog.run_digest`)."""
    scenarios: tuple[str, ...] = ()
    """All held-out ones that were played, failed ones among them."""
    pool: str = ""
    """Digest of the held-out people and goals; empty in results of older versions."""
    values: dict[str, dict[str, float | None]]
    """Measure -> scenario -> value, of the dialogues that did not fail."""
    log: FileMark | None = None
    """The log that this was made from; None in results of older versions."""


def read_result(directory: Path, kind: type[R]) -> R | None:
    """A finished cell's result; None where there is none yet, or where its log has lost lines since.

    Raises:
        DataError: it cannot be read, or it was made from another log.
    """
    result = rundir.read_if_there(directory / RESULT, kind, "a cell's result")
    log = directory / rundir.EPISODES
    if result is None or result.log is None or fits(log, result.log):
        return result
    if log.exists() and log.stat().st_size >= result.log.bytes:
        raise DataError(
            f"{log} is not the log that {RESULT} was made from: its SHA-256 differs (without {RESULT}, the "
            "same command makes it anew)"
        )
    return None


def finished(directory: Path, kind: type[R], scenarios: int, limit: int | None) -> R | None:
    """The result, where it is about as many scenarios as are asked for now (``limit``; all, if None)."""
    result = read_result(directory, kind)
    wanted = scenarios if limit is None else min(limit, scenarios)
    return result if result is not None and len(result.scenarios) == wanted else None


def begin_cell(directory: Path, cell: Cell, files: Mapping[str, str]) -> None:
    """A directory that says what the cell is, where there is none yet; `refuse_other_cell` otherwise."""
    refuse_other_cell(directory, cell, files)
    if not directory.exists():
        rundir.create(directory, encode(manifest_of(cell.resolved(), files, cell.identity())))
    if not (directory / SPEC).exists():
        rundir.write_atomically(directory / SPEC, msgspec.json.format(msgspec.json.encode(cell), indent=1))


def write_result(directory: Path, result: CellResult) -> None:
    """Put the result beside the log that it was made from."""
    marked = msgspec.structs.replace(result, log=mark_of(directory / rundir.EPISODES))
    rundir.write_atomically(directory / RESULT, msgspec.json.format(msgspec.json.encode(marked), indent=1))


def refuse_other_cell(directory: Path, cell: Cell, files: Mapping[str, str], *, accept_changes: bool = False) -> None:
    """`InputError`, naming what differs, where the directory was begun with what would give another result.

    ``files``: config key -> SHA-256 of the data file. ``accept_changes``: texts and the scripted world may differ.
    """
    if not directory.exists():
        return
    try:
        manifest = read_manifest(directory)
        refuse_changes(config_of(manifest, directory), cell.resolved())
        refuse_other_files(manifest, files)
    except InputError as error:
        raise InputError(f"{directory}: {error}") from None
    refuse_other_texts(directory, manifest.identity, cell.identity(), accept_changes=accept_changes)
    before = rundir.read_if_there(directory / SPEC, type(cell), "a cell")
    own = [name for name in cell.__struct_fields__ if name != "config"]
    changed = [name for name in own if before is not None and getattr(before, name) != getattr(cell, name)]
    if changed:
        raise InputError(f"{directory} was begun with another {', '.join(changed)} and cannot go on with this one")


def refuse_other_pool(directory: Path, pool: str) -> None:
    """`InputError` where a finished cell is about other people and goals than would be played now."""
    if (path := directory / RESULT).exists():
        known = rundir.read_if_there(path, dict[str, Any], "a cell's result") or {}
        theirs = str(known.get("pool", ""))
        refuse_other_pools({f"the finished {directory.name}": theirs, "what this version would play": pool})


def take_up(directory: Path, cell: Cell, *, accept_changes: bool) -> list[str]:
    """Record what a directory is gone on with that it was not played with before; it in sentences."""
    if not directory.exists():
        return []
    first = read_manifest(directory).identity
    return [
        f"{cell.name}: {said}" for said in sit_down(directory, first, cell.identity(), accept_changes=accept_changes)
    ]
