"""Small files of the roof: what is sealed is noticed, what is secret is not written, nothing is written twice."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import msgspec
import pytest
import structlog
from rich.console import Console
from support.encoders import write_tiny_encoder
from typer.testing import CliRunner

from harness.app.cli import app
from harness.app.commands.doctor import doctor
from harness.app.console.logs import REDACTED, logging_to
from harness.app.identity.manifest import (
    config_of,
    encode,
    manifest_of,
    read_manifest,
    refuse_changes,
    refuse_other_files,
)
from harness.app.job.metricsfile import MetricsFile, read_metrics
from harness.app.settings.config import Config
from harness.app.settings.configfile import config_from_tree
from harness.core.errors import CheckFailed, DataError, InputError, Interrupted, RunStopped, expected_failure
from harness.core.messages import Struct
from harness.domain.strategies import STRATEGIES
from learner.checkpoint import save_checkpoint
from learner.tabular import TabularPolicy

ROOT = Path(__file__).parents[1]


def changed(**tables: dict[str, object]) -> Config:
    tree = msgspec.to_builtins(Config())
    for table, keys in tables.items():
        tree[table] |= keys
    return config_from_tree(tree)


def test_a_manifest_gives_its_config_back(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(encode(manifest_of(Config(), {"data.inspired": "abc"})))
    manifest = read_manifest(tmp_path)
    assert config_of(manifest, tmp_path) == Config()
    assert manifest.digest == Config().digest
    refuse_other_files(manifest, {"data.inspired": "abc"})
    with pytest.raises(InputError, match="data.inspired"):
        refuse_other_files(manifest, {"data.inspired": "abd"})


def test_an_edited_config_names_its_keys(tmp_path: Path) -> None:
    manifest = manifest_of(Config(), {})
    edited = msgspec.structs.replace(manifest, config=msgspec.to_builtins(changed(rl={"gamma": 0.5, "epochs": 3})))
    with pytest.raises(InputError, match="changed since the run began: rl.epochs, rl.gamma"):
        config_of(edited, tmp_path)


def test_what_no_result_depends_on_may_change() -> None:
    refuse_changes(Config(), changed(budget={"calls": 3}, scheduler={"drain_s": 1.0}))
    with pytest.raises(InputError, match="changed: reward.threshold"):
        refuse_changes(Config(), changed(reward={"threshold": 0.5}))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b"[1]"])
def test_no_manifest_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match="config.json"):
        read_manifest(tmp_path)


def test_no_secret_reaches_the_log_at_any_depth(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with logging_to(path, ["sk-abc"]):
        log = structlog.get_logger()
        log.info("asked", url="http://x/?key=sk-abc", nested={"sk-abc": ["Bearer sk-abc", 3]})
        try:
            raise ValueError("refused sk-abc")
        except ValueError:
            log.exception("failed")
    text = path.read_text()
    assert "sk-abc" not in text
    assert text.count(REDACTED) >= 4
    assert [json.loads(line)["event"] for line in text.splitlines()] == ["asked", "failed"]


class Report(Struct, frozen=True, kw_only=True):
    version: int
    loss: float | None
    strategy_shares: dict[str, float]


def test_a_metric_is_written_once_also_after_a_torn_line(tmp_path: Path) -> None:
    report = Report(version=1, loss=0.5, strategy_shares={"credibility": 1.0})
    with MetricsFile(tmp_path) as metrics:
        metrics.write("update", report)
        metrics.write("update", report)
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"type":"upd')
    with MetricsFile(tmp_path) as metrics:
        metrics.write("update", report)
        metrics.write("update", msgspec.structs.replace(report, version=2, loss=None))
    assert [(line["type"], line["version"], line["loss"]) for line in read_metrics(tmp_path / "metrics.jsonl")] == [
        ("update", 1, 0.5),
        ("update", 2, None),
    ]
    assert list((tmp_path / "tensorboard").iterdir())


def test_damaged_metrics_are_named_set_aside_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    report = Report(version=1, loss=0.5, strategy_shares={})
    with MetricsFile(tmp_path) as metrics:
        metrics.write("update", report)
        metrics.write("update", msgspec.structs.replace(report, version=2))
    damaged = path.read_bytes().replace(b"0.5", b"0.6", 1)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"metrics\.jsonl:1: .* is damaged"):
        read_metrics(path)
    with MetricsFile(tmp_path) as metrics:
        assert "metrics.jsonl:1" in metrics.damage
        assert metrics.lacks("update", version=1)
        metrics.write("update", report)
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == damaged
    assert [line["loss"] for line in read_metrics(path)] == [0.5]


def test_a_group_of_expected_failures_is_the_gravest_and_a_bug_is_never_hidden() -> None:
    stopped, interrupted = RunStopped("server lost"), Interrupted("interrupted")
    group = BaseExceptionGroup("", [stopped, BaseExceptionGroup("", [interrupted])])
    assert expected_failure(group) is interrupted
    with pytest.raises(BaseExceptionGroup):
        expected_failure(BaseExceptionGroup("", [stopped, ZeroDivisionError()]))


def test_a_run_that_began_before_a_key_existed_goes_on(tmp_path: Path) -> None:
    config = Config()
    now = manifest_of(config, {})
    tree = {**now.config, "data": {k: v for k, v in now.config["data"].items() if k != "scenario_seed"}}
    seals = {key: seal for key, seal in now.seals.items() if key != "data.scenario_seed"}
    before = msgspec.structs.replace(now, config=tree, seals=seals)
    assert config_of(before, tmp_path) == config
    smuggled = msgspec.structs.replace(before, config={**tree, "data": {**tree["data"], "scenario_seed": 3}})
    with pytest.raises(InputError, match=r"data\.scenario_seed"):
        config_of(smuggled, tmp_path)


def test_the_doctor_tries_the_checkpoint_to_start_from(tmp_path: Path) -> None:
    tiny = Path(__file__).parent.parent / "experiments" / "tiny.toml"
    fits = save_checkpoint(tmp_path, TabularPolicy(tuple(strategy.key for strategy in STRATEGIES)), version=0)
    out = StringIO()
    encoder = write_tiny_encoder(tmp_path / "encoder")
    keys = ["planner.kind=tabular", f"planner.init={fits}", f"planner.encoder={encoder}"]
    doctor(tiny, keys, Console(file=out, width=400))
    assert "version 0, fits this planner" in out.getvalue()
    with pytest.raises(CheckFailed, match="1 check failed"):
        doctor(tiny, [*keys, "planner.kind=encoder"], Console(file=out, width=400))
    assert "planner.init: checkpoint 'v000000' was made with encoder" in out.getvalue()


def test_the_version_is_that_of_the_package() -> None:
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.output) == (0, f"rso-harness {version('rso-harness')}\n")


def test_ctrl_c_within_a_group_is_an_interruption() -> None:
    group = BaseExceptionGroup("tasks", [BaseExceptionGroup("inner", [KeyboardInterrupt()]), RunStopped("server lost")])
    assert expected_failure(group).exit_code == Interrupted.exit_code


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["run", "nowhere.toml"], "there is no experiment file nowhere.toml"),
        (["run", "experiments/tiny.toml", "--set", "rl.epoks=3"], "did you mean rl.epochs?"),
        (["run", "experiments/tiny.toml", "--set", "data.inspired=/nowhere"], "data.inspired: there is no /nowhere"),
        (["report", "nowhere"], "nowhere is not a run directory"),
        (["diff", "nowhere", "nowhere"], "nowhere is not a run directory"),
    ],
)
def test_a_wrong_path_or_key_is_answered_before_torch_is_loaded(arguments: list[str], answer: str) -> None:
    watched = "import sys; from harness.app.cli import main; main()"
    child = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", watched, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert child.returncode == 2
    assert answer in child.stderr
    for library in ("torch", "scipy", "matplotlib", "pyarrow"):
        assert not re.search(rf"\| +{library}$", child.stderr, re.MULTILINE), library
