"""Export, runs, diff and show-prompts: what leaves a run directory is what is in it."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console
from support.rundirs import TINY, WORLD, write_run

from harness.app.commands.diff import diff
from harness.app.commands.export import export
from harness.app.commands.runs import runs
from harness.app.commands.show_prompts import show_prompts
from harness.app.report.tables import EPISODES, TURNS
from harness.core.errors import InputError
from harness.core.messages import State
from harness.domain.strategies import STRATEGIES
from learner.checkpoint import load_checkpoint, save_checkpoint
from learner.tabular import TabularPolicy


def said(width: int = 160) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width), out


def test_parquet_and_json_lines_hold_the_same_rows(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", texts=("grüß dich", "a\tb", "line\nbreak"))
    export(folder, None, Console(quiet=True), parquet=True, jsonl=True, planner=False)
    for name, columns, rows in (("episodes", EPISODES, 16), ("turns", TURNS, 48)):
        table = pq.read_table(folder / "export" / f"{name}.parquet")
        lines = (folder / "export" / f"{name}.jsonl").read_bytes().splitlines()
        assert table.to_pylist() == [msgspec.json.decode(line) for line in lines]
        assert table.num_rows == rows
        assert table.column_names == [column.name for column in columns]
        assert table.schema.metadata[b"world"].decode() == WORLD
        assert table.schema.field(0).metadata[b"meaning"].decode() == columns[0].meaning


def test_what_is_missing_is_null(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    export(folder, None, Console(quiet=True), parquet=True, jsonl=False, planner=False)
    turns = pq.read_table(folder / "export" / "turns.parquet").to_pylist()
    assert [t["reward"] for t in turns if t["episode"] == "before-000000"] == [0.375, None, 0.375]
    episodes = {row["episode"]: row for row in pq.read_table(folder / "export" / "episodes.parquet").to_pylist()}
    assert episodes["before-000000"]["return"] is None
    failed = episodes["train-000003"]
    assert (failed["stop"], failed["return"], failed["evaluation"]) == ("error", None, None)
    assert failed["failure"].startswith("reply: ")


def test_a_lone_surrogate_does_not_stop_an_export(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", texts=("broken \ud800", "b", "c"))
    export(folder, None, Console(quiet=True), parquet=True, jsonl=True, planner=False)
    assert pq.read_table(folder / "export" / "episodes.parquet").to_pylist()[0]["opening"] == "broken ?"


def test_an_exported_planner_is_a_checkpoint_with_a_card(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    policy = TabularPolicy(tuple(strategy.key for strategy in STRATEGIES))
    with torch.no_grad():
        next(iter(policy.weights().values())).normal_(generator=torch.Generator().manual_seed(1))
    learner = {"optimizer.moment": torch.zeros(2)}
    save_checkpoint(folder / "checkpoints", policy, version=1, learner=learner)
    [path] = export(folder, tmp_path / "out", Console(quiet=True), parquet=False, jsonl=False, planner=True)
    loaded = load_checkpoint(path).policy()
    state = State(episode="e", seed=0, max_turns=3, opening="hello")
    assert loaded.distribution(state) == policy.distribution(state)
    assert not (path / "learner.safetensors").exists()
    card = (path / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: rso-harness")
    assert WORLD in card
    assert "| Conv-SR |" in card
    labels = msgspec.json.decode((path / "config.json").read_bytes())["id2label"]
    assert labels["0"] == STRATEGIES[0].key
    with pytest.raises(InputError, match="already exists"):
        export(folder, tmp_path / "out", Console(quiet=True), parquet=False, jsonl=False, planner=True)


def test_export_wants_to_know_what(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with pytest.raises(InputError, match="at least one of"):
        export(folder, None, Console(quiet=True), parquet=False, jsonl=False, planner=False)
    with pytest.raises(InputError, match="no trained planner"):
        export(folder, None, Console(quiet=True), parquet=False, jsonl=False, planner=True)


def test_runs_are_listed_with_their_headline(tmp_path: Path) -> None:
    write_run(tmp_path / "done")
    write_run(tmp_path / "killed", summary=False)
    (tmp_path / "other").mkdir()
    console, out = said()
    assert runs(tmp_path, console) == 2
    lines = {line.split()[0]: line for line in out.getvalue().splitlines() if line.strip()}
    assert "complete" in lines["done"]
    assert "1.00" in lines["done"]
    assert "no summary yet" in lines["killed"]
    console, out = said()
    assert runs(tmp_path / "done", console) == 1
    assert "1 run directory in" in out.getvalue()
    assert "complete" in out.getvalue()
    with pytest.raises(InputError, match="no folder"):
        runs(tmp_path / "nowhere", console)


def test_diff_names_settings_and_pairs_results(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a"), write_run(tmp_path / "b", texts=("other", "words", "here"))
    config = msgspec.json.decode((second / "config.json").read_bytes())
    config["config"]["rl"]["entropy_coefficient"] = 0.5
    (second / "config.json").write_bytes(msgspec.json.encode(config))
    console, out = said()
    diff(first, second, console)
    text = out.getvalue()
    assert "settings: 1 differ" in text
    assert any(line.split() == ["rl.entropy_coefficient", "0.03", "0.5"] for line in text.splitlines())
    assert "after RL: 4 and 4 dialogues, 4 paired" in text
    assert "run digest: A " in text
    assert text.count("acceptance") == text.count("objective") == text.count("4 paired")


def test_diff_pairs_nothing_that_differs(tmp_path: Path) -> None:
    console, out = said()
    diff(write_run(tmp_path / "a"), write_run(tmp_path / "b", persona="Kim"), console)
    assert "4 and 4 dialogues, 0 paired" in out.getvalue()


def test_the_prompts_of_a_played_turn(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", texts=("\x1b[31mred", "second", "third"))
    console, out = said()
    show_prompts(folder, [], "rl-000001", 2, console)
    text = out.getvalue()
    for role in (
        "planner reads",
        "preference_reasoner",
        "retriever searches",
        "actor",
        "seeker",
        "reward",
        "evaluator",
    ):
        assert f"== {role}" in text
    assert "### CANDIDATES\n[1] " in text
    assert "\x1b" not in text
    with pytest.raises(InputError, match="has 3 turns, not 9"):
        show_prompts(folder, [], "rl-000001", 9, console)
    with pytest.raises(InputError, match="no finished episode nobody"):
        show_prompts(folder, [], "nobody", 1, console)


def test_the_prompts_of_an_experiments_own_data() -> None:
    console, out = said()
    show_prompts(TINY, [], "", 2, console)
    assert "human dialogue synthetic-" in out.getvalue()
    with pytest.raises(InputError, match="--episode needs a run directory"):
        show_prompts(TINY, [], "rl-000001", 2, console)
