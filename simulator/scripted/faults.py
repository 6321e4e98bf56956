"""Faults on request, for tests of everything that calls a model: only a server started with ``--faults`` has them.

``POST /faults`` with a JSON list of rules replaces all rules; the first that fits a request and has uses left acts on
it. ``GET /faults`` shows what is left of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from typing import Any, Literal

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Kind = Literal["status", "hang", "reset", "half_body", "html", "text", "delay", "die", "one_choice", "no_mass"]
"""The last two are answers of a server that does not do what it was asked for: one choice whatever ``n`` says, and
label log-probabilities of -9999 throughout."""
ALWAYS = -1


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """One fault. ``role`` and ``match`` (a substring of the prompt) narrow it down; empty fits all."""

    kind: Kind
    role: str = ""
    match: str = ""
    skip: int = 0
    """Fitting requests to let pass first."""
    times: int = ALWAYS
    """Uses left; -1 is without end."""
    status: int = 500
    retry_after: float | None = None
    """Seconds in the Retry-After header of a ``status``."""
    text: str = ""
    """The fixed reply of a ``text`` (a judge's "4.5", prose, a blank ...), for every choice; a ``status``' message."""
    texts: tuple[str, ...] = ()
    """Replies of a ``text`` by choice, over and over, where its choices are to differ."""
    seconds: float = 0.0
    """Length of a ``delay``."""


class Faults:
    """The rules that are active now, in order."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def replace(self, body: bytes) -> None:
        """Take a JSON list of rules; msgspec's error where it is none."""
        self.rules = msgspec.json.decode(body, type=list[Rule])

    def take(self, role: str, prompt: str) -> Rule | None:
        """The fault for this request, its use counted."""
        for rule in self.rules:
            if rule.times == 0 or (rule.role and rule.role != role) or rule.match not in prompt:
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            rule.times -= rule.times > 0
            return rule
        return None


def spoilt(choices: list[dict[str, Any]], rule: Rule) -> list[dict[str, Any]]:
    """A completion's choices as the fault leaves them."""
    if rule.kind == "one_choice":
        return choices[:1]
    if rule.kind == "no_mass":
        for choice in choices:
            for position in (choice["logprobs"] or {}).get("content", ()):
                for entry in position["top_logprobs"]:
                    entry["logprob"] = -9999.0
    return choices


class TrackedProtocol(HttpToolsProtocol):
    """uvicorn's protocol that remembers its transport by client address, so that a fault can reset a connection."""

    transports: dict[tuple[str, int], asyncio.Transport] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transports[transport.get_extra_info("peername")[:2]] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.transports.pop(self.transport.get_extra_info("peername", ("", 0))[:2], None)
        super().connection_lost(exc)


def reset(scope: dict[str, Any]) -> None:
    """End the connection with a TCP reset."""
    transport = TrackedProtocol.transports[tuple(scope["client"])]
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def hang_up(scope: dict[str, Any]) -> None:
    """Close the connection after what was sent so far."""
    TrackedProtocol.transports[tuple(scope["client"])].close()


def die() -> None:
    """End this process at once, as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)
