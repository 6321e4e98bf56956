"""`summary.json` written and read: sealed, so that an edited one, or one of another run, is not taken for this run's.

The seal is a SHA-256 over the config's digest in `config.json` and the summary's own content. It is no seal against
people. Summaries of older versions have none; they are read, and nothing is known of them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from harness.app.evaluation.summary import Summary
from harness.app.identity.manifest import read_manifest
from harness.core.errors import DataError, InputError
from harness.core.log import rundir


def write_summary(folder: Path, summary: Summary) -> None:
    """In place of the one that is there."""
    content = msgspec.json.encode(summary)
    sealed = msgspec.structs.replace(summary, seal=_seal(folder, content))
    rundir.write_atomically(folder / rundir.SUMMARY, msgspec.json.format(msgspec.json.encode(sealed), indent=2))


def read_summary(folder: Path) -> Summary | None:
    """None where there is none; `InputError` where it cannot be read, `DataError` where its seal does not fit."""
    path = folder / rundir.SUMMARY
    try:
        content = path.read_bytes()
        summary = msgspec.json.decode(content, type=Summary)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}; `resume {folder}` makes it anew from the log") from None
    if summary.seal and summary.seal != _seal(folder, content):
        raise DataError(
            f"{path} was changed, or is another run's: its seal does not fit its content and {rundir.CONFIG}; "
            f"`resume {folder}` makes it anew from the log"
        )
    return summary


def _seal(folder: Path, content: bytes) -> str:
    # Of the tree, not of the struct: a later version's new fields are not in an older file.
    tree = msgspec.json.decode(content, type=dict[str, object])
    tree.pop("seal", None)
    text = msgspec.json.encode([read_manifest(folder).digest, tree], order="sorted")
    return hashlib.sha256(text).hexdigest()
