"""A run directory: created under another name, then renamed; locked by one process; with fixed file names."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from harness.core.errors import DataError, InputError, RunStopped

T = TypeVar("T")

CONFIG, EPISODES, METRICS, SUMMARY = "config.json", "episodes.jsonl", "metrics.jsonl", "summary.json"
CHECKPOINTS, LOGS, TENSORBOARD = "checkpoints", "logs", "tensorboard"


def default_name(name: str) -> str:
    """``<name>-<utc time>``."""
    return f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def refuse_existing(path: Path) -> None:
    """Raise `InputError` where the path exists already."""
    if path.is_symlink() or path.exists():
        raise InputError(f"the run directory {path} already exists; resume it, or name another")


def create(path: Path, config: bytes) -> Path:
    """Make a run directory that holds ``config.json`` from the start; `InputError` where the path exists already."""
    refuse_existing(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        aside.chmod(0o755)
        (aside / LOGS).mkdir()
        write_atomically(aside / CONFIG, config)
        aside.rename(path)
    except OSError as error:
        raise InputError(f"cannot make the run directory {path}: {error.strerror}") from error
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the directory for this process; for a second process, raise `InputError` with the first one's id."""
    try:
        file = (path / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise InputError(f"cannot write in the run directory {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(f"the run directory {path} is in use by process {file.read().strip()}") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that after a crash it is the old or the new one: temporary file, fsync, rename, fsync."""
    aside = path.with_name(f".{path.name}.new")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        fsync_folder(path.parent)
    except OSError as error:
        raise RunStopped(f"cannot write {path}: {error.strerror}") from error


def fsync_folder(path: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_if_there(path: Path, kind: type[T], what: str) -> T | None:
    """A JSON file as a struct; None where there is no file, `DataError` where its content is not ``what``."""
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not {what}: {error}") from None
