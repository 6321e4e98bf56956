"""Results are paired only where they are of the same people and goals."""

from __future__ import annotations

from collections.abc import Mapping

from harness.core.errors import InputError


def refuse_other_pools(pools: Mapping[str, str]) -> None:
    """`InputError`, naming two of them, where results are not all of one held-out pool.

    Args:
        pools: name of a result -> digest of its held-out people and goals; empty where an older version, whose people
            and goals could differ from run to run, did not keep it.
    """
    first, *others = pools or [""]
    for name in others:
        if pools[name] != pools[first] or not pools[name]:
            digests = " and ".join(pools[one][:12] or "unknown, of an older version" for one in (first, name))
            raise InputError(
                f"{first} and {name} are not of the same held-out people and goals ({digests}) and cannot be paired: "
                "play them again in a new directory"
            )
