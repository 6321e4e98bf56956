"""A study's finished cells in one small file: what tables, claims and figures are made of, without the runs.

A later sitting, or another machine, takes them as finished and adds its own. The file (gzipped JSON) holds each cell's
result with the measures that a study shows, and a digest of the settings, texts, world and data that it was played
with: a cell is taken only where all of that is the same now.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from harness.app.grid.cell import Cell
from harness.app.grid.study.cell import ArmResult
from harness.core.errors import DataError, InputError
from harness.core.log import rundir
from harness.core.messages import Struct

RESULTS = "results.json.gz"
MEASURES = (
    "conv_sr",
    "judge_sr",
    "acceptance",
    "absorbing",
    "terminal",
    "mean_return",
    "turns",
    "strategy_entropy",
    "rec_sr",
    "recall_1",
    "recall_5",
    "quit",
)
"""Of each cell, as far as it has them."""


class KeptCell(Struct, frozen=True, kw_only=True):
    """A finished cell."""

    played_with: str
    """`played_with` of the cell as it was played."""
    result: ArmResult


class Kept(Struct, frozen=True, kw_only=True):
    """The content of the file."""

    cells: dict[str, KeptCell] = {}
    """By the cell's name."""
    schedules: dict[str, tuple[str, ...]] = {}
    """Searches that were made: what was searched for -> the strategies found."""


def played_with(cell: Cell, files: Mapping[str, str]) -> str:
    """Digest of what a cell's result depends on: settings, texts, the scripted world, the data files' content."""
    identity = cell.identity()
    parts = [cell.resolved().digest, identity.texts, identity.world, dict(files)]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def kept_cell(cell: Cell, files: Mapping[str, str], result: ArmResult) -> KeptCell:
    """The cell as it goes into the file."""
    values = {name: result.values[name] for name in MEASURES if name in result.values}
    return KeptCell(
        played_with=played_with(cell, files), result=msgspec.structs.replace(result, values=values, log=None)
    )


def read_kept(path: Path) -> Kept:
    """`InputError` where the file cannot be read, `DataError` where it is no such file."""
    try:
        return msgspec.json.decode(gzip.decompress(path.read_bytes()), type=Kept)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (EOFError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a study's {RESULTS}: {error}") from None


def write_kept(path: Path, cells: Iterable[tuple[str, KeptCell]], schedules: Mapping[str, tuple[str, ...]]) -> None:
    """Replace the file; the same content gives the same bytes."""
    content = msgspec.json.encode(Kept(cells=dict(sorted(cells)), schedules=dict(schedules)), order="sorted")
    rundir.write_atomically(path, gzip.compress(content, mtime=0))
