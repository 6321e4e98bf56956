"""INSPIRED's film table: columns by name, records of one film merged, unfit rows named by line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.app.setup.sources import graph_in
from harness.core.errors import DataError, InputError
from harness.core.messages import Item
from simulator.datasets.movie_database import load_movie_database

HEADER = "video_id\ttitle\trating\tyear\tgenre\tdirector\tactors\twriter\tshort_plot\tlong_plot"
HEAT = (
    "abc\tHeat\t8.2\t1995\tCrime, Sci-Fi\tMichael Mann\tAl Pacino, Val Kilmer\t"
    'Michael Mann (screenplay), Ann Lee\t"A ""pro"" robs."\tLong.'
)
ALIEN = "def\tAlien Dawn (1979)\tN/A\t1980\tN/A\tnan\t\t\tN/A\tIt is far, far away."


def table(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "movie_database.tsv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    assert load_movie_database(table(tmp_path, HEAT, ALIEN)).items == (
        Item(
            id="abc",
            title="Heat",
            year=1995,
            genres=("crime", "sci-fi"),
            directors=("Michael Mann",),
            writers=("Michael Mann", "Ann Lee"),
            stars=("Al Pacino", "Val Kilmer"),
            plot='A "pro" robs.',
        ),
        Item(id="def", title="Alien Dawn", year=1979, plot="It is far, far away."),
    )
    bare = load_movie_database(table(tmp_path, "1999–\tUp\r", header="Year\tTitle\r"))
    assert bare.items == (Item(id="line-2", title="Up", year=1999),)


def test_one_film_twice_is_one_record(tmp_path: Path) -> None:
    yearless = "ghi\tHeat\t\t\t\tMichael Mann\t\t\t\t"
    graph = load_movie_database(table(tmp_path, HEAT, HEAT, yearless))
    assert [item.id for item in graph.items] == ["abc"]
    assert graph.aliases == {"line-3": "abc", "ghi": "abc"}
    assert graph.find("Heat (1995)") == graph.find("Heat") == "abc"


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("abc\tHeat", r"movie_database.tsv:3:2: the row has 2 cells, the header 10"),
        (HEAT.replace("\tHeat\t", "\tnan\t"), r"movie_database.tsv:3:title: no title"),
        (HEAT.replace("1995", "soon"), r"movie_database.tsv:3:year: 'soon' is no year"),
        (ALIEN.replace("def", "abc"), r"movie_database.tsv:3:video_id: 'abc' is the id of 'Heat \(1995\)' already"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_or_skipped_and_counted(tmp_path: Path, row: str, what: str) -> None:
    path = table(tmp_path, HEAT, row)
    with pytest.raises(DataError, match=what):
        load_movie_database(path)
    graph = graph_in(path, 1)
    assert len(graph.items) == 1
    assert graph.notes == (f"1 bad rows of {path} were skipped",)


def test_a_header_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tsv:1:title: the column is missing; found: a, b"):
        load_movie_database(table(tmp_path, header="a\tb"))
    with pytest.raises(DataError, match=r"tsv:1:actors: a column for stars occurs twice"):
        load_movie_database(table(tmp_path, header="title\tstars\tactors"))
    with pytest.raises(DataError, match="holds no usable film"):
        load_movie_database(table(tmp_path))
    with pytest.raises(InputError, match="cannot read"):
        load_movie_database(tmp_path / "gone.tsv")


@given(content=st.binary(max_size=200), whole=st.booleans())
def test_any_bytes_are_films_or_a_named_error(tmp_path_factory: pytest.TempPathFactory, content: bytes, whole: bool):
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    path.write_bytes(content if whole else b"title\tyear\n" + content)
    try:
        assert load_movie_database(path, skip_bad=2).items
    except (DataError, InputError) as error:
        assert "any.tsv" in str(error)
