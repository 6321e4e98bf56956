"""A study's finished cells in one small file: what tables, claims and figures are made of, without the runs.

A later sitting, or another machine, takes them as finished and adds its own. The file (gzipped JSON) holds each cell's
result with the measures that a study shows, a digest of the settings and data that it was played with, and one of the
texts and the scripted world. A cell is taken only where settings and data are the same now; where texts or world
differ, only if that is accepted, and it is said.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from harness.app.grid.cell import Cell
from harness.app.grid.study.cell import ArmResult
from harness.app.identity.sittings import Identity
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

    settings: str
    """Digest of its settings and of the data files' content."""
    texts: str
    """Digest of prompts, personas, strategies and the scripted world."""
    result: ArmResult


class Kept(Struct, frozen=True, kw_only=True):
    """The content of the file."""

    cells: dict[str, KeptCell] = {}
    """By the cell's name."""
    schedules: dict[str, tuple[str, ...]] = {}
    """Searches that were made: what was searched for -> the strategies found."""


def settings_of(cell: Cell, files: Mapping[str, str]) -> str:
    """`KeptCell.settings` of a cell as it would be played now. ``files``: SHA-256 of the data files by config key."""
    return _digest([cell.resolved().digest, dict(files)])


def texts_of(identity: Identity) -> str:
    """`KeptCell.texts` of a cell that is played by these."""
    return _digest([identity.texts, identity.world])


def kept_cell(cell: Cell, files: Mapping[str, str], texts: str, result: ArmResult) -> KeptCell:
    """The cell as it goes into the file."""
    values = {name: result.values[name] for name in MEASURES if name in result.values}
    small = msgspec.structs.replace(result, values=values, log=None)
    return KeptCell(settings=settings_of(cell, files), texts=texts, result=small)


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


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
