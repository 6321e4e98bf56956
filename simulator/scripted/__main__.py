"""``python -m simulator.scripted --graph FILE``: the scripted world as a server process.

Prints one JSON line with its address when it is ready. Exit code 2 for unusable input.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.core.errors import HarnessError
from simulator.scripted.server import serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulator.scripted", description="The scripted world as an LLM.")
    parser.add_argument("--graph", type=Path, required=True, help="knowledge graph, JSON with items")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="added to every chat completion")
    parser.add_argument("--parent-fd", type=int, default=None, help="end when this inherited descriptor is at its end")
    parser.add_argument("--faults", action="store_true", help="allow POST /faults (tests)")
    options = parser.parse_args()
    try:
        serve(
            options.graph,
            port=options.port,
            latency_s=options.latency_ms / 1000.0,
            parent_fd=options.parent_fd,
            faults=options.faults,
        )
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
