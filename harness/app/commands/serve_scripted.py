"""`serve-scripted`: the scripted world as a server of its own, until interrupted."""

from __future__ import annotations

from pathlib import Path

from simulator.scripted.server import serve as serve_world


def serve(graph: Path, port: int, latency_ms: float, faults: bool) -> None:
    """Blocks; prints the address when ready. An occupied port or an unreadable graph is an `InputError`."""
    serve_world(graph, port=port, latency_s=latency_ms / 1000, faults=faults)
