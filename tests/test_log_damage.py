"""A damaged log beside a whole summary: every command that reads the run says so, and `resume` heals what it can."""

import re
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from harness.app.commands.diff import diff
from harness.app.commands.export import export
from harness.app.commands.plot import plot
from harness.app.commands.replay import Question, replay
from harness.app.commands.report import report
from harness.app.commands.run import resume, run
from harness.app.commands.runs import runs
from harness.app.job.metricsfile import read_metrics
from harness.core.errors import CheckFailed, DataError, InputError, expected_failure
from harness.core.log.loggedepisodes import read_episodes
from harness.core.log.rundigest import run_digest
from learner.checkpoint import load_checkpoint, newest_checkpoint

TINY = Path(__file__).parent.parent / "experiments" / "tiny.toml"
SMALL = ["planner.kind=tabular", "warmup.epochs=1", "conversation.max_turns=2", "evaluation.dialogues=2"]


def console() -> Console:
    return Console(file=StringIO(), width=300)


def text(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 14 episodes and two updates."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run(TINY, folder, SMALL, console(), quiet=True)
    return folder


def flipped(log: bytes) -> bytes:
    """One digit of a reward in the middle."""
    at = log.index(b'"reward":0.', len(log) // 2) + len(b'"reward":0.')
    return log[:at] + (b"1" if log[at : at + 1] != b"1" else b"2") + log[at + 1 :]


def torn(log: bytes) -> bytes:
    return log[: len(log) * 2 // 3]


def after_the_fourth_training_episode(log: bytes) -> bytes:
    lines = log.splitlines(keepends=True)
    ends = [n for n, line in enumerate(lines) if b'"type":"episode_ended","episode":"train' in line]
    return b"".join(lines[: ends[3] + 1])


def a_line_less(log: bytes) -> bytes:
    lines = log.splitlines(keepends=True)
    return b"".join(lines[:10] + lines[11:])


def a_line_twice(log: bytes) -> bytes:
    lines = log.splitlines(keepends=True)
    return b"".join(lines[:10] + lines[9:])


def without_checksums(log: bytes) -> bytes:
    return re.sub(rb',"check":"[0-9a-f]{8}"}', b"}", log)


def with_windows_line_ends(log: bytes) -> bytes:
    return log.replace(b"\n", b"\r\n")


def emptied(log: bytes) -> bytes:
    return b""


LOSSES = [emptied, torn, after_the_fourth_training_episode]
Damage = Callable[[bytes], bytes]


def damaged(played: Path, folder: Path, damage: Damage) -> Path:
    shutil.copytree(played, folder)
    log = folder / "episodes.jsonl"
    log.write_bytes(damage(log.read_bytes()))
    return folder


@pytest.mark.parametrize(
    "damage", [flipped, a_line_less, a_line_twice, without_checksums, with_windows_line_ends, *LOSSES]
)
def test_no_command_believes_the_summary(played: Path, tmp_path: Path, damage: Damage) -> None:
    folder = damaged(played, tmp_path / "run", damage)
    where = r"episodes\.jsonl was cut" if damage in LOSSES else r"episodes\.jsonl:\d+: the event log is damaged"
    for reads in (
        lambda: diff(folder, played, console()),
        lambda: diff(played, folder, console()),
        lambda: report(folder, None, console(), show=False),
        lambda: plot(folder, None, console()),
        lambda: export(folder, None, console(), parquet=False, jsonl=True, planner=False),
        lambda: replay(folder, Question(), console(), phases=[], file=None, overrides=[], out=None, quiet=True),
    ):
        with pytest.raises(DataError, match=where):
            reads()
    listed = console()
    with pytest.raises(CheckFailed, match="1 of 1 run directories"):
        runs(folder, listed)
    assert "complete, LOG DAMAGED" in text(listed)
    assert "episodes.jsonl" in text(listed)


@pytest.mark.parametrize("damage", [flipped, a_line_less, a_line_twice, without_checksums, with_windows_line_ends])
def test_a_log_that_is_damaged_inside_is_not_gone_on_with(played: Path, tmp_path: Path, damage: Damage) -> None:
    folder = damaged(played, tmp_path / "run", damage)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=r"episodes\.jsonl:\d+: the event log is damaged.*put a whole copy"):
        resume(folder, None, [], console(), quiet=True)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", LOSSES)
def test_what_a_cut_log_lacks_is_played_again(played: Path, tmp_path: Path, damage: Damage) -> None:
    folder = damaged(played, tmp_path / "run", damage)
    said = console()
    resume(folder, None, [], said, quiet=False)
    assert "what is missing is played again" in text(said)
    if damage is after_the_fourth_training_episode:
        assert "1 checkpoints rest on conversations that the log does not hold" in text(said)
    assert weights(folder) == weights(played)
    assert list(map(untimed, read_episodes(folder / "episodes.jsonl"))) == list(
        map(untimed, read_episodes(played / "episodes.jsonl"))
    )
    again = console()
    resume(folder, None, [], again, quiet=False)
    assert "nothing is left to play" in text(again)


def untimed(episode: object) -> str:
    return run_digest([episode])  # type: ignore[list-item]


def weights(folder: Path) -> str:
    newest = newest_checkpoint(folder / "checkpoints")
    assert newest is not None
    return load_checkpoint(newest).meta.weights_hash


@pytest.mark.parametrize("damage", ["missing", "flipped", "a directory of the tape"])
def test_derived_files_are_made_again_and_the_tape_is_not_appended_to(
    played: Path, tmp_path: Path, damage: str
) -> None:
    folder = shutil.copytree(played, tmp_path / "run")
    metrics = folder / "metrics.jsonl"
    whole = metrics.read_bytes()
    if damage == "missing":
        metrics.unlink()
    elif damage == "flipped":
        metrics.write_bytes(whole.replace(b'"version":2', b'"version":3'))
        with pytest.raises(DataError, match=r"metrics\.jsonl:\d+: .* makes the file again"):
            report(folder, None, console(), show=False)
    else:
        (folder / "summary.json").unlink()
        (folder / "tape.jsonl").unlink()
        (folder / "tape.jsonl").mkdir()
        with pytest.raises(BaseExceptionGroup) as caught:
            resume(folder, None, [], console(), quiet=True)
        assert "Is a directory" in str(expected_failure(caught.value))
        return
    log, weights_before = (folder / "episodes.jsonl").read_bytes(), weights(folder)
    said = console()
    resume(folder, None, [], said, quiet=False)
    assert "the metrics are made again from the log" in text(said)
    assert sorted(map(without_seconds, read_metrics(metrics)), key=str) == sorted(
        map(without_seconds, read_metrics(played / "metrics.jsonl")), key=str
    )
    assert (folder / "episodes.jsonl").read_bytes() == log
    assert weights(folder) == weights_before


def without_seconds(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if "seconds" not in key}


def edited(summary: bytes) -> bytes:
    """The same but for one number."""
    found = msgspec.json.decode(summary)
    found["phases"][0]["metrics"]["conv_sr"]["mean"] = 0.99
    return msgspec.json.encode(found)


def test_a_summary_that_was_edited_is_not_believed(played: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(played, tmp_path / "run")
    whole = msgspec.json.decode((folder / "summary.json").read_bytes())
    (folder / "summary.json").write_bytes(edited((folder / "summary.json").read_bytes()))
    for reads in (
        lambda: diff(played, folder, console()),
        lambda: report(folder, None, console(), show=False),
        lambda: plot(folder, None, console()),
        lambda: export(folder, None, console(), parquet=False, jsonl=True, planner=False),
    ):
        with pytest.raises(DataError, match=r"summary\.json was changed.*makes it anew from the log"):
            reads()
    with pytest.raises(CheckFailed, match="1 of 1 run directories"):
        runs(folder, console())
    said = console()
    resume(folder, None, [], said, quiet=False)
    assert "summary.json was changed" in text(said)
    again = msgspec.json.decode((folder / "summary.json").read_bytes())
    assert again["phases"] == whole["phases"]
    assert again["log"] == whole["log"]


def test_log_and_summary_of_another_run_are_not_taken_for_this_runs(played: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run(TINY, other, [*SMALL, "rl.entropy_coefficient=0.2"], console(), quiet=True)
    for name in ("episodes.jsonl", "summary.json"):
        shutil.copy(played / name, other / name)
    with pytest.raises(DataError, match="another run's"):
        report(other, None, console(), show=False)


def test_a_summary_without_a_seal_is_one_of_an_older_version(played: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(played, tmp_path / "run")
    found = msgspec.json.decode((folder / "summary.json").read_bytes())
    del found["seal"]
    (folder / "summary.json").write_bytes(msgspec.json.encode(found))
    assert runs(folder, console()) == 1


def test_the_log_metrics_and_checkpoints_of_a_run_with_another_config_are_refused(played: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run(TINY, other, [*SMALL, "rl.learning_rate=0.001"], console(), quiet=True)
    for what, said in (
        ("episodes.jsonl", r"episodes\.jsonl:1: the event log is damaged: .* another run's"),
        ("checkpoints", "is a checkpoint of another run"),
    ):
        mixed = Path(shutil.copytree(played, tmp_path / what.replace(".", "-")))
        (mixed / "summary.json").unlink()
        if (mixed / what).is_dir():
            shutil.rmtree(mixed / what)
            shutil.copytree(other / what, mixed / what)
        else:
            shutil.copyfile(other / what, mixed / what)
        with pytest.raises(DataError, match=said):
            resume(mixed, None, [], console(), quiet=True)
    with pytest.raises(DataError, match=r"metrics\.jsonl:1: .* another run's"):
        read_metrics(Path(shutil.copy(other / "metrics.jsonl", mixed / "metrics.jsonl")))


def test_a_run_that_has_lost_its_identity_is_refused(played: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(played, tmp_path / "run"))
    manifest = msgspec.json.decode((folder / "config.json").read_bytes())
    (folder / "config.json").write_bytes(msgspec.json.encode(manifest | {"identity": None}))
    with pytest.raises(InputError, match="has lost its identity"):
        resume(folder, None, [], console(), quiet=True)
