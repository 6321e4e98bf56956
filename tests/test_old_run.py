"""A run of an earlier version stays what it was: read with its old digest, not gone on with by other rules."""

import shutil
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from support.episodes import events_of

from harness.app.commands.diff import diff
from harness.app.commands.export import export
from harness.app.commands.plot import plot
from harness.app.commands.replay import Question, replay
from harness.app.commands.report import report
from harness.app.commands.run import resume
from harness.app.commands.runs import runs
from harness.app.identity.manifest import config_of, read_manifest
from harness.app.settings.config import Config
from harness.core.errors import InputError
from harness.core.log.episode import build
from harness.core.log.loggedepisodes import read_episodes
from harness.core.log.rundigest import run_digest
from harness.core.messages import Score

ROOT = Path(__file__).parent.parent
OLD = Path(__file__).parent / "data" / "run_format_0"
DIGEST = "39fe5075bd98d8f6b09a9e8282cc1dccaf2b80a91b178a6e34ec4ff394f2c316"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy; its config names the data from the checkout's root."""
    monkeypatch.chdir(ROOT)
    return shutil.copytree(OLD, tmp_path / "old")


@pytest.fixture
def said() -> Console:
    return Console(file=StringIO(), width=200)


def text(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_digest_is_the_old_one(old: Path) -> None:
    assert run_digest(read_episodes(old / "episodes.jsonl")) == DIGEST
    assert msgspec.json.decode((old / "summary.json").read_bytes())["digest"] == DIGEST


def test_it_is_listed_compared_and_shown(old: Path, said: Console) -> None:
    assert runs(old, said) == 1
    assert "complete, log not checked" in text(said)
    diff(old, old, said)
    assert f"the same, {DIGEST[:12]} (a log has no checksums: not checked)" in text(said)
    assert "not checked: it is of a version without checksums" in report(old, None, said, show=False).read_text()
    assert plot(old, None, said)
    written = export(old, None, said, parquet=True, jsonl=True, planner=False)
    rows = [msgspec.json.decode(line) for line in written[1].read_bytes().splitlines()]
    assert len(rows) == 3 * 3 + 4


def test_its_log_and_tape_are_read(old: Path, said: Console) -> None:
    replay(old, Question(), said, phases=[], file=None, overrides=[], out=None, quiet=True)
    assert "13 finished episodes (before 3, rl 3, train 4, warmup 3), 39 turns" in text(said)


def test_a_whole_one_is_complete_and_an_unfinished_one_is_not_gone_on_with(old: Path, said: Console) -> None:
    assert resume(old, None, [], said, quiet=False).digest == DIGEST
    assert "whether it is whole was not checked" in text(said)
    (old / "summary.json").unlink()
    log = (old / "episodes.jsonl").read_bytes()
    (old / "episodes.jsonl").write_bytes(log[: len(log) // 2])
    before = {path: path.read_bytes() for path in old.iterdir() if path.is_file()}
    with pytest.raises(InputError, match="begun by an older version"):
        resume(old, None, [], said, quiet=True)
    assert {path: path.read_bytes() for path in old.iterdir() if path.is_file()} == before


def test_what_a_newer_key_changes_holds_for_newer_runs_only() -> None:
    assert config_of(read_manifest(OLD), OLD).reward.mass_floor == 0.0
    assert Config().reward.mass_floor == 0.05


def test_a_field_that_an_event_gets_later_leaves_old_digests_as_they_were() -> None:
    class Later(Score, frozen=True, kw_only=True):
        retries: int = 0
        notes: tuple[str, ...] = ()

    Later.__name__ = "Score"  # as if the field had been added to the struct itself

    def digest(score: Score) -> str:
        episode = build(events_of("a", 0, turns=1))
        (turn,) = episode.transitions
        changed = msgspec.structs.replace(turn, score=score)
        return run_digest([msgspec.structs.replace(episode, transitions=(changed,))])

    plain = digest(Score(reward=0.5, raw=(3,)))
    assert digest(Later(reward=0.5, raw=(3,))) == plain
    assert digest(Later(reward=0.5, raw=(3,), retries=1)) != plain
    assert digest(Later(reward=0.5, raw=(3,), notes=("x",))) != plain
    # What has always been there stays, also at its default.
    assert digest(Score(reward=0.5, raw=())) != plain
