"""`config.json`: what a run was started with, sealed so that a change is noticed and named.

It holds the resolved config and its digest, a seal for every key, SHA-256 of the data files, the versions that a result
may depend on, and what the first sitting was made by (`harness.app.identity.sittings`). It holds no secret: keys of
APIs are named by environment variable only.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.app.identity.libraries import versions_now
from harness.app.identity.sittings import Identity, identity_of
from harness.app.settings.config import Config, flattened, operational, settings
from harness.app.settings.configfile import config_from_tree, overridden
from harness.core.errors import InputError
from harness.core.log import rundir
from harness.core.messages import Struct

FORMAT = 2
"""Of the run directories that this version writes. It rises where an older run cannot be continued as it began: the
same seed gives other scenarios, the same reply is read otherwise, or the log has another form."""
BEFORE = {"reward.mass_floor": "reward.mass_floor=0.0"}
"""Keys whose default differs from what older versions did: key -> the value that stands for a run without the key."""


class Manifest(Struct, frozen=True, kw_only=True):
    """The content of `config.json`."""

    config: dict[str, Any]
    digest: str
    seals: dict[str, str]
    """Dotted key -> digest of its value."""
    files: dict[str, str]
    """Config key -> SHA-256 of the data file that it names."""
    versions: dict[str, str]
    machine: str
    torch_threads: int
    format: int = 0
    """`FORMAT` of the version that began the run; 0: one from before there was a number."""
    identity: Identity | None = None
    """Of the first sitting; None: begun by a version that did not record it."""


def manifest_of(config: Config, files: Mapping[str, str], identity: Identity | None = None) -> Manifest:
    """The manifest of a run that starts now on this machine; ``identity``: by default that of a run's own texts."""
    return Manifest(
        config=msgspec.to_builtins(config),
        digest=config.digest,
        seals=_seals(config),
        files=dict(files),
        versions=versions_now(),
        machine=platform.machine(),
        torch_threads=1,
        format=FORMAT,
        identity=identity or identity_of(config),
    )


def encode(manifest: Manifest) -> bytes:
    """Readable JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run directory; `InputError` where there is none."""
    path = folder / rundir.CONFIG
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise InputError(f"{folder} is not a run directory: it has no {rundir.CONFIG}") from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        for what, verb in (("comparison", "compare"), ("study", "study")):
            if (folder / f"{what}.json").exists() or f"`{what}`" in str(error):
                raise InputError(
                    f"{folder} is a {what}, not a run; `{verb} FILE --run-dir {folder}` goes on with it, and its runs "
                    "are in the folders below cells"
                ) from None
        raise InputError(f"{path} cannot be read: {error}") from None


def tree_of(manifest: Manifest) -> dict[str, Any]:
    """The config as a tree; keys that a newer version has added have their defaults, or what `BEFORE` says."""
    there = flattened(manifest.config)
    return overridden(manifest.config, [assignment for key, assignment in BEFORE.items() if key not in there])


def config_of(manifest: Manifest, folder: Path) -> Config:
    """The config of a run directory; refuses one that was edited since, and names the keys.

    Keys that a newer version has added are no change.
    """
    if manifest.identity is None and manifest.format > 0:
        raise InputError(f"{folder / rundir.CONFIG} was changed since the run began: it has lost its identity")
    config = config_from_tree(tree_of(manifest))
    seals = _seals(config)
    written = manifest.seals.keys() | flattened(manifest.config).keys()
    changed = [key for key in sorted(written) if not operational(key) and seals.get(key) != manifest.seals.get(key)]
    if changed:
        raise InputError(f"{folder / rundir.CONFIG} was changed since the run began: {', '.join(changed)}")
    return config


def refuse_other_format(manifest: Manifest, folder: Path) -> None:
    """`InputError` where the rest of a run would follow another version's rules than its beginning."""
    if manifest.format != FORMAT:
        raise InputError(
            f"{folder} was begun by {'an older' if manifest.format < FORMAT else 'a newer'} version (format "
            f"{manifest.format}, this version plays format {FORMAT}), so its unfinished part cannot be played as it "
            "began; what is there can be read"
        )


def refuse_changes(running: Config, wanted: Config) -> None:
    """`InputError` naming every key by which a resumed run would give another result."""
    before, now = settings(running), settings(wanted)
    changed = [
        key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key) and not operational(key)
    ]
    if changed:
        raise InputError(f"a run cannot be resumed with another config; changed: {', '.join(changed)}")


def refuse_other_files(manifest: Manifest, files: Mapping[str, str]) -> None:
    """`InputError` naming every data file that is not what it was when the run began."""
    changed = [key for key in sorted(manifest.files.keys() | files.keys()) if files.get(key) != manifest.files.get(key)]
    if changed:
        raise InputError(f"data files have changed since the run began: {', '.join(changed)}")


def _seals(config: Config) -> dict[str, str]:
    return {
        key: hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:16]
        for key, value in settings(config).items()
        if not operational(key)
    }
