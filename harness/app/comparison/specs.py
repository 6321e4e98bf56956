"""What a directory of a cell or a training was begun with, and the config that it works with now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.app.comparison.plan import RSO, Cell, Training
from harness.app.identity.manifest import encode, manifest_of, read_manifest, refuse_other_files
from harness.app.identity.sittings import Identity, identity_of, refuse_other_texts, sit_down
from harness.app.settings.config import Config, operational, settings
from harness.app.settings.configfile import config_from_tree
from harness.core.errors import InputError
from harness.core.log import rundir


def keep_spec(
    directory: Path, name: str, spec: Cell | Training, files: Mapping[str, str], *, accept_changes: bool = False
) -> list[str]:
    """Write the spec and a run's `config.json` into a new directory; `refuse_other_spec` for one that has them.

    ``files``: config key -> SHA-256 of the data. Gives what this sitting is made by and the last one was not, in
    sentences.
    """
    refuse_other_spec(directory, name, spec, files, accept_changes=accept_changes)
    path = directory / name
    now = _identity(spec)
    if path.exists():
        return sit_down(directory, read_manifest(directory).identity, now, accept_changes=accept_changes)
    (directory / rundir.LOGS).mkdir(parents=True, exist_ok=True)
    rundir.write_atomically(directory / rundir.CONFIG, encode(manifest_of(config_from_tree(spec.config), files, now)))
    rundir.write_atomically(path, msgspec.json.format(msgspec.json.encode(spec), indent=1))
    return []


def refuse_other_spec(
    directory: Path, name: str, spec: Cell | Training, files: Mapping[str, str], *, accept_changes: bool = False
) -> None:
    """`InputError`, naming what differs, where the directory was begun with what would give another result."""
    path = directory / name
    if not path.exists():
        return
    try:
        before = msgspec.json.decode(path.read_bytes(), type=type(spec))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if before.digest != spec.digest:
        changed = ", ".join(_changed(before, spec)) or "its planner"
        raise InputError(f"{directory} was begun with other settings and cannot go on with these; changed: {changed}")
    manifest = read_manifest(directory)
    refuse_other_files(manifest, files)
    refuse_other_texts(directory, manifest.identity, _identity(spec), accept_changes=accept_changes)


def _identity(spec: Cell | Training) -> Identity:
    baseline = isinstance(spec, Cell) and spec.kind != RSO
    return identity_of(config_from_tree(spec.config), compared=isinstance(spec, Cell), baseline=baseline)


def at(config: Mapping[str, Any], base_urls: Mapping[str, str]) -> Config:
    """The config with models pointed at servers that run already."""
    resolved = config_from_tree(config)
    models = {
        name: msgspec.structs.replace(model, base_url=base_urls.get(name, model.base_url))
        for name, model in resolved.models.items()
    }
    return msgspec.structs.replace(resolved, models=models)


def _changed(before: Cell | Training, now: Cell | Training) -> list[str]:
    old, new = (settings(config_from_tree(spec.config)) for spec in (before, now))
    return [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key) and not operational(key)]
