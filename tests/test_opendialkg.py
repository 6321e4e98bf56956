"""OpenDialKG: paths become what a message names, films are told by their people, unfit files are named."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError, InputError
from harness.domain.entities import Entities, linked_turns
from simulator.datasets.opendialkg import OpenDialKGDataset, load_opendialkg_graph

TRIPLES = """\
Deep Water\tdirected_by\tAda Lind
Ada Lind\t~directed_by\tDeep Water
Deep Water\thas_genre\tThriller
Deep Water\trelease_year\t1994
Slow Train\tstarred_actors\tBo Kerr
Slow Train\tstarred_actors\tAda Lind
Slow Train\trelease_year\t2001
Slow Train\trelease_year\t2002
The Long Book\twritten_by\tCy Moor
The Long Book\thas_genre\tThriller
"""


def chat(sender: str, message: str) -> dict[str, Any]:
    return {"type": "chat", "sender": sender, "message": message}


def walk(sender: str, *triples: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "type": "action",
        "sender": sender,
        "action_id": "kgwalk/choose_path",
        "metadata": {"path": [0.7, [list(triple) for triple in triples], "a sentence"]},
    }


FILMS = [
    chat("user", "I liked what Ada Lind made."),
    walk("assistant", ("Ada Lind", "~directed_by", "Deep Water")),
    chat("assistant", "Then see Deep Water."),
    chat("assistant", "It is a thriller."),
    walk("user", ("Deep Water", "directed_by", "Ada Lind"), ("Ada Lind", "~starred_actors", "Slow Train")),
    chat("user", "Is Slow Train hers, too?"),
    {"type": "action", "sender": "assistant", "action_id": "meta", "metadata": {"text": "no path"}},
    walk("assistant", ("Slow Train", "starred_actors", "Ada Lind"), ("Ada Lind", "~directed_by", "Deep Water")),
    chat("assistant", "She acts in it, but Deep Water is better."),
]
BOOKS = [
    chat("user", "A book, please."),
    walk("assistant", ("Thriller", "~has_genre", "The Long Book")),
    chat("assistant", "The Long Book."),
]


def written(folder: Path, *rows: Any, header: str = "Messages") -> Path:
    with (folder / "opendialkg.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([header, "User Rating", "Assistant Rating"])
        for row in rows:
            writer.writerow([row if isinstance(row, str) else json.dumps(row), "5", "{}"])
    (folder / "opendialkg_triples.txt").write_text(TRIPLES, encoding="utf-8")
    return folder / "opendialkg.csv"


def test_films_are_what_has_a_director_or_stars(tmp_path: Path) -> None:
    written(tmp_path)
    graph = load_opendialkg_graph(tmp_path)
    assert [(item.id, item.name, item.genres, item.directors, item.stars) for item in graph.items] == [
        ("Deep Water", "Deep Water (1994)", ("Thriller",), ("Ada Lind",), ()),
        ("Slow Train", "Slow Train", (), (), ("Bo Kerr", "Ada Lind")),
    ]


def test_a_path_tells_what_two_neighbouring_messages_name(tmp_path: Path) -> None:
    path = written(tmp_path, FILMS, BOOKS, FILMS)
    graph = load_opendialkg_graph(tmp_path)
    (dialogue,) = OpenDialKGDataset(path, films=graph.ids_by_name).dialogues()
    assert dialogue.mentions == ("Deep Water", "Slow Train")
    first, second = dialogue.recommendations
    assert (first.named, first.items) == (("Ada Lind",), ("Deep Water",))
    assert first.response == "Then see Deep Water. It is a thriller."
    assert [utterance.text for utterance in first.state.history] == ["I liked what Ada Lind made."]
    assert (second.named, second.items) == (("Ada Lind", "Deep Water", "Slow Train"), ("Deep Water",))
    assert [turn.response for turn in second.state.turns] == [first.response]
    linked = linked_turns([dialogue], Entities(graph))
    assert [turn.targets for turn in linked] == [(0,), (0,)]
    assert [turn.new for turn in linked] == [(0,), ()]


def test_one_dialogue_has_one_id_in_every_file(tmp_path: Path) -> None:
    films = {"Deep Water"}
    (one,) = OpenDialKGDataset(written(tmp_path, FILMS), films=films).dialogues()
    other = OpenDialKGDataset(written(tmp_path, FILMS[2:], FILMS), films=films).dialogues()
    assert [dialogue.id == one.id for dialogue in other] == [False, True]


def test_bad_rows_are_named_and_can_be_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, FILMS, "[{}]")
    with pytest.raises(DataError, match=r"opendialkg\.csv:3:Messages: not a list of messages and actions"):
        OpenDialKGDataset(path, films={"Deep Water"}).dialogues()
    loaded = OpenDialKGDataset(path, films={"Deep Water"}, skip_bad=1)
    assert (len(loaded.dialogues()), loaded.skipped) == (1, 1)


def test_unfit_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*opendialkg\.csv"):
        OpenDialKGDataset(tmp_path / "opendialkg.csv", films=()).dialogues()
    with pytest.raises(InputError, match=r"cannot read .*opendialkg_triples\.txt"):
        load_opendialkg_graph(tmp_path)
    with pytest.raises(DataError, match="Messages: the column is missing"):
        OpenDialKGDataset(written(tmp_path, FILMS, header="Talk"), films=()).dialogues()
    with pytest.raises(DataError, match="no usable dialogue about films"):
        OpenDialKGDataset(written(tmp_path, BOOKS), films={"Deep Water"}).dialogues()
    for content, what in (("a\tb\n", "has 2 cells"), ("a\thas_genre\tb\n", "names no film")):
        (tmp_path / "opendialkg_triples.txt").write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=what):
            load_opendialkg_graph(tmp_path)


@given(content=st.binary() | st.text().map(str.encode).map(lambda text: b"Messages,a\n" + text))
def test_any_bytes_give_dialogues_or_a_typed_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "opendialkg.csv"
        path.write_bytes(content)
        try:
            OpenDialKGDataset(path, films={"a"}, skip_bad=3).dialogues()
        except InputError:
            return
