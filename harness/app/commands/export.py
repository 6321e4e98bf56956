"""`export`: a run's log as Parquet or JSON lines in a documented schema, and its planner as a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.text import Text

from harness.app.report.record import RunRecord, read_record
from harness.app.report.run_page import world_of
from harness.app.report.tables import TABLES, Column
from harness.core.errors import InputError
from harness.core.log import rundir
from harness.core.log.codec import encode_record

EXPORT = "export"
BATCH = 4096
"""Rows that are held in memory at a time."""
_TYPES: dict[str, Any] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "list<string>": pa.list_(pa.string()),
    "list<int64>": pa.list_(pa.int64()),
    "list<double>": pa.list_(pa.float64()),
}


def export(
    folder: Path, out: Path | None, console: Console, *, parquet: bool, jsonl: bool, planner: bool
) -> list[Path]:
    """Write what was asked for into ``out`` (``RUN/export``); returns the paths."""
    if not (parquet or jsonl or planner):
        raise InputError("export wants at least one of --parquet, --jsonl and --planner")
    record = read_record(folder)
    target = out or folder / EXPORT
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, (columns, _) in TABLES.items():
        if parquet:
            written.append(_parquet(record, name, columns, target / f"{name}.parquet"))
        if jsonl:
            written.append(_jsonl(record, name, target / f"{name}.jsonl"))
    if planner:
        # Imported only where its files are wanted: it needs torch.
        from harness.app.report.model_card import export_planner

        written.append(export_planner(record, folder / rundir.CHECKPOINTS, target / "planner", world_of(record)))
    for path in written:
        console.print(Text(str(path)), soft_wrap=True)
    return written


def schema(columns: Sequence[Column], *, world: str) -> pa.Schema:
    """The Arrow schema, each field with its meaning; the world's label is in the file's metadata."""
    fields = [pa.field(c.name, _TYPES[c.kind], metadata={"meaning": c.meaning}) for c in columns]
    return pa.schema(fields, metadata={"world": world})


def _parquet(record: RunRecord, name: str, columns: Sequence[Column], path: Path) -> Path:
    wanted = schema(columns, world=world_of(record))
    with pq.ParquetWriter(path, wanted, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for row in TABLES[name][1](record):
            rows.append(_valid(row))
            if len(rows) == BATCH:
                writer.write_table(pa.Table.from_pylist(rows, schema=wanted))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema=wanted))
    return path


def _jsonl(record: RunRecord, name: str, path: Path) -> Path:
    with path.open("wb") as file:
        for row in TABLES[name][1](record):
            file.write(encode_record(row) + b"\n")
    return path


def _valid(value: Any) -> Any:
    """Arrow strings are UTF-8: a lone surrogate becomes a question mark (JSON lines keep it, escaped as in the log)."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, list):
        return [_valid(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _valid(entry) for key, entry in value.items()}
    return value
