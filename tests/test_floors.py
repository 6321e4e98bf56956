"""Floors of R@k in played conversations: the same turn, the same goal, no recommender."""

from __future__ import annotations

import msgspec
import pytest
from support.episodes import events_of

from harness.app.evaluation.floors import FLOOR_MEASURES, floor_measures, floor_name, with_floors
from harness.app.evaluation.measures import row_title, scale_of
from harness.app.evaluation.scales import RATE, SHARE
from harness.core.log.episode import Episode, build
from harness.core.messages import Item, Opening, SeekerReply, Transition
from harness.domain.knowledge_graph import KnowledgeGraph

GRAPH = KnowledgeGraph.from_items(
    [
        Item(id=str(n), title=f"Film {word}", year=1990 + n)
        for n, word in enumerate(["One", "Two", "Three", "Four", "Five"], 1)
    ]
)
POPULAR = ("5", "3", "4", "1", "2")


def episode(opening: str, *turns: tuple[str, str]) -> Episode:
    """The goal is covered by films 1 (the target) and 2."""
    found = build(events_of("e", 0, turns=len(turns)))
    transitions: tuple[Transition, ...] = tuple(
        msgspec.structs.replace(t, response=said, recommended=(), reply=SeekerReply(text=reply))
        for t, (said, reply) in zip(found.transitions, turns, strict=True)
    )
    return msgspec.structs.replace(found, opening=Opening(episode="e", text=opening), transitions=transitions)


def values(one: Episode) -> dict[str, float | None]:
    return {name: measure(one) for name, measure in floor_measures(GRAPH, POPULAR).items()}


def test_the_last_turns_message_is_not_known_before_it() -> None:
    found = values(episode("I saw Film Two (1992).", ("Film One (1991)?", "No."), ("Film Four (1994)?", "No.")))
    # Before the last turn: films 1, 2, then 5, 3, 4.
    assert (found["repeat_recall_1"], found["repeat_target_1"]) == (1.0, 1.0)
    alone = values(episode("Hello.", ("Film One (1991)?", "No.")))
    assert (alone["repeat_recall_1"], alone["repeat_recall_5"]) == (0.0, 1.0)


def test_any_turn_looks_at_every_ranking_and_popularity_fills_up() -> None:
    found = values(episode("I saw Film Two (1992).", ("Film Three (1993)?", "No."), ("Well?", "No.")))
    # First turn: 2, 5, 3, 4, 1. Second: 3, 2, 5, 4, 1.
    assert (found["repeat_recall_1"], found["repeat_recall_any_1"], found["repeat_target_5"]) == (0.0, 1.0, 1.0)


def test_popular_and_chance_need_no_conversation() -> None:
    found = values(episode("Hello.", ("Well?", "No."), ("Well?", "No.")))
    assert (found["popular_recall_1"], found["popular_recall_5"], found["popular_target_5"]) == (0.0, 1.0, 1.0)
    assert found["chance_recall_1"] == pytest.approx(2 / 5)
    assert found["chance_recall_any_1"] == pytest.approx(1 - (3 / 5) ** 2)
    assert found["chance_target_1"] == pytest.approx(1 / 5)
    # Nothing was named: repeating is popularity.
    assert found["repeat_recall_1"] == found["popular_recall_1"]


def test_no_turn_has_no_floor() -> None:
    assert set(values(episode("Hello.")).values()) == {None}


def test_every_floor_has_its_scale_and_stands_under_its_recall() -> None:
    assert {name: scale_of(name) for name in FLOOR_MEASURES} == {
        name: SHARE if name.startswith("chance") else RATE for name in FLOOR_MEASURES
    }
    names = with_floors(("turns", "target_recall_1"))
    assert names == ("turns", "target_recall_1", *(f"{f}_target_1" for f in ("chance", "popular", "repeat")))
    assert row_title("chance_target_1") == "· chance"
    assert floor_name("repeat", "recall_any_5") == "repeat_recall_any_5"
