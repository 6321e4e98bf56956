"""A whole study through the command line: worker processes, the real HTTP path, resumption after kills and signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from support.forked import Child, Forkery

from harness.app.grid.cell import read_result
from harness.app.grid.engine import WORKER
from harness.app.grid.study.cell import ArmResult
from harness.app.grid.study.findings import Findings
from harness.app.settings.configfile import load_config
from harness.core.errors import DataError

ROOT = Path(__file__).parent.parent
FILE = """
[study]
experiment = "{experiments}/tiny.toml"
directory = "runs"
seeds = [3, 5]
scenarios = 4
base = "warmup"
tested = "rl"
bound = "knows"
set = [
    "planner.kind=tabular", "warmup.epochs=1", "conversation.max_turns=3", "rl.epochs=1", "rl.dialogues_per_epoch=24",
    'evaluation.phases=["rl"]',
]
[arms.fixed]
search = "strategy"
set = ['evaluation.phases=["before"]']
[arms.warmup]
set = ["rl.epochs=0", 'evaluation.phases=["warmup"]']
[arms.rl]
[arms.beta_0]
set = ["rl.entropy_coefficient=0.0"]
[arms.knows]
set = ["planner.kind=rule", "planner.rule=knows_persona", 'evaluation.phases=["before"]']
"""
INLINE = "cells_in_this_process"
CELLS = [f"{arm}.s{seed}" for seed in (3, 5) for arm in ("fixed", "warmup", "rl", "beta_0", "knows")]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(FILE.format(experiments=ROOT / "experiments"))
    return path


@pytest.fixture(scope="module")
def done(forkery: Forkery, file: Path) -> tuple[Path, str]:
    folder = file.parent / "done"
    child = forkery.run("study", file, "--run-dir", folder, sabotage=INLINE)
    assert child.wait() == 0, child.said()
    return folder, child.said()


def results(folder: Path) -> dict[str, ArmResult]:
    found = {name: read_result(folder / "cells" / name, ArmResult) for name in CELLS}
    return {name: result for name, result in found.items() if result is not None}


def findings(folder: Path) -> Findings:
    return msgspec.json.decode((folder / "study.json").read_bytes(), type=Findings)


def test_every_cell_is_played_on_the_same_scenarios(done):
    found = results(done[0])
    assert list(found) == CELLS
    assert len({tuple(sorted(result.values["conv_sr"])) for result in found.values()}) == 1
    assert all(len(result.values["conv_sr"]) == 4 for result in found.values())


def test_seeds_have_other_luck_and_other_trainings(done):
    found = results(done[0])
    assert found["rl.s3"].digest != found["rl.s5"].digest
    assert found["rl.s3"].weights != found["rl.s5"].weights


def test_tables_claims_and_figures_are_there(done):
    folder, said = done
    assert not findings(folder).missing
    assert "rl > warmup in Conv-SR" in said
    assert "World: scripted world" in said
    assert "Decisions of rl: horizon absorbing" in said
    for name in ("effects.svg", "learning_curves.svg", "strategies.svg", "study.md"):
        assert (folder / name).stat().st_size > 0


def test_a_finished_study_plays_nothing_and_says_the_same(forkery, file, done):
    before = (done[0] / "study.json").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in (done[0] / "cells").rglob("*") if path.is_file()}
    child = forkery.run("study", file, "--run-dir", done[0])
    assert child.wait() == 0, child.said()
    assert "cells to play" not in child.said()
    assert (done[0] / "study.json").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_other_commands_know_a_study_for_what_it_is(forkery, done):
    listed = forkery.run("runs", done[0].parent)
    assert listed.wait() == 0
    assert "study, done" in listed.said()
    report = forkery.run("report", done[0])
    assert report.wait() == 2
    assert "is a study, not a run" in report.errors()
    assert forkery.run("report", done[0] / "cells" / "rl.s3", "--out", done[0] / "rl.html").wait() == 0


def test_changed_settings_are_refused_and_named(forkery, file, done):
    child = forkery.run("study", file, "--run-dir", done[0], "--set", "rl.gamma=0.5")
    assert child.wait() == 2
    assert "changed: rl.gamma" in child.errors()


def test_another_prompt_is_refused_and_named(forkery, file, done):
    child = forkery.run("study", file, "--run-dir", done[0], sabotage="another_prompt")
    assert child.wait() == 2
    assert "prompt actor" in child.errors()
    assert not list(done[0].rglob("sittings.jsonl"))


def test_another_folder_is_not_taken(forkery, file, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    child = forkery.run("study", file, "--run-dir", tmp_path)
    assert child.wait() == 2
    assert "is not the directory of a study" in child.errors()


def begun(child: Child, folder: Path) -> None:
    """Waits until the first planner is at its training."""
    ends_at = time.monotonic() + 60.0
    while not any(b'"train"' in path.read_bytes() for path in folder.glob("cells/*/episodes.jsonl")):
        assert child.poll() is None, child.said()
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def workers(folder: Path) -> list[int]:
    """Processes that have a file of the study open (its workers, and their servers' logs)."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            opened = [os.readlink(link) for link in (process / "fd").iterdir()] if process.name.isdigit() else []
        except OSError:
            continue
        if any(name.startswith(str(folder)) for name in opened):
            found.append(int(process.name))
    return found


def gone(folder: Path) -> None:
    ends_at = time.monotonic() + 20.0
    while left := workers(folder):
        assert time.monotonic() < ends_at, left
        time.sleep(0.05)


def test_kill_and_interruption_leave_no_process_and_change_no_result(forkery, file, done, tmp_path):
    folder = tmp_path / "stopped"
    killed = forkery.start("study", file, "--run-dir", folder)
    begun(killed, folder)
    killed.signal(signal.SIGKILL)
    killed.wait()
    gone(folder)
    asked = forkery.start("study", file, "--run-dir", folder)
    begun(asked, folder)
    time.sleep(0.5)
    asked.signal(signal.SIGINT)
    assert asked.wait() in (130, 0), asked.said()  # 0: everything was finished before the signal came
    gone(folder)
    last = forkery.run("study", file, "--run-dir", folder)
    assert last.wait() == 0, last.said()
    kept = {name: (result.digest, result.weights, result.values) for name, result in results(done[0]).items()}
    assert {name: (result.digest, result.weights, result.values) for name, result in results(folder).items()} == kept


def test_a_cell_that_fails_is_named_and_the_others_are_played(forkery, file, done, tmp_path):
    folder = tmp_path / "failing"
    shutil.copytree(done[0], folder)
    for name in ("rl.s3", "knows.s5"):
        (folder / "cells" / name / "result.json").unlink()
    log = folder / "cells" / "rl.s3" / "episodes.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:5], b"no event\n", *lines[5:]]))
    child = forkery.run("study", file, "--run-dir", folder, sabotage=INLINE)
    assert child.wait() == 1, child.said()
    assert "1 of 10 cells failed (the first: rl.s3: " in child.errors()
    assert findings(folder).missing == ("rl.s3",)
    assert results(folder)["knows.s5"].values == results(done[0])["knows.s5"].values


def test_the_worker_answers_in_lines_and_ends_with_its_input(tmp_path):
    lost = [
        "models.default.backend=openai",
        "models.default.base_url=http://127.0.0.1:9/v1",
        "models.default.retry_s=0.0",
    ]
    config = msgspec.to_builtins(load_config(ROOT / "experiments" / "tiny.toml", lost))
    cell = {"arm": "a", "seed": 0, "config": config}
    order = {"kind": "study", "name": "a.s0", "directory": str(tmp_path / "cell"), "cell": cell}
    with subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(msgspec.json.encode(order) + b"\n")
        worker.stdin.flush()
        answer = msgspec.json.decode(worker.stdout.readline())
        worker.stdin.close()
        assert worker.wait(20) == 0
    assert "127.0.0.1:9" in answer["error"]
    assert not answer["interrupted"]


def test_results_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(DataError, match="is not a cell's result"):
        read_result(tmp_path, ArmResult)


def test_the_small_file_of_results_makes_the_same_tables_and_other_settings_are_played(
    done: tuple[Path, str], file: Path, forkery: Forkery, tmp_path: Path
) -> None:
    kept = done[0] / "results.json.gz"
    again = forkery.run("study", file, "--run-dir", tmp_path / "again", "--results", kept, sabotage=INLINE)
    assert again.wait() == 0, again.said()
    assert not (tmp_path / "again" / "cells").exists()
    for name in ("study.md", "effects.svg", "results.json.gz"):  # study.json also has what the file leaves out
        assert (tmp_path / "again" / name).read_bytes() == (done[0] / name).read_bytes(), name
    other = forkery.run(
        "study", file, "--run-dir", tmp_path / "other", "--results", kept, "--only", "fixed",
        "--set", "conversation.max_turns=2", sabotage=INLINE,
    )  # fmt: skip
    assert other.wait() == 0, other.said()
    assert len(list((tmp_path / "other" / "cells").iterdir())) > 0
    broken = tmp_path / "broken.json.gz"
    broken.write_bytes(kept.read_bytes()[:100])
    refused = forkery.run("study", file, "--results", broken)
    assert (refused.poll(), refused.errors().count("\n")) == (2, 1)
