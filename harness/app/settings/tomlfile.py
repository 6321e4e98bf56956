"""TOML files of the user -> plain values -> frozen structs; what is wrong is one sentence that names file or key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.core.errors import ConfigError, InputError

T = TypeVar("T")


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The file's tables; ``what``: what the user calls such a file. `InputError`; of bad TOML `ConfigError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no {what} {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the {what} {path}: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def converted(tree: Mapping[str, Any], struct: type[T], where: str = "the file") -> T:
    """The tree as a struct; `ConfigError` names the key, or ``where`` if it is the whole."""
    try:
        return msgspec.convert(tree, struct)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `")
        key = place.rstrip("`").removeprefix("$.") or where
        raise ConfigError(f"{key}: {what[:1].lower()}{what[1:]}") from None
