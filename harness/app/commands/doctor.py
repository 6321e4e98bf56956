"""`doctor`: whether this machine, an experiment's inputs and its servers are fit for a run; nothing is changed.

Each check is a line: ok, note (works, with a limit) or FAILED. One failed check is exit code 1; a config that cannot
be read is exit code 2 like everywhere.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import trio
from msgspec import structs
from rich.console import Console
from rich.text import Text

from harness.app.identity.libraries import PACKAGES
from harness.app.settings.config import Config, Model
from harness.app.settings.configfile import load_config
from harness.core.errors import CheckFailed, HarnessError
from harness.core.messages import Struct
from harness.domain.device import AUTO, CPU, device_of

FREE_BYTES = 2 * 1024**3
"""Disk below which a run is at risk: logs and checkpoints of a long run with a trained encoder."""


class Finding(Struct, frozen=True, kw_only=True):
    """One checked thing."""

    state: Literal["ok", "note", "FAILED"]
    text: str


def doctor(file: Path | None, overrides: list[str], console: Console) -> None:
    """Print all findings; `CheckFailed` if one failed."""
    config = load_config(file, overrides) if file else None
    failed = 0
    for finding in findings(config):
        style = {"ok": "green", "note": "yellow", "FAILED": "bold red"}[finding.state]
        console.print(Text.assemble((f"{finding.state:>6} ", style), finding.text), soft_wrap=True)
        failed += finding.state == "FAILED"
    if failed:
        raise CheckFailed(f"{failed} check{'s' if failed > 1 else ''} failed")


def findings(config: Config | None) -> Iterator[Finding]:
    """All checks, as they are made."""
    yield _python()
    yield from _attempt("packages", _packages)
    yield from _attempt("torch", _torch)
    yield from _attempt("hnswlib", _hnswlib)
    yield from _attempt("planner", lambda: _device(config.planner.device if config else AUTO))
    yield from _attempt("encoder", lambda: _encoder(config.planner.encoder if config else "minilm"))
    folder = Path(config.run.directory) if config else Path.cwd()
    yield _disk(folder)
    if config:
        yield from _attempt("inputs", lambda: _inputs(config))
        if config.planner.init:
            yield from _attempt("planner.init", lambda: _init(config))
        for name in config.models_in_use:
            yield from _server(name, config.models[name])


def _attempt(what: str, check: Callable[[], str]) -> Iterator[Finding]:
    try:
        yield Finding(state="ok", text=check())
    except HarnessError as error:
        yield Finding(state="FAILED", text=f"{what}: {error}")
    except Exception as error:  # a broken installation can fail in any way; this command says how
        yield Finding(state="FAILED", text=f"{what}: {type(error).__name__}: {error}")


def _python() -> Finding:
    fits = (3, 11) <= sys.version_info[:2] < (3, 13)
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding(state="ok" if fits else "FAILED", text=text if fits else f"{text}; 3.11 or 3.12 is needed")


def _packages() -> str:
    return ", ".join(f"{name} {version(name)}" for name in PACKAGES)


def _torch() -> str:
    import torch

    from harness.domain.text_encoder import use_one_thread

    use_one_thread()
    return f"torch {torch.__version__}, {torch.get_num_threads()} thread for acting"


def _device(wanted: str) -> str:
    import torch

    device = device_of(wanted)
    if device.type == CPU:
        why = ", since torch sees no GPU" if wanted == AUTO else ""
        return f"the planner lives on the CPU (planner.device = {wanted}{why}), {_memory_gib():.0f} GiB of memory"
    free, total = (size / 1024**3 for size in torch.cuda.mem_get_info(device))
    return (
        f"the planner lives on {device} (planner.device = {wanted}): {torch.cuda.get_device_name(device)}, "
        f"{free:.1f} of {total:.1f} GiB free; an update of RoBERTa needs 4, beside what model servers take"
    )


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3


def _hnswlib() -> str:
    import hnswlib
    import numpy as np

    index = hnswlib.Index(space="cosine", dim=8)
    index.init_index(max_elements=8, random_seed=0)
    index.add_items(np.eye(8, dtype=np.float32), num_threads=1)
    labels, _ = index.knn_query(np.eye(8, dtype=np.float32)[3:4], k=1)
    if labels[0][0] != 3:
        raise CheckFailed("hnswlib finds the wrong neighbour")
    return "hnswlib builds and searches"


def _encoder(name: str) -> str:
    from harness.domain.text_encoder import load_encoder

    encoder = load_encoder(name)
    return f"encoder {name}: {encoder.width} dimensions, SHA-256 of the weights {encoder.sha256}"


def _disk(folder: Path) -> Finding:
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    return Finding(
        state="ok" if free >= FREE_BYTES else "FAILED", text=f"{free / 1024**3:.1f} GiB free for runs in {folder}"
    )


def _inputs(config: Config) -> str:
    from harness.app.setup.inputs import read_inputs

    inputs = read_inputs(config)
    turns = sum(len(dialogue.labelled_turns) for dialogue in inputs.dialogues)
    return (
        f"{len(inputs.graph.items)} films, {len(inputs.dialogues)} dialogues with {turns} labelled turns, "
        f"{len(inputs.held_out)} held-out and {len(inputs.training)} training scenarios"
    )


def _init(config: Config) -> str:
    from harness.app.setup.wiring import planner_of
    from harness.domain.strategies import strategy_set
    from learner.checkpoint import load_checkpoint

    saved = load_checkpoint(Path(config.planner.init))
    planner = planner_of(config, strategy_set(config.data.labels))
    if planner is None:
        raise CheckFailed(f"a planner of kind {config.planner.kind!r} starts from no checkpoint")
    saved.restore(planner)
    return f"planner.init {config.planner.init}: version {saved.meta.version}, fits this planner"


def _server(name: str, model: Model) -> Iterator[Finding]:
    from harness.app.setup.server_check import Said, running, startable
    from harness.app.setup.wiring import client_of

    async def ask() -> list[Said]:
        # One try a question: this checks whether a server answers now.
        async with client_of(name, structs.replace(model, retry_s=0.0), model.base_url) as client:
            return await running(name, model, client, os.environ.get(model.api_key_env) if model.api_key_env else None)

    try:
        said = trio.run(ask) if model.base_url else startable(name, model)
    except HarnessError as error:
        said = [("FAILED", f"models.{name}: {error}")]
    except Exception as error:  # as in _attempt: this command says how something is broken
        said = [("FAILED", f"models.{name}: {type(error).__name__}: {error}")]
    for state, text in said:
        yield Finding(state=state, text=text)
