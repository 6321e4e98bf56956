"""ReDial: mentions in the promised order, facts as the graph has them, and every unfit file or row named."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError, InputError
from harness.core.messages import Attribute, Item
from simulator.datasets.redial import RedialDataset, load_redial_graph

REAL = Path(__file__).parents[2] / "shared" / "data" / "redial"
real = pytest.mark.skipif(not REAL.exists(), reason=f"ReDial is not at {REAL}")


def conversation(name: str = "7", **changed: Any) -> dict[str, Any]:
    return {
        "movieMentions": {
            "1": "Heat (1995)",
            "2": "Big  (1988)",
            "3": "Why Him%3F (2016)",
            "4": None,
            "5": "Up (2009)",
        },
        "initiatorQuestions": {"5": {"suggested": 1, "seen": 0, "liked": 1}, "2": {"suggested": 0, "liked": 1}},
        "respondentQuestions": [],
        "messages": [{"text": "I like @2 and @9", "turn_id": 0}, {"text": "@3 @5?", "turn_id": 1}],
        "conversationId": name,
    } | changed


def dataset(tmp_path: Path, *rows: dict[str, Any] | str, skip_bad: int = 0) -> RedialDataset:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (tmp_path / "valid_data.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return RedialDataset(tmp_path / "valid_data.jsonl", skip_bad=skip_bad)


def test_liked_suggestions_come_first_then_the_order_of_the_messages(tmp_path: Path) -> None:
    (dialogue,) = dataset(tmp_path, conversation()).dialogues()
    assert dialogue.id == "7"
    assert dialogue.mentions == ("Up (2009)", "Big (1988)", "Why Him? (2016)", "Heat (1995)")
    assert dialogue.labelled_turns == ()


def test_lists_stand_for_nothing_asked_or_mentioned(tmp_path: Path) -> None:
    empty = conversation(initiatorQuestions=[], movieMentions=[])
    assert dataset(tmp_path, empty).dialogues()[0].mentions == ()


BAD: dict[str, dict[str, Any] | str] = {
    "conversationId": conversation(conversationId=3),
    r"messages\[0\]\.text": conversation(messages=[{"text": None}]),
    r"movieMentions": conversation(movieMentions="x"),
    "7": '{"a":nonsense}',
    "1": "",
}


@pytest.mark.parametrize("column", BAD)
def test_a_bad_row_is_named_and_can_be_skipped(tmp_path: Path, column: str) -> None:
    with pytest.raises(DataError, match=rf"valid_data\.jsonl:2:{column}: "):
        dataset(tmp_path, conversation(), BAD[column], conversation("8")).dialogues()
    loaded = dataset(tmp_path, conversation(), BAD[column], conversation("8"), skip_bad=1)
    assert [dialogue.id for dialogue in loaded.dialogues()] == ["7", "8"]
    assert loaded.skipped == 1


def test_a_conversation_may_not_occur_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r":2:conversationId: conversation '7' occurs twice"):
        dataset(tmp_path, conversation(), conversation()).dialogues()


def test_files_that_are_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*valid_data\.jsonl: No such file"):
        RedialDataset(tmp_path / "valid_data.jsonl").dialogues()
    (tmp_path / "valid_data.jsonl").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        RedialDataset(tmp_path / "valid_data.jsonl").dialogues()
    with pytest.raises(DataError, match="holds no usable dialogue"):
        dataset(tmp_path, "{}", skip_bad=1).dialogues()


rows = st.sampled_from(
    [json.dumps(conversation()).encode(), b"{}", b"[" * 5000, b"\xff", b'{"conversationId":"\\ud800"}']
)


@given(content=st.binary() | st.lists(rows).map(b"\n".join), skip_bad=st.integers(0, 3))
def test_any_bytes_give_dialogues_or_a_typed_error(content: bytes, skip_bad: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "valid_data.jsonl").write_bytes(content)
        try:
            dialogues = RedialDataset(Path(folder) / "valid_data.jsonl", skip_bad=skip_bad).dialogues()
        except InputError:
            return
    assert dialogues


GRAPH: dict[str, Any] = {
    "entity2id": {"Heat (1995)": 0, "drama": 1, "crime": 2, "scary": 3, "A": 4, "B": 5, "C": 6, "Untold": 7},
    "relation2id": {"genre": 0, "star": 1, "director": 2, "writer": 3},
    "item_ids": [0, 7],
    "kg": {"0": [[0, 1], [0, 2], [0, 3], [1, 4], [1, 5], [2, 6], [3, 4]], "7": []},
    "id2info": {
        "99": {
            "name": "Heat (1995)",
            "genre": ["crime", "drama"],
            "director": ["C"],
            "star": ["B", "A"],
            "plot": "Long.",
        }
    },
}


def graph_folder(folder: Path, **changed: Any) -> Path:
    for name, value in (GRAPH | changed).items():
        (folder / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return folder


def test_facts_are_the_graphs_edges_in_the_order_of_the_records(tmp_path: Path) -> None:
    graph = load_redial_graph(graph_folder(tmp_path))
    assert graph.items == (
        Item(
            id="0",
            title="Heat",
            year=1995,
            genres=("crime", "drama"),
            directors=("C",),
            stars=("B", "A"),
            writers=("A",),
            plot="Long.",
        ),
        Item(id="7", title="Untold"),
    )


@pytest.mark.parametrize("name", GRAPH)
def test_every_missing_or_foreign_file_is_named(tmp_path: Path, name: str) -> None:
    graph_folder(tmp_path, **{name: '"text"'})
    with pytest.raises(DataError, match=rf"{name}\.json is not in ReDial's layout"):
        load_redial_graph(tmp_path)
    (tmp_path / f"{name}.json").unlink()
    with pytest.raises(InputError, match=rf"cannot read .*{name}\.json"):
        load_redial_graph(tmp_path)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"item_ids": [0, 8]}, "no name for item 8"),
        ({"item_ids": [0, 0]}, "names an item twice"),
        ({"item_ids": []}, "names no item"),
        ({"kg": {"0": []}}, r"kg\.json has no entry for item 7 \('Untold'\)"),
        ({"kg": {"0": [[0, 77]], "7": []}}, "item 0 points at entity 77"),
        ({"relation2id": {"genre": 0, "star": 1}}, "has no relation 'director'"),
        ({"entity2id": {"a": 0, "b": 0}}, "one number to two names"),
    ],
)
def test_files_that_do_not_fit_each_other(tmp_path: Path, changed: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=what):
        load_redial_graph(graph_folder(tmp_path, **changed))


@real
def test_the_real_dialogues() -> None:
    loaded = RedialDataset(REAL / "valid_data.jsonl")
    dialogues = loaded.dialogues()
    assert (len(dialogues), loaded.skipped) == (1000, 0)
    assert dialogues[0].mentions[:2] == ("The Shining (1980)", "What Lies Beneath (2000)")
    assert not any("%3F" in name for dialogue in dialogues for name in dialogue.mentions)


@real
def test_the_real_graph() -> None:
    graph = load_redial_graph(REAL)
    assert len(graph.items) + len(graph.aliases) == 6576
    assert graph.notes[0].startswith("84 records were merged into others of the same films")
    assert graph.find("Back to the Future") == graph.find("Back to the Future (1985)") == graph.aliases["16"]
    assert graph.item("16") is graph.item("8522")
    heat = graph.find("Heat (1995)")
    assert heat is not None
    assert graph.item(heat).directors == graph.item(heat).writers == ("Michael Mann",)
    assert graph.item(heat).plot.startswith("A group of")
    assert sum(bool(item.plot) for item in graph.items) > 0.97 * len(graph.items)
    assert Attribute(kind="genre", value="scary") not in {a for item in graph.items for a in graph.attributes(item.id)}
