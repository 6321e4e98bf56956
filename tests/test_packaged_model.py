"""Packaged models: converted once by a Python that can, said plainly where none can. The weights here are made up."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import platformdirs
import pytest
import trio
from rich.console import Console

from harness.app.console.progress import Progress
from harness.app.settings.config import Model
from harness.app.setup import packaged_model
from harness.app.setup.convert_gguf import REQUIRED
from harness.app.setup.packaged_model import PACKAGED, converted, folder_of, resolve, server_python
from harness.app.setup.servers import vllm_command
from harness.core.errors import InputError

SCRIPT = Path(packaged_model.__file__).with_name("convert_gguf.py")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_: str(tmp_path / "cache"))
    monkeypatch.setattr(packaged_model, "_fit", lambda _: False)
    monkeypatch.delenv("RSO_VLLM_PYTHON", raising=False)


def quiet() -> Progress:
    return Progress(Console(file=io.StringIO()), quiet=True)


def python_that(tmp_path: Path, *commands: str) -> str:
    """A stand-in for a Python: a shell program; $9 is the folder to be made."""
    program = tmp_path / "python"
    program.write_text("\n".join(["#!/bin/sh", "shift 8", *commands]))
    program.chmod(0o755)
    return str(program)


def test_the_folder_is_made_once(tmp_path: Path) -> None:
    done = """mkdir -p "$1"; echo made >> %s/count; echo '{"event": "done", "text": "x"}'"""
    python = python_that(tmp_path, "echo a library speaks", done % tmp_path)

    async def main() -> None:
        assert await converted("smollm2", python, quiet()) == folder_of("smollm2")
        assert await resolve(Model(backend="vllm", model="smollm2", python=python), quiet()) == str(
            folder_of("smollm2")
        )

    trio.run(main)
    assert folder_of("smollm2").is_dir()
    assert (tmp_path / "count").read_text() == "made\n"


def test_other_models_are_taken_as_they_are() -> None:
    assert trio.run(resolve, Model(backend="vllm", model="Qwen/Qwen2.5-7B-Instruct"), quiet()) == (
        "Qwen/Qwen2.5-7B-Instruct"
    )


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("""echo '{"event": "failed", "text": "p lacks gguf"}'; exit 1""", "could not be converted: p lacks gguf"),
        ("echo Killed; exit 137", "could not be converted: Killed"),
        ("""echo '{"event": "done", "text": ""}'; exit 1""", "ended without a word"),
    ],
)
def test_a_failed_conversion_is_one_sentence(tmp_path: Path, command: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        trio.run(converted, "smollm2", python_that(tmp_path, command), quiet())


def test_a_python_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="there is no program /no/python"):
        trio.run(converted, "smollm2", "/no/python", quiet())


def test_a_cancelled_conversion_ends_its_process(tmp_path: Path) -> None:
    python = python_that(tmp_path, f"echo $$ > {tmp_path}/pid", "exec sleep 60")

    async def main() -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(converted, "smollm2", python, quiet())
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():  # noqa: ASYNC110  # a file
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        return int((tmp_path / "pid").read_text())

    pid = trio.run(main)
    assert not Path(f"/proc/{pid}").exists()


def said_by_script(tmp_path: Path, sha256: str) -> dict[str, str]:
    for module in (*REQUIRED, "carrier"):
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").touch()
    (tmp_path / "carrier" / "m.gguf").write_bytes(b"GGUF")
    wanted = ["--package", "carrier", "--file", "m.gguf", "--sha256", sha256, "--to", str(tmp_path / "out")]
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), *wanted],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def test_a_file_with_another_content_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    found = hashlib.sha256(b"GGUF").hexdigest()
    assert said_by_script(tmp_path, "0" * 64) == {
        "event": "failed",
        "text": f"m.gguf has SHA-256 {found}, expected {'0' * 64}",
    }
    assert not (tmp_path / "out").exists()


def test_which_python_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_python(Model(backend="vllm")) == sys.executable
    monkeypatch.setenv("RSO_VLLM_PYTHON", "/env/python")
    assert server_python(Model(backend="vllm")) == "/env/python"
    assert server_python(Model(backend="vllm", python="/own/python")) == "/own/python"


def test_the_servers_command_line() -> None:
    model = Model(backend="vllm", model="smollm2", python="py", arguments=("--max-model-len", "2048"))
    command = vllm_command(model, 8000, "/folder")
    assert command[:3] == ["py", "-m", "vllm.entrypoints.openai.api_server"]
    assert command[-2:] == ["--max-model-len", "2048"]
    pairs = dict(pairwise(command))
    assert pairs["--model"] == "/folder"
    assert pairs["--served-model-name"] == "smollm2"
    assert pairs["--host"] == "127.0.0.1"
    assert PACKAGED["smollm2"].sha256[:16] in folder_of("smollm2").name
