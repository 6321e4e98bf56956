"""The graph finds what a text names and covers what a goal asks."""

from pathlib import Path

import pytest

from harness.core.errors import DataError, InputError
from harness.core.messages import Attribute, Item
from harness.domain.knowledge_graph import PLOT_CHARACTERS, KnowledgeGraph, decade

HEAT = Item(
    id="1", title="Heat", year=1995, genres=("crime", "thriller"), directors=("Michael Mann",), stars=("Al Pacino",)
)
HEAT_OLD = Item(id="2", title="Heat", year=1986, genres=("action",), stars=("Burt Reynolds",))
ALIEN = Item(id="3", title="Alien Dawn", year=1979, genres=("sci-fi", "horror"), directors=("Ridley Scott",))
GRAPH = KnowledgeGraph.from_items([HEAT, HEAT_OLD, ALIEN])


def test_titles_in_running_text() -> None:
    assert GRAPH.titles_in("Have you seen Alien Dawn or Heat (1986)? Heat was on.") == ("3", "2")
    assert GRAPH.titles_in("the alien dawn of heat") == ()


def test_find_needs_the_year_where_two_films_share_a_title() -> None:
    assert GRAPH.find("Heat (1995)") == "1"
    assert GRAPH.find("Heat") is None
    assert GRAPH.find("alien dawn (1979)") == GRAPH.find("alien dawn") == "3"
    assert GRAPH.find("alien dawn (1980)") is None


def test_a_film_with_and_without_its_year_is_one_record_of_two_ids() -> None:
    graph = KnowledgeGraph.merged([Item(id="9", title="Heat", directors=("Michael Mann",)), HEAT, HEAT_OLD])
    assert graph.items == (HEAT, HEAT_OLD)
    assert graph.item("9") is graph.item("1")
    assert "9" in graph
    assert graph.facts("9") == graph.facts("1")
    assert graph.attributes("9") == graph.attributes("1")
    assert graph.kept(("9", "2", "1", "elsewhere")) == ("1", "2", "elsewhere")
    assert graph.notes == (
        "1 records were merged into others of the same films (same title, year equal or missing, same people); "
        "0 without a year were kept apart from films of their title",
    )
    assert KnowledgeGraph.merged([HEAT, HEAT_OLD]).notes == ()


def test_a_list_names_films_exactly() -> None:
    graph = KnowledgeGraph.from_items([HEAT, HEAT_OLD, ALIEN, Item(id="4", title="Mom")])
    assert graph.listed(["Mom", "the film Heat (1995)", "alien dawn", "nothing", "mom"]) == ("4", "1", "3")
    assert graph.titles_in("Mom; Heat") == ()


def test_attributes_in_text() -> None:
    found = GRAPH.attributes_in("A science fiction film from the 90s or 1970s, with al pacino, and thrillers")
    assert [a.value for a in found] == ["sci-fi", "1990s", "1970s", "Al Pacino", "thriller"]


def test_covering_is_the_intersection() -> None:
    assert GRAPH.covering([Attribute(kind="genre", value="crime"), Attribute(kind="decade", value="1990s")]) == ("1",)
    assert GRAPH.covering([Attribute(kind="genre", value="western")]) == ()
    assert GRAPH.covering([]) == ("1", "2", "3")


def test_facts_are_all_edges() -> None:
    assert {(f.relation, f.value) for f in GRAPH.facts("1")} == {
        ("year", "1995"),
        ("genre", "crime"),
        ("genre", "thriller"),
        ("director", "Michael Mann"),
        ("star", "Al Pacino"),
    }
    told = KnowledgeGraph.from_items([Item(id="1", title="Heat", writers=("Ann", "Bo"), plot="It\nis " + "hot " * 99)])
    *writers, plot = told.facts("1")
    assert [(fact.relation, fact.value) for fact in writers] == [("writer", "Ann"), ("writer", "Bo")]
    assert plot.relation == "plot"
    assert plot.value.startswith("It is hot hot")
    assert PLOT_CHARACTERS - 5 <= len(plot.value) <= PLOT_CHARACTERS
    assert told.attributes("1") == frozenset()


def test_a_merged_film_has_the_plot_and_writers_of_either_record() -> None:
    other = Item(id="9", title="Heat", directors=("Michael Mann",), writers=("Ann",), plot="It is hot.")
    (film, _) = KnowledgeGraph.merged([HEAT, HEAT_OLD, other]).items
    assert (film.id, film.writers, film.plot) == ("1", ("Ann",), "It is hot.")


def test_decade() -> None:
    assert (decade(1999), decade(2000)) == ("1990s", "2000s")


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing.json"):
        KnowledgeGraph.load(tmp_path / "missing.json")
    for content in (b"", b"[]", b'{"items": 3}', b'{"items": []}', b"\xff"):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(DataError, match="bad.json"):
            KnowledgeGraph.load(tmp_path / "bad.json")


def test_two_items_of_one_id_are_refused() -> None:
    with pytest.raises(DataError, match="one id"):
        KnowledgeGraph.from_items([HEAT, HEAT])
