"""``python vllm_host.py FOLDER``: a harness that does nothing but keep a vLLM server, as a run does.

Prints the server's address and waits. Its own process, so that a test can kill the harness and see the server end.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio
from rich.console import Console

from harness.app.progress import Progress
from harness.app.servers import open_server
from harness.core.config import Model, load_config
from harness.core.rundir import LOGS
from harness.domain.knowledge_graph import KnowledgeGraph

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "smollm2_cpu.toml"


def smollm2() -> Model:
    """The model of the experiment file: what is tested is what is shipped."""
    return load_config(EXPERIMENT).models["default"]


async def main(folder: Path) -> None:
    (folder / LOGS).mkdir(parents=True)
    progress = Progress(Console(file=sys.stderr))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(progress.show)
        async with open_server("default", smollm2(), KnowledgeGraph.from_items(()), folder, progress) as base_url:
            print(json.dumps({"base_url": base_url}), flush=True)
            await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
