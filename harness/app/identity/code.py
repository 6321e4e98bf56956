"""The code that runs: version, commit, whether files differ from it, and a digest of the source itself.

Outside of a git checkout (an installed wheel, a copied folder, no git, another user's checkout, which git refuses to
read) commit and state are "unknown"; the digest of the source still tells two states apart.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.core.messages import Struct

UNKNOWN, CLEAN, DIRTY = "unknown", "clean", "dirty"
ROOT = Path(__file__).parents[3]
"""Folder of the packages below: the checkout, or ``site-packages``."""
PACKAGES = ("experts", "harness", "learner", "simulator")
_GIT_S = 10.0
"""A file system that does not answer must not block the start of a run."""


class Code(Struct, frozen=True, kw_only=True):
    """One state of the project's code."""

    version: str
    commit: str
    dirt: str
    """``clean``, ``dirty`` (files of the packages differ from the commit) or ``unknown``."""
    source: str
    """SHA-256 of all Python files of the packages."""


@lru_cache(maxsize=8)
def code_of(root: Path = ROOT) -> Code:
    """The code below ``root``; never raises."""
    commit, dirt = _commit(root)
    return Code(version=_version(), commit=commit, dirt=dirt, source=_source(root))


def _version() -> str:
    try:
        return version("rso-harness")
    except PackageNotFoundError:
        return UNKNOWN


def _source(root: Path) -> str:
    whole = hashlib.sha256()
    try:
        for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
            whole.update(path.relative_to(root).as_posix().encode() + b"\0")
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError:
        return UNKNOWN
    return whole.hexdigest()


def _commit(root: Path) -> tuple[str, str]:
    # A virtual environment may be inside another checkout: only files that git knows belong to its commit.
    known = _git(root, "ls-files", "--error-unmatch", "--", *(f"{package}/__init__.py" for package in PACKAGES))
    commit = _git(root, "rev-parse", "--verify", "HEAD") if known is not None else None
    if commit is None:
        return UNKNOWN, UNKNOWN
    changed = _git(root, "status", "--porcelain", "--untracked-files=normal", "--", *PACKAGES)
    return commit, UNKNOWN if changed is None else DIRTY if changed else CLEAN


def _git(root: Path, *arguments: str) -> str | None:
    """What git printed; None where it failed."""
    # A hook's environment names another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *arguments],
            cwd=root,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
