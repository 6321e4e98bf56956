"""Who reads which file: keys of their own before shorthands, and no dialogue on both sides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.app.settings.config import Config
from harness.app.settings.configfile import config_from_tree
from harness.app.setup.inputs import read_inputs, read_labels
from harness.app.setup.sources import digests, sources
from harness.core.errors import ConfigError, DataError

SPLITS = {"train": range(8), "dev": range(8, 12), "test": range(12, 16)}
TINY = Path(__file__).parents[1] / "fixtures" / "tiny"


def part(folder: Path, name: str, dialogues: range) -> str:
    """Some dialogues of the tiny file as a file of their own."""
    header, *rows = (TINY / "inspired_synthetic.tsv").read_text(encoding="utf-8").splitlines()
    wanted = {f"synthetic-{number:04d}" for number in dialogues}
    lines = [header, *(row for row in rows if row.split("\t", 1)[0] in wanted)]
    path = folder / f"{name}.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def config(**data: str) -> Config:
    films = {"knowledge_graph": str(TINY / "films.json")}
    return config_from_tree({"data": films | data, "evaluation": {"dialogues": 3}, "warmup": {"epochs": 1}})


def redial(path: Path, ids: range) -> str:
    film = {"1": "The Departed (2006)"}
    message = {"text": "Have you seen @1?", "senderWorkerId": 2}
    row = {"messages": [message], "movieMentions": film, "initiatorQuestions": [], "respondentWorkerId": 2}
    path.write_text("".join(json.dumps(row | {"conversationId": str(number)}) + "\n" for number in ids))
    return str(path)


def test_a_shorthand_serves_every_use_that_has_no_file_of_its_own(tmp_path: Path) -> None:
    both = sources(config(inspired="a.tsv", held_out_goals_file="c.tsv"))
    assert {use: (source.key, source.path.name) for use, source in both.items()} == {
        "label_file": ("data.inspired", "a.tsv"),
        "training_goals_file": ("data.inspired", "a.tsv"),
        "held_out_goals_file": ("data.held_out_goals_file", "c.tsv"),
    }
    found = sources(config(inspired="a.tsv", redial_dir=str(tmp_path), goals="redial", training_goals_file="t.jsonl"))
    assert {use: source.path.name for use, source in found.items()} == {
        "label_file": "a.tsv",
        "training_goals_file": "t.jsonl",
        "held_out_goals_file": "valid_data.jsonl",
    }
    assert {source.layout for use, source in found.items() if use != "label_file"} == {"redial"}


def test_each_file_has_its_use_and_its_digest(tmp_path: Path) -> None:
    train, dev, test = (part(tmp_path, name, ids) for name, ids in SPLITS.items())
    found = config(label_file=train, training_goals_file=train, validation_file=dev, held_out_goals_file=test)
    inputs = read_inputs(found)
    assert [len(part) for part in (inputs.dialogues, inputs.validation)] == [8, 4]
    assert [dialogue.id for dialogue in inputs.validation] == [f"synthetic-{number:04d}" for number in range(8, 12)]
    assert inputs.held_out == read_inputs(config(inspired=train, held_out_goals_file=test)).held_out
    assert inputs.held_out != read_inputs(config(inspired=train)).held_out
    assert set(digests(found)) == {
        "data.knowledge_graph", "data.label_file", "data.training_goals_file", "data.validation_file",
        "data.held_out_goals_file",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"inspired": "a", "held_out_goals_file": "b"}, "data.held_out_goals_file ("),
        ({"inspired": "a", "validation_file": "b"}, "data.validation_file ("),
        ({"label_file": "a", "inspired": "a"}, "data.inspired ("),
    ],
)
def test_a_dialogue_on_both_sides_is_named(tmp_path: Path, keys: dict[str, str], told: str) -> None:
    files = {"a": part(tmp_path, "a", range(8)), "b": part(tmp_path, "b", range(6, 12))}
    with pytest.raises(DataError) as error:
        read_inputs(config(**{key: files[name] for key, name in keys.items()}))
    assert told in str(error.value)
    assert "'synthetic-0006'" in str(error.value) or "'synthetic-0004' and 3 more" in str(error.value)
    with pytest.raises(DataError):
        read_labels(config(**{key: files[name] for key, name in keys.items()}))


def test_a_redial_folder_without_the_validation_file_is_read_where_the_keys_name_the_others(tmp_path: Path) -> None:
    train, test = redial(tmp_path / "train_data.jsonl", range(5)), redial(tmp_path / "test_data.jsonl", range(5, 8))
    goals = {"goals": "redial", "training_goals_file": train, "held_out_goals_file": test}
    labels = {"inspired": str(TINY / "inspired_synthetic.tsv")}
    assert len(read_inputs(config(**labels, **goals)).held_out) == 3
    redial(tmp_path / "test_data.jsonl", range(4, 8))
    with pytest.raises(DataError, match=r"data.held_out_goals_file .*test_data.jsonl\) share 1 of .*\('4'\)"):
        read_inputs(config(**labels, **goals))


def test_what_is_not_named_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"data.inspired: goals are drawn .* here or in data.training_goals_file"):
        read_inputs(config())
    with pytest.raises(ConfigError, match=r"data.redial_dir: goals are drawn"):
        read_inputs(config(goals="redial"))
    with pytest.raises(ConfigError, match=r"data.inspired: an INSPIRED-format file .* or in data.label_file"):
        read_labels(config())
