"""The digest of a run: what was played, without anything that depends on clock, network or cache.

Two equal runs have the same digest, and the digest of an old run never changes. So a field that was added to an event
later is part of the digest only where its value is not its default. Fields of the first format are always part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from harness.core.log.codec import encode_record
from harness.core.log.episode import Episode

_NOT_IN_DIGEST = frozenset({"timing", "cached_tokens", "message"})
"""Depends on clock, network and what else the server was doing (a failure's message names its port), so two equal runs
may differ in it."""

_FIRST_FORMAT = {
    "Opening": {"feelings", "usage"},
    "Transition": {"stop", "usage"},
    "SeekerReply": {"feelings", "accepted", "quit"},
    "Score": {"raw", "invalid", "reward", "label_mass", "distribution"},
    "Usage": {"calls", "prompt_tokens", "completion_tokens", "truncated"},
    "EpisodeEnded": {"evaluation", "failure", "usage"},
}
"""Fields with a default that have always been in the digest. Nothing is ever added here."""


def run_digest(episodes: Iterable[Episode]) -> str:
    """SHA-256 (hex) of finished episodes.

    Args:
        episodes: in order of phase and index.

    Raises:
        ValueError: the episodes are in another order.
    """
    digest = hashlib.sha256()
    last = ("", -1)
    for episode in episodes:
        place = (episode.started.phase, episode.started.index)
        if place <= last:
            raise ValueError(f"episode {episode.id} is digested out of order")
        last = place
        for event in episode.events:
            digest.update(encode_record(_timeless(event)) + b"\n")
    return digest.hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        tag, fields = _shape(type(value))
        tree = dict(tag)
        for name, default in fields:
            found = getattr(value, name)
            if default is msgspec.NODEFAULT or found != default:
                tree[name] = _timeless(found)
        return tree
    if isinstance(value, dict):
        return {key: _timeless(entry) for key, entry in value.items() if key not in _NOT_IN_DIGEST}
    if isinstance(value, tuple | list) and value and isinstance(value[0], msgspec.Struct):
        return [_timeless(entry) for entry in value]
    return value


@cache
def _shape(kind: type[msgspec.Struct]) -> tuple[dict[str, Any], tuple[tuple[str, Any], ...]]:
    """The tag of a struct, and (name, default) of each of its fields in the digest; a default value is left out."""
    config = kind.__struct_config__
    tag = {config.tag_field: config.tag} if config.tag_field else {}
    always = _FIRST_FORMAT.get(kind.__name__, set())
    fields = []
    for field in msgspec.structs.fields(kind):
        if field.name in _NOT_IN_DIGEST:
            continue
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        fields.append((field.name, msgspec.NODEFAULT if field.name in always else default))
    return tag, tuple(fields)
