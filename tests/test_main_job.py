"""The main job through its command line and the real HTTP path: outputs, digests, kills, resumption, bad input."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.forked import Child, Forkery

from harness.core.log.loggedepisodes import read_episodes
from learner.checkpoint import load_checkpoint, newest_checkpoint

ROOT = Path(__file__).parent.parent
TINY = ROOT / "experiments" / "tiny.toml"
QUICK = ["--quiet", "--set", "planner.kind=tabular", "--set", "warmup.epochs=1"]
"""The whole path without the minutes of reading: a planner that looks up instead of encoding."""


def summary_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode((folder / "summary.json").read_bytes())
    return found


def weights(folder: Path) -> str:
    newest = newest_checkpoint(folder / "checkpoints")
    assert newest is not None
    return load_checkpoint(newest).meta.weights_hash


@pytest.fixture(scope="module")
def whole(forkery: Forkery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with the encoder."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = forkery.run("run", TINY, "--run-dir", folder, "--quiet")
    assert done.poll() == 0, done.errors()
    assert "scripted world" in done.output()
    return folder


@pytest.fixture(scope="module")
def reference(forkery: Forkery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with the tabular planner, one conversation at a time."""
    folder = tmp_path_factory.mktemp("runs") / "reference"
    done = forkery.run("run", TINY, "--run-dir", folder, *QUICK, "--set", "scheduler.max_live_conversations=1")
    assert done.poll() == 0, done.errors()
    return folder


def test_the_run_directory_keeps_its_promises(whole: Path) -> None:
    summary = summary_of(whole)
    assert [phase["name"] for phase in summary["phases"]] == ["before", "warmup", "rl"]
    assert [phase["policy_version"] for phase in summary["phases"]] == [-1, 0, 2]
    for phase in summary["phases"]:
        assert (phase["episodes"], phase["errors"]) == (6, 0)
        for name in ("mean_return", "mean_objective", "conv_sr", "turns", "rec_sr", "recall_1", "recall_5"):
            assert phase["metrics"][name]["n"] == 6, name
        assert phase["metrics"]["strategy_entropy"]["mean"] > 0
    assert summary["complete"]
    assert summary["world"].startswith("scripted world")
    assert summary["tokens"]["actor"]["prompt_tokens"] > 0
    episodes = read_episodes(whole / "episodes.jsonl")
    assert len(episodes) == 3 * 6 + 8
    before = [e for e in episodes if e.started.phase == "before"]
    after = [e for e in episodes if e.started.phase == "rl"]
    assert [(e.started.scenario, e.started.seed) for e in before] == [
        (e.started.scenario, e.started.seed) for e in after
    ]
    trained = [e.started for e in episodes if e.started.phase == "train"]
    assert [start.policy_version for start in trained] == [0] * 4 + [1] * 4
    assert not {s.scenario.goal.target for s in trained} & {e.started.scenario.goal.target for e in before}
    kinds = [msgspec.json.decode(line)["type"] for line in (whole / "metrics.jsonl").read_bytes().splitlines()]
    assert kinds == ["evaluation", "warmup", "evaluation", "update", "update", "evaluation"]
    assert weights(whole) != load_checkpoint(whole / "checkpoints" / "v000000").meta.weights_hash


def test_no_second_run_in_one_directory(forkery: Forkery, whole: Path) -> None:
    again = forkery.run("run", TINY, "--run-dir", whole)
    assert again.poll() == 2
    assert again.errors().count("\n") == 1
    assert "already exists" in again.errors()


def test_resuming_a_finished_run_changes_nothing(forkery: Forkery, whole: Path) -> None:
    before = {name: (whole / name).read_bytes() for name in ("episodes.jsonl", "metrics.jsonl", "summary.json")}
    done = forkery.run("resume", whole, "--quiet")
    assert done.poll() == 0, done.errors()
    assert before == {name: (whole / name).read_bytes() for name in before}
    assert "after" in done.output()


