"""A number that a test knows to be there, where its type allows that it is missing."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """``value``; fails the test where it is missing."""
    assert value is not None
    return value
