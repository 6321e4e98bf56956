"""The benchmarks run (at sizes that measure nothing), and their figures are shown and written as they should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

import harness
from benchmarks import catalogue, results
from benchmarks.measure import Bench, Goal, Result, json_line, text_table
from benchmarks.saturation import BLOCK, least_computed
from benchmarks.vllm_host import vllm_server
from harness.app.commands import bench
from harness.core.errors import InputError


def result(name: str, figure: float) -> Result:
    return Result(
        name=name,
        title=f"About {name}",
        columns=("what", "figure"),
        rows=(("speed", figure), ("none", None), ("many", 12_000)),
        goals=(Goal(what="speed", figure=figure, bound=1.0, kind="at least"),),
        limit="it is made up.",
    )


@pytest.mark.parametrize("name", ["little", "retrieval"])
def test_a_benchmark_runs(name: str) -> None:
    (found,) = catalogue.run([name], Bench(tiny=True))
    assert found.name == name
    assert found.rows
    assert all(len(row) == len(found.columns) for row in found.rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cpu", "memory", "log", "learner"])
def test_a_slower_benchmark_runs(name: str) -> None:
    test_a_benchmark_runs(name)


def test_goals_are_judged_and_shown() -> None:
    assert json.loads(json_line(result("one", 0.5)))["goals"][0]["met"] is False
    assert "goal at least 1: MISSED" in text_table(result("one", 0.5))
    assert "goal at least 1: met" in text_table(result("one", 1.0))
    assert "12,000" in text_table(result("one", 1.0))


def test_writing_replaces_only_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    results.write([result("one", 0.25), result("two", 0.5)], path)
    results.write([result("one", 0.75)], path)
    text = path.read_text()
    assert text.count("# What the harness costs") == 1
    assert text.index("## About one") < text.index("## About two")
    assert "| speed | 0.75 |" in text
    assert "| speed | 0.5 |" in text
    assert "| speed | 0.25 |" not in text


def test_an_unknown_name_and_an_installation_without_benchmarks_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no benchmark speed; known: little, cpu"):
        bench.bench(["speed"], Console(quiet=True), as_json=False, write=False)
    installed = tmp_path / "harness"
    installed.mkdir()
    monkeypatch.setattr(harness, "__file__", str(installed / "__init__.py"))
    with pytest.raises(InputError, match="belong to the source checkout"):
        bench.bench([], Console(quiet=True), as_json=False, write=False)


def test_the_least_that_a_block_cache_leaves() -> None:
    one = list(range(3 * BLOCK + 5))
    longer = [*one, *range(BLOCK)]
    other = [9, *one]
    # New: all of it. Again: the tail. Longer: what is beyond its first three blocks. Another beginning: all of it.
    expected = len(one) + 5 + (len(longer) - 3 * BLOCK) + len(other)
    assert least_computed([one, one, longer, other]) == expected
    whole = list(range(BLOCK))
    assert least_computed([whole, whole]) == 2 * BLOCK  # the last token is computed always, and so its block


def test_a_vllm_server_that_does_not_start_is_said_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSO_VLLM_PYTHON", str(tmp_path / "no-python"))
    with pytest.raises(InputError) as raised, vllm_server(tmp_path / "vllm"):
        pass
    assert "the vLLM server did not start" in str(raised.value)
    assert "Traceback" not in str(raised.value)
