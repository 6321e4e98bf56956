"""Line-based data files: numbered lines, and the book-keeping of bad rows (strict unless a number is allowed).

Shared by the loaders of this folder. A bad row is named as file:line:column. What it leaves out: what a row means.
"""

from __future__ import annotations

from pathlib import Path

from harness.core.errors import DataError, InputError

_BOM = b"\xef\xbb\xbf"


class RowError(Exception):
    """One row cannot be used; raised and caught inside the loaders of this folder only."""

    def __init__(self, column: str | int, what: str) -> None:
        super().__init__(what)
        self.column = column
        self.what = what


class BadRows:
    """Counts the rows of one file that could not be used; one more than allowed is a `DataError`."""

    def __init__(self, path: Path, allowed: int) -> None:
        self._path = path
        self._allowed = allowed
        self.count = 0

    def add(self, line: int, error: RowError) -> None:
        """Note one bad row, or raise where no more may be skipped."""
        self.count += 1
        if self.count > self._allowed:
            message = f"{self._path}:{line}:{error.column}: {error.what}"
            if self._allowed:
                message += f" (bad row {self.count}, and at most {self._allowed} may be skipped)"
            raise DataError(message)


def numbered_lines(path: Path) -> list[tuple[int, bytes]]:
    """The lines of a file, numbered from 1 and split at ``\\n`` only, without byte order mark and last ``\\r``.

    Raises:
        InputError: the file cannot be read.
        DataError: the file is empty.
    """
    try:
        content = path.read_bytes().removeprefix(_BOM)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    lines = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"{path} is empty")
    return list(enumerate(lines, start=1))
