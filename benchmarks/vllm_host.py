"""``python -m benchmarks.vllm_host FOLDER``: a harness that does nothing but keep a vLLM server, as a run does.

Prints the server's address and waits. Its own process, so that a test can kill the harness and see the server end, and
a benchmark can run event loops of its own. The server can be told to forget its prefix cache (vLLM's development mode).
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import trio
from rich.console import Console

from harness.app.console.progress import Progress
from harness.app.console.show import show_progress
from harness.app.settings.config import Model
from harness.app.settings.configfile import load_config
from harness.app.setup.servers import open_server
from harness.core.errors import InputError, leaves
from harness.core.log.rundir import LOGS
from harness.domain.knowledge_graph import KnowledgeGraph

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "smollm2_cpu.toml"


def smollm2() -> Model:
    """The model of the experiment file: what is tested is what is shipped."""
    return load_config(EXPERIMENT).models["default"]


@contextmanager
def vllm_server(folder: Path) -> Iterator[str]:
    """The server's base URL; `InputError` with the end of its log where it does not start."""
    log = folder.with_suffix(".err")
    with open(log, "w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.vllm_host", str(folder)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=EXPERIMENT.parents[1],
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise InputError(f"the vLLM server did not start (docs/vllm.md): {_reason(log.read_text())}")
        yield json.loads(line)["base_url"]
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def _reason(said: str) -> str:
    """What the harness said last, without its progress lines."""
    return said[max(said.rfind("the server default"), 0) :].strip()[-1500:]


def forget_prefixes(base_url: str) -> None:
    """The server's prefix cache is empty afterwards."""
    url = f"{base_url.removesuffix('/v1')}/reset_prefix_cache"
    with urllib.request.urlopen(urllib.request.Request(url, data=b"", method="POST"), timeout=60):
        pass


async def main(folder: Path) -> None:
    (folder / LOGS).mkdir(parents=True)
    progress = Progress(Console(file=sys.stderr))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(show_progress, progress)
        model = smollm2()
        model = msgspec.structs.replace(model, environment=model.environment | {"VLLM_SERVER_DEV_MODE": "1"})
        async with open_server("default", model, KnowledgeGraph.from_items(()), folder, progress) as base_url:
            print(json.dumps({"base_url": base_url}), flush=True)
            await trio.sleep_forever()


if __name__ == "__main__":
    said = ""
    try:
        trio.run(main, Path(sys.argv[1]))
    except* InputError as group:
        said = " ".join(str(error) for error in leaves(group))
    if said:  # an exit from within `except*` would be printed as a group with its traceback
        sys.exit(said)
