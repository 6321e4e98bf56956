"""Whether a run's log is what its summary was made from: the log is the truth; a summary of another log is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from harness.app.evaluation.summary import Summary
from harness.core.errors import DataError
from harness.core.log import rundir
from harness.core.log.checkedlines import check_lines, fits, has_check


def missing_bytes(folder: Path, summary: Summary | None) -> int:
    """By how much the log is shorter than what the summary was made from; 0 where nothing is missing or known."""
    if summary is None or summary.log is None:
        return 0
    path = folder / rundir.EPISODES
    return max(0, summary.log.bytes - (path.stat().st_size if path.exists() else 0))


def refuse_another_log(folder: Path, summary: Summary | None) -> None:
    """`DataError` where the log does not begin with what the summary was made from, or has lost its checksums, or
    where a checkpoint beside it is another run's."""
    path = folder / rundir.EPISODES
    _refuse_lost_checksums(folder, path)
    _refuse_foreign_checkpoints(folder)
    if missing := missing_bytes(folder, summary):
        raise DataError(
            f"{path} was cut: {missing:,} bytes are missing of what {rundir.SUMMARY} was made from; `resume {folder}` "
            "plays again what it lacks"
        )
    if summary is not None and summary.log is not None and not fits(path, summary.log):
        raise DataError(
            f"{path} is not the log that {rundir.SUMMARY} was made from: its SHA-256 differs (without "
            f"{rundir.SUMMARY}, `resume` makes it anew)"
        )


def check_log(folder: Path, summary: Summary | None) -> bool:
    """Go through a run's log without reading its events; `DataError` where it is damaged or not the summary's.

    Returns:
        Whether there were checksums to compare; runs of older versions have none.
    """
    path = folder / rundir.EPISODES
    checked = check_lines(path, "the event log") if path.exists() else True
    refuse_another_log(folder, summary)
    return checked and (summary is None or summary.log is not None)


class _Begun(msgspec.Struct):
    """Of `config.json`; what was written before there were formats has none."""

    format: int = 0
    digest: str = ""


class _Made(msgspec.Struct):
    """Of a `checkpoint.json`."""

    config_digest: str = ""


def _refuse_lost_checksums(folder: Path, path: Path) -> None:
    """Lines without a checksum are an older version's; in a run that was begun by this one they were changed."""
    with suppress(OSError, msgspec.DecodeError):
        if msgspec.json.decode((folder / rundir.CONFIG).read_bytes(), type=_Begun).format < 1:
            return
        with path.open("rb") as file:
            first = file.readline()
        if first.endswith(b"\n") and not has_check(first):
            raise DataError(
                f"{path}:1: the event log is damaged: the line has no checksum, and every line of this run was written "
                "with one"
            )


def _refuse_foreign_checkpoints(folder: Path) -> None:
    with suppress(OSError, msgspec.DecodeError):
        begun = msgspec.json.decode((folder / rundir.CONFIG).read_bytes(), type=_Begun)
        for path in sorted((folder / rundir.CHECKPOINTS).glob("v*/checkpoint.json")):
            made = msgspec.json.decode(path.read_bytes(), type=_Made)
            if begun.digest and made.config_digest not in ("", begun.digest):
                raise DataError(f"{path.parent} is a checkpoint of another run: it was made with another config")