def alone(folder: Path, *settings: str) -> subprocess.Popen[str]:
    """A run that is no fork: it starts as its user starts it, and Python hashes its words in another order."""
    return subprocess.Popen(
        [sys.executable, "-m", "harness", "run", str(TINY), "--run-dir", str(folder), *QUICK, *settings],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_one_digest_at_any_concurrency(forkery: Forkery, reference: Path, tmp_path: Path) -> None:
    done = forkery.run("run", TINY, "--run-dir", tmp_path / "8", *QUICK, "--set", "scheduler.max_live_conversations=8")
    assert done.poll() == 0, done.errors()
    with alone(tmp_path / "64", "--set", "scheduler.max_live_conversations=64") as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    for folder in (tmp_path / "8", tmp_path / "64"):
        assert summary_of(folder)["digest"] == summary_of(reference)["digest"]
        assert weights(folder) == weights(reference)


def ended(folder: Path) -> int:
    log = folder / "episodes.jsonl"
    return log.read_bytes().count(b'"type":"episode_ended"') if log.exists() else 0


def wait_until(process: Child | subprocess.Popen[str], folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while ended(folder) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def kill(process: Child, folder: Path, count: int) -> None:
    wait_until(process, folder, count)
    process.signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(("kill_at", "kill_again_at"), [(3, 9), (13, 15)])
def test_killed_with_9_and_resumed_nothing_is_lost_or_played_twice(
    forkery: Forkery, reference: Path, tmp_path: Path, kill_at: int, kill_again_at: int
) -> None:
    folder = tmp_path / "run"
    process = forkery.start("run", TINY, "--run-dir", folder, *QUICK, "--set", "models.default.latency_ms=20")
    kill(process, folder, kill_at)
    finished_then = [line for line in (folder / "episodes.jsonl").read_bytes().split(b"\n") if b"episode_ended" in line]
    kill(forkery.start("resume", folder, "--quiet"), folder, kill_again_at)
    done = forkery.run("resume", folder, "--quiet")
    assert done.poll() == 0, done.errors()
    lines = (folder / "episodes.jsonl").read_bytes().split(b"\n")
    assert [line for line in lines if b"episode_ended" in line][: len(finished_then)] == finished_then
    ends = [msgspec.json.decode(line)["episode"] for line in lines if b"episode_ended" in line]
    assert len(ends) == len(set(ends)) == 26
    assert weights(folder) == weights(reference)


def test_an_interrupted_run_drains_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    slowly = ["--set", "models.default.latency_ms=30", "--set", "scheduler.max_live_conversations=2"]
    with alone(folder, *slowly) as process:
        wait_until(process, folder, 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert f"harness resume {folder}" in err
    assert "Traceback" not in err
    assert "INCOMPLETE" in out
    assert not summary_of(folder)["complete"]
    started = (folder / "episodes.jsonl").read_bytes().count(b'"type":"episode_started"')
    assert started == ended(folder)


def test_a_changed_config_is_refused_by_key(forkery: Forkery, whole: Path, tmp_path: Path) -> None:
    refused = forkery.run("resume", whole, "--set", "rl.gamma=0.5", "--set", "budget.calls=1000000")
    assert refused.poll() == 2
    assert "changed: rl.gamma" in refused.errors()
    edited = tmp_path / "edited"
    edited.mkdir()
    text = (whole / "config.json").read_text().replace('"seed": 0', '"seed": 1')
    (edited / "config.json").write_text(text)
    refused = forkery.run("resume", edited)
    assert refused.poll() == 2
    assert "was changed since the run began: run.seed" in refused.errors()


def test_a_budget_stops_the_run_resumably(forkery: Forkery, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stopped = forkery.run("run", TINY, "--run-dir", folder, *QUICK, "--set", "budget.calls=40")
    assert stopped.poll() == 3
    assert "budget.calls = 40 is reached" in stopped.errors()
    done = forkery.run("resume", folder, "--quiet", "--set", "budget.calls=0")
    assert done.poll() == 0, done.errors()
    assert summary_of(folder)["complete"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "rl.gama=1"], "rl.gama: there is no such key; did you mean rl.gamma?"),
        (["--set", "data.inspired=nowhere.tsv"], "nowhere.tsv"),
        (["--set", "data.knowledge_graph=nowhere.json"], "nowhere.json"),
        (["--set", "planner.encoder=./nowhere"], "nowhere"),
        (["--set", "planner.init=./nowhere"], "nowhere"),
        (["--set", "planner.kind=fixed", "--set", "planner.strategy=charm"], "planner.strategy: 'charm' is none of"),
        (["--set", "evaluation.dialogues=5000"], "goals"),
        (["--set", "models.default.api_key_env=NO_SUCH_KEY_HERE"], "NO_SUCH_KEY_HERE is not set"),
        (["--banana"], "No such option"),
    ],
)
def test_bad_input_is_one_sentence_and_no_run(
    forkery: Forkery, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    folder = tmp_path / "run"
    refused = forkery.run("run", TINY, "--run-dir", folder, *arguments)
    assert refused.poll() == 2, refused.errors()
    assert sentence in refused.errors()
    assert refused.errors().count("\n") == 1
    assert not folder.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("dialog_id\tutt_id\n", "bad.tsv"),
        ("", "bad.tsv"),
    ],
)
def test_a_bad_dataset_is_named(forkery: Forkery, tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "bad.tsv").write_text(content)
    refused = forkery.run("run", TINY, "--run-dir", tmp_path / "run", "--set", f"data.inspired={tmp_path / 'bad.tsv'}")
    assert refused.poll() == 2
    assert sentence in refused.errors()


