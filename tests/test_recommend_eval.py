"""`recommend-eval` through the command line: floors of a ReDial file, splits by dialogue, refusals in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.forked import Forkery

FILMS = [f"Film {n} ({1990 + n})" for n in range(8)]


def conversation(name: str, target: int) -> dict[str, Any]:
    """The seeker names drama and film 7; the recommender film 0, then one that differs, then film 7 again."""
    said = [
        (1, "A drama like @7, please", [FILMS[7]], ["drama"]),
        (2, "@0?", [FILMS[0]], []),
        (1, "No.", [], []),
        (2, f"@{target} or @7, or @99", [FILMS[target], FILMS[7], "Unknown (1950)"], []),
    ]
    return {
        "conversationId": name,
        "respondentWorkerId": 2,
        "movieMentions": {str(n): film for n, film in enumerate(FILMS)},
        "initiatorQuestions": {},
        "messages": [
            {"senderWorkerId": who, "text": text, "item": items, "entity": entities}
            for who, text, items, entities in said
        ],
    }


def corpus(folder: Path, name: str, first: int, count: int) -> Path:
    path = folder / name
    rows = [conversation(str(n), 1 + n % 3) for n in range(first, first + count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    numbers = {name: at for at, name in enumerate([*FILMS, "drama"])}
    graph = {
        "entity2id": numbers,
        "relation2id": {"genre": 0, "star": 1, "director": 2},
        "item_ids": list(range(len(FILMS))),
        "kg": {str(n): [[0, numbers["drama"]]] for n in range(len(FILMS))},
        "id2info": {},
    }
    for name, value in graph.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return tmp_path


def test_floors_of_one_file_are_measured_on_a_part_of_its_own(forkery: Forkery, folder: Path) -> None:
    path = corpus(folder, "valid.jsonl", 0, 30)
    shown = forkery.run("recommend-eval", path)
    assert shown.poll() == 0, shown.errors()
    text = " ".join(shown.output().split())
    assert "60 recommendation turns of 30 dialogues, 90 targets, 33.3% of them named before" in text
    assert "30 of 120 films have no exact name in the graph, such as 'Unknown (1950)'" in text
    assert "split by dialogue, seed 0: 70% trained on" in text
    assert "12 turns of 6 dialogues, 18 targets among 8 films" in text
    assert "[all alike]" in text
    found = json.loads(forkery.run("recommend-eval", path, "--json").output())
    assert list(found) == ["chance", "popularity", "repeat, then popularity"]
    assert found["chance"]["all"]["recall_1"]["mean"] == pytest.approx(1 / 8)
    # Film 0 and film 7 are recommended in every dialogue: one of the two tied places is right at two targets of three.
    assert found["popularity"]["all"]["recall_1"]["mean"] == pytest.approx(1 / 3)
    # The second turn's context ends with film 0, so film 7 comes second; new is film 0 and the one that differs.
    assert found["repeat, then popularity"]["all"]["recall_5"]["mean"] == 1.0
    assert found["repeat, then popularity"]["new"]["recall_1"] | {"low": 0, "high": 1} == {
        "mean": 0.0, "low": 0, "high": 1, "n": 12, "why": "",
    }  # fmt: skip


def test_folds_measure_every_dialogue_and_other_files_train(forkery: Forkery, folder: Path) -> None:
    valid, train = corpus(folder, "valid.jsonl", 0, 10), corpus(folder, "train.jsonl", 10, 20)
    folds = forkery.run("recommend-eval", valid, "--folds", "5")
    assert "5 folds by dialogue, seed 0" in folds.output()
    assert "20 turns of 10 dialogues, 30 targets" in folds.output()
    other = forkery.run("recommend-eval", valid, "--train", train)
    assert "20 turns of 10 dialogues, 30 targets" in " ".join(other.output().split()), other.errors()


def test_what_cannot_be_measured_is_one_sentence(forkery: Forkery, folder: Path, tmp_path: Path) -> None:
    valid, train = corpus(folder, "valid.jsonl", 0, 10), corpus(folder, "train.jsonl", 9, 20)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    alone = corpus(elsewhere, "valid.jsonl", 0, 10)
    for arguments, what in (
        ((valid, "--train", train), "share 1 of their dialogues ('9')"),
        ((valid, valid), "is named twice"),
        ((valid, "--train", train, "--folds", "3"), "exclude each other"),
        ((folder / "kg.json",), "dialogues end in .jsonl (ReDial), .tsv (INSPIRED) or .csv (OpenDialKG)"),
        ((alone,), "holds no film graph"),
        ((corpus(folder, "one.jsonl", 0, 1),), "1 dialogues with recommendations are too few to split"),
    ):
        refused = forkery.run("recommend-eval", *arguments)
        assert (refused.poll(), refused.errors().count("\n")) == (2, 1), refused.said()
        assert what in refused.errors()
