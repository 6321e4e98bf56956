"""Files of JSON lines whose lines carry a checksum, so that damage is noticed and named by file and line.

The last member of a line is its check: CRC-32 over the line's bytes in front of the check, started from the check of
the previous line. The first line's check is started from the digest in the `config.json` beside the file, so another
run's file is noticed in its first line. A changed character is noticed in its own line. A line that is missing, doubled
or in the wrong place is noticed in the next line. Each line stays one JSON value: an object gets a member ``check``, an
array one more element. Lines lost at the end of a file leave no trace in the file: a `FileMark`, kept elsewhere, shows
the loss. The check does not protect against a person who edits the file on purpose. Lines of older versions have no
check; they are read as they are.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import msgspec

from harness.core.errors import DataError, InputError
from harness.core.messages import Struct

_OBJECT = re.compile(rb',"check":"([0-9a-f]{8})"\}\n\Z')
_ARRAY = re.compile(rb',"([0-9a-f]{8})"\]\n\Z')
_OBJECT_LENGTH, _ARRAY_LENGTH = len(b',"check":"01234567"}\n'), len(b',"01234567"]\n')


class Chain:
    """The checks of a file that is written or read line by line; ``last`` is the check of the previous line."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        """The last line's check; before the first line what `new_chain` says; 0: no line so far had to have one."""

    def sealed(self, record: bytes) -> bytes:
        """The line to write: the record (an encoded JSON object or array) with its check and a line break."""
        content = record[:-1]
        self.last = crc32(content, self.last)
        return (
            b'%b,"check":"%08x"}\n' % (content, self.last)
            if record[:1] == b"{"
            else (b'%b,"%08x"]\n' % (content, self.last))
        )

    def opened(self, line: bytes) -> tuple[bytes, bool] | None:
        """The record of a whole line, and whether the line has a check; None where the check is wrong."""
        found = _split(line)
        if found is None:
            # Once there are checks, a line without one was not written by this project; nor was a Windows line end.
            return None if self.last or line.endswith(b"\r\n") else (line[:-1], False)
        content, check = found
        if crc32(content, self.last) != check:
            return None
        self.last = check
        return content + (b"}" if line[:1] == b"{" else b"]"), True


def record_of(line: bytes) -> bytes:
    """The record of a whole line, without looking at its check; for lines that were checked before."""
    found = _split(line)
    return line[:-1] if found is None else found[0] + (b"}" if line[:1] == b"{" else b"]")


def has_check(line: bytes) -> bool:
    """Whether a whole line carries a check, right or wrong."""
    return _split(line) is not None


def _split(line: bytes) -> tuple[bytes, int] | None:
    pattern, length = (_OBJECT, _OBJECT_LENGTH) if line[:1] == b"{" else (_ARRAY, _ARRAY_LENGTH)
    match = pattern.match(line, len(line) - length) if len(line) > length else None
    return (line[:-length], int(match[1], 16)) if match else None


class _Run(msgspec.Struct):
    """Of a run directory's `config.json`."""

    digest: str = ""
    format: int = 0


BOUND_SINCE = 2
"""The format of run directories whose files' first lines are started from the config's digest."""


def new_chain(path: Path) -> Chain:
    """The chain before a file's first line.

    It is started from the config's digest in the `config.json` beside the file; from 0 where there is none (a tape), or
    where the run is of an older format.
    """
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        run = msgspec.json.decode((path.parent / "config.json").read_bytes(), type=_Run)
        if run.format >= BOUND_SINCE:
            return Chain(crc32(run.digest.encode()))
    return Chain()


def chain_of(path: Path) -> Chain:
    """The chain for appending to a file of whole lines; it starts from the check of the last line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        start = max(0, end - _OBJECT_LENGTH)
        file.seek(start)
        tail = file.read()
    for pattern in (_OBJECT, _ARRAY):
        if match := pattern.search(tail):
            return Chain(int(match[1], 16))
    return new_chain(path)


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
    """All whole lines of a file, in order.

    Args:
        path: the file; an incomplete last line is left out.
        what: the name of the file in messages, such as "the event log".
        start: where to begin, in bytes: the ``end`` of a line that was read before.
        number: the number of that line.
        chain: the chain as it was after that line; it is changed here.

    Raises:
        DataError: a check is wrong; the message names file:line.
    """
    chain = chain or new_chain(path)
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
                why = "or it is another run's" if number == 1 else "or one before it is missing, doubled or misplaced"
                raise DataError(
                    f"{path}:{number}: {what} is damaged: the line's checksum does not fit (it was changed, {why})"
                )
            end = start + len(line)
            yield Line(number=number, start=start, end=end, record=opened[0], checked=opened[1])
            start = end


def check_lines(path: Path, what: str) -> bool:
    """Whether every line has a check (True for an empty file); `DataError` names file:line where a check is wrong."""
    checked = True
    for line in read_lines(path, what):  # not `all`: it would stop at the first line without a check
        checked = checked and line.checked
    return checked


def write_whole(file: BinaryIO, content: bytes | bytearray) -> None:
    """Write all of ``content`` and make it durable; a full disk may take a part of it without an error."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
    file.flush()
    os.fsync(file.fileno())


def repair(path: Path) -> int:
    """Cut a file back to its last whole line and return the number of bytes cut; a missing file is created."""
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
    """The length of a file at some moment, and the digest of its content."""

    bytes: int
    sha256: str


def mark_of(path: Path) -> FileMark:
    """The mark of the whole file as it is now; a missing file counts as empty."""
    if not path.exists():
        return FileMark(bytes=0, sha256=hashlib.sha256().hexdigest())
    with path.open("rb") as file:
        return FileMark(sha256=hashlib.file_digest(file, "sha256").hexdigest(), bytes=file.tell())


def fits(path: Path, mark: FileMark) -> bool:
    """Whether the file still begins with the content that the mark was made from."""
    digest, left = hashlib.sha256(), mark.bytes
    if path.exists():
        with path.open("rb") as file:
            while left and (part := file.read(min(left, 1 << 20))):
                digest.update(part)
                left -= len(part)
    return left == 0 and digest.hexdigest() == mark.sha256
