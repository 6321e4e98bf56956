"""Entities: nodes and edges of a graph, links by exact name only, and ReDial's counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.core.messages import Attribute, Dialogue, Item, RecommendationTurn, State
from harness.domain.entities import Entities, linked_turns
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.datasets.redial import RedialDataset

REDIAL = Path(__file__).parents[2] / "shared" / "data" / "redial"

GRAPH = KnowledgeGraph.merged(
    (
        Item(id="a", title="Heat", year=1995, genres=("crime",), directors=("Mann",), stars=("Pacino", "Mann")),
        Item(id="b", title="Heat", genres=("crime",), directors=("Mann",)),
        Item(id="c", title="Big", year=1988, genres=("comedy",), stars=("Hanks",)),
    )
)


def turn(named: tuple[str, ...], items: tuple[str, ...]) -> RecommendationTurn:
    return RecommendationTurn(
        state=State(episode="d", seed=0, max_turns=10, opening="Hi"), named=named, items=items, response="Heat!"
    )


def test_nodes_are_films_then_values_and_edges_have_their_type() -> None:
    entities = Entities(GRAPH)
    assert entities.item_ids == ("a", "c")
    kinds = [(attribute.kind, attribute.value) for attribute in entities.attributes]
    assert kinds == [
        ("genre", "crime"), ("person", "Mann"), ("person", "Pacino"), ("decade", "1990s"),
        ("genre", "comedy"), ("person", "Hanks"), ("decade", "1980s"),
    ]  # fmt: skip
    assert entities.edges == {
        "genre": ((0, 2), (1, 6)),
        "director": ((0, 3),),
        "star": ((0, 4), (0, 3), (1, 7)),
        "decade": ((0, 5), (1, 8)),
    }
    assert len(entities) == 9


def test_only_an_exact_name_is_linked_also_of_a_merged_record() -> None:
    entities = Entities(GRAPH)
    assert entities.film("Heat (1995)") == entities.film("Heat") == 0
    assert entities.film("heat (1995)") is None
    assert entities.film("Heat (1996)") is None
    assert entities.film("crime") is None
    assert entities.node("crime") == 2
    assert entities.of_items(("b", "a", "c", "unknown")) == (0, 1)
    assert entities.of_attributes((Attribute(kind="decade", value="1980s"), Attribute(kind="genre", value="x"))) == (8,)


def test_a_turn_needs_a_known_film_and_something_known_before() -> None:
    dialogue = Dialogue(
        id="d",
        recommendations=(
            turn((), ("Heat",)),
            turn(("Nobody",), ("Heat",)),
            turn(("crime",), ("Unknown",)),
            turn(("crime", "Heat"), ("Heat (1995)", "Big (1988)", "Heat")),
        ),
    )
    (linked,) = linked_turns([dialogue], Entities(GRAPH))
    assert (linked.dialogue, linked.context, linked.targets, linked.new) == ("d", (2, 0), (0, 1), (1,))


@pytest.mark.skipif(not REDIAL.exists(), reason=f"ReDial is not at {REDIAL}")
def test_the_counts_of_redials_valid_file_before_any_merging_of_films() -> None:
    names: dict[str, int] = json.loads((REDIAL / "entity2id.json").read_text(encoding="utf-8"))
    numbers = set(json.loads((REDIAL / "item_ids.json").read_text(encoding="utf-8")))
    films = {name for name, number in names.items() if number in numbers}
    turns = [
        (dialogue.id, set(turn.named), [name for name in turn.items if name in films])
        for dialogue in RedialDataset(REDIAL / "valid_data.jsonl").dialogues()
        for turn in dialogue.recommendations
        if any(name in names for name in turn.named)
    ]
    turns = [turn for turn in turns if turn[2]]
    targets = [(name, named) for _, named, items in turns for name in items]
    assert (len({dialogue for dialogue, _, _ in turns}), len(turns), len(targets)) == (985, 2716, 3595)
    assert sum(name in named for name, named in targets) / len(targets) == pytest.approx(0.077, abs=0.0005)