def test_an_occupied_port_is_named(forkery: Forkery, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = forkery.run(
            "run", TINY, "--run-dir", tmp_path / "run", *QUICK, "--set", f"models.default.port={port}"
        )
    assert refused.poll() == 2
    assert f"port {port}" in refused.errors()


def test_dry_run_calls_nothing_and_writes_nothing(forkery: Forkery, tmp_path: Path) -> None:
    done = forkery.run("run", TINY, "--run-dir", tmp_path / "run", "--dry-run")
    assert done.poll() == 0, done.errors()
    assert "config digest" in done.output()
    assert "episodes: before 6, warmup 6, train 8, rl 6" in done.output()
    assert not (tmp_path / "run").exists()


def test_dry_run_needs_no_encoder_from_a_hub_but_a_real_checkpoint(forkery: Forkery) -> None:
    tiny = ROOT / "fixtures" / "tiny"
    data = ["--set", f"data.inspired={tiny / 'inspired_synthetic.tsv'}", "--set", "data.redial_dir="]
    data += ["--set", f"data.knowledge_graph={tiny / 'films.json'}"]
    done = forkery.run("run", ROOT / "experiments" / "qwen7b.toml", "--dry-run", *data)
    assert done.poll() == 0, done.errors()
    refused = forkery.run("run", TINY, "--dry-run", "--set", "planner.init=./nowhere")
    assert (refused.poll(), refused.errors().count("\n")) == (2, 1)
    assert "nowhere" in refused.errors()


def test_doctor_is_content_here_and_not_with_a_missing_file(forkery: Forkery) -> None:
    assert forkery.run("doctor", TINY).poll() == 0
    ill = forkery.run("doctor", TINY, "--set", "data.inspired=nowhere.tsv")
    assert ill.poll() == 1
    assert "nowhere.tsv" in ill.output()


def test_rl_from_scratch_has_its_summary_and_lagged_updates_survive_a_kill(forkery: Forkery, tmp_path: Path) -> None:
    settings = ["--set", "warmup.epochs=0", "--set", "rl.policy_lag=2", "--set", "rl.batch_episodes=1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = forkery.run("run", TINY, "--run-dir", whole, *QUICK, *settings)
    assert done.poll() == 0, done.errors()
    assert [phase["name"] for phase in summary_of(whole)["phases"]] == ["before", "warmup", "rl"]
    slowly = ["--set", "models.default.latency_ms=20"]
    process = forkery.start("run", TINY, "--run-dir", killed, *QUICK, *settings, *slowly)
    kill(process, killed, 16)  # in the middle of training: 12 evaluation dialogues come before it
    done = forkery.run("resume", killed, "--quiet")
    assert done.poll() == 0, done.errors()
    assert weights(killed) == weights(whole)
    updates = [
        [
            line["version"]
            for line in map(msgspec.json.decode, (run / "metrics.jsonl").read_bytes().splitlines())
            if line["type"] == "update"
        ]
        for run in (whole, killed)
    ]
    assert updates[0] == updates[1] == list(range(1, 9))
