"""Files of JSON lines whose lines carry a checksum, so that damage is noticed and named by file and line.

A line's last member is its check: CRC-32 over the line's bytes up to there, begun with the check of the line before it.
A changed character is noticed in its own line; a line that is missing, doubled or out of its place is noticed in the
line after it. Each line stays one JSON value: an object gets a member ``check``, an array one element more. Lost lines
at a file's end leave no trace in the file itself: a `FileMark`, kept elsewhere, tells. None of this is a seal against
people. Lines of older versions have no check; they are read, and nothing is known of them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from harness.core.errors import DataError, InputError
from harness.core.messages import Struct

_OBJECT = re.compile(rb',"check":"([0-9a-f]{8})"\}\n\Z')
_ARRAY = re.compile(rb',"([0-9a-f]{8})"\]\n\Z')
_OBJECT_LENGTH, _ARRAY_LENGTH = len(b',"check":"01234567"}\n'), len(b',"01234567"]\n')


class Chain:
    """The checks of a file that is written or read line by line."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        """The last line's check; 0 before the first that has one."""

    def sealed(self, record: bytes) -> bytes:
        """A record (an encoded JSON object or array) as a line with its check, line break included."""
        content = record[:-1]
        self.last = crc32(content, self.last)
        return (
            b'%b,"check":"%08x"}\n' % (content, self.last)
            if record[:1] == b"{"
            else (b'%b,"%08x"]\n' % (content, self.last))
        )

    def opened(self, line: bytes) -> tuple[bytes, bool] | None:
        """The record of a whole line, and whether it carried a check; None where the check does not fit."""
        found = _split(line)
        if found is None:
            # Once there are checks, a line without one was not written by this project.
            return None if self.last else (line[:-1], False)
        content, check = found
        if crc32(content, self.last) != check:
            return None
        self.last = check
        return content + (b"}" if line[:1] == b"{" else b"]"), True


def record_of(line: bytes) -> bytes:
    """The record of a whole line that was checked before."""
    found = _split(line)
    return line[:-1] if found is None else found[0] + (b"}" if line[:1] == b"{" else b"]")


def _split(line: bytes) -> tuple[bytes, int] | None:
    pattern, length = (_OBJECT, _OBJECT_LENGTH) if line[:1] == b"{" else (_ARRAY, _ARRAY_LENGTH)
    match = pattern.match(line, len(line) - length) if len(line) > length else None
    return (line[:-length], int(match[1], 16)) if match else None


def chain_of(path: Path) -> Chain:
    """The chain with which a file of whole lines is gone on with, read from its last line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        start = max(0, end - _OBJECT_LENGTH)
        file.seek(start)
        tail = file.read()
    for pattern in (_OBJECT, _ARRAY):
        if match := pattern.search(tail):
            return Chain(int(match[1], 16))
    return Chain()


class Line(Struct, frozen=True, kw_only=True):
    """One whole line of a file."""

    number: int
    """From 1."""
    start: int
    """Its first byte's place in the file."""
    end: int
    """The next line's."""
    record: bytes
    """JSON, without the check."""
    checked: bool
    """Whether it carried a check (which fitted)."""


def read_lines(path: Path, what: str, *, start: int = 0, number: int = 0, chain: Chain | None = None) -> Iterator[Line]:
    """All whole lines; `DataError` names file:line where a check does not fit.

    Args:
        path: the file; a torn last line is left out.
        what: how messages call it, such as "the event log".
        start: where to begin, in bytes: the ``end`` of a line that was read before.
        number: the number of that line.
        chain: the chain as it was after that line; it goes on.
    """
    chain = chain or Chain()
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {what} {path}: {error.strerror}") from error
    with file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            number += 1
            opened = chain.opened(line)
            if opened is None:
                raise DataError(
                    f"{path}:{number}: {what} is damaged: the line's checksum does not fit (the line was changed, or "
                    "one before it is missing, doubled or out of its place)"
                )
            end = start + len(line)
            yield Line(number=number, start=start, end=end, record=opened[0], checked=opened[1])
            start = end


def check_lines(path: Path, what: str) -> bool:
    """Whether every line carries a check (an empty file's do); `DataError` names file:line where one does not fit."""
    checked = True
    for line in read_lines(path, what):  # all of them: `all` would stop at the first without a check
        checked = checked and line.checked
    return checked


def write_whole(file: BinaryIO, content: bytes | bytearray) -> None:
    """Write all of it and make it durable. A disk that fills up takes a part first and reports no error for it."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
    file.flush()
    os.fsync(file.fileno())


def repair(path: Path) -> int:
    """Cut a file back to its last whole line; returns the bytes cut. A missing file is made."""
    try:
        file = path.open("a+b")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    with file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())
    return size - end


class FileMark(Struct, frozen=True, kw_only=True):
    """How far a file had been written, and what it held."""

    bytes: int
    sha256: str


def mark_of(path: Path) -> FileMark:
    """The whole file as it is now; a missing one is empty."""
    if not path.exists():
        return FileMark(bytes=0, sha256=hashlib.sha256().hexdigest())
    with path.open("rb") as file:
        return FileMark(sha256=hashlib.file_digest(file, "sha256").hexdigest(), bytes=file.tell())


def fits(path: Path, mark: FileMark) -> bool:
    """Whether the file begins with what was marked."""
    digest, left = hashlib.sha256(), mark.bytes
    if path.exists():
        with path.open("rb") as file:
            while left and (part := file.read(min(left, 1 << 20))):
                digest.update(part)
                left -= len(part)
    return left == 0 and digest.hexdigest() == mark.sha256
