"""Goals: narrow, distinct, drawn by name; splits without shared films; balanced scenarios; the level of chance."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import InputError
from harness.core.messages import Attribute, Dialogue, Goal, Item, Persona
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.goals import chance_recall, draw_goals, draw_scenarios

GENRES = ("drama", "comedy", "crime", "war")


def film(number: int) -> Item:
    genres = tuple(genre for at, genre in enumerate(GENRES) if (number >> at) & 1) or ("western",)
    return Item(
        id=f"f{number}",
        title=f"Film Number {number}",
        year=1950 + 3 * number,
        genres=genres,
        directors=(f"Ada Director{number % 5}",),
        stars=(f"Bo Star{number}", f"Cy Star{number % 3}"),
    )


GRAPH = KnowledgeGraph.from_items(film(number) for number in range(24))


def spoken(*numbers: int, extra: tuple[str, ...] = ()) -> list[Dialogue]:
    return [Dialogue(id=f"d{n}", mentions=(film(n).name,)) for n in numbers] + [Dialogue(id="x", mentions=extra)]


def test_a_goal_is_two_genres_and_a_person_or_a_decade_of_its_target() -> None:
    goals, report = draw_goals(GRAPH, spoken(*range(24)), count=60, seed=1)
    kinds = Counter(goal.attributes[2].kind for goal in goals)
    assert set(kinds) == {"person", "decade"}
    for goal in goals:
        assert [attribute.kind for attribute in goal.attributes[:2]] == ["genre", "genre"]
        assert set(goal.attributes) <= GRAPH.attributes(goal.target)
        assert goal.matches == GRAPH.covering(goal.attributes)
        assert goal.target in goal.matches
    assert len({frozenset(goal.attributes) for goal in goals}) == len(goals) == 60
    assert len({goal.id for goal in goals}) == 60
    assert report.films == 24
    assert (report.first, report.first + report.further, report.beyond) == (len({g.target for g in goals}), 60, 0)
    assert report.unsuitable == sum(len(item.genres) < 2 for item in GRAPH.items)


def test_wide_goals_are_never_drawn() -> None:
    wide = KnowledgeGraph.from_items(
        Item(id=str(n), title=f"T{n}", year=1991, genres=("a", "b"), stars=("Star Everywhere", f"Star {n}"))
        for n in range(6)
    )
    dialogues = [Dialogue(id="d", mentions=tuple(item.name for item in wide.items))]
    goals, _ = draw_goals(wide, dialogues, count=6, seed=0, max_matches=5)
    assert all(goal.attributes[2] == Attribute(kind="person", value=f"Star {goal.target}") for goal in goals)
    with pytest.raises(InputError, match=r"only 6 goals .*at most 5 matching.*6 films.*asked for 7"):
        draw_goals(wide, dialogues, count=7, seed=0, max_matches=5)


def test_names_are_matched_by_title_and_year_then_title_and_drops_are_counted() -> None:
    dialogues = spoken(3, extra=("Film Number 7", "Film Number 5 (1900)", "No Such Film (2000)"))
    goals, report = draw_goals(GRAPH, dialogues, count=2, seed=0)
    assert {goal.target for goal in goals} == {"f3", "f7"}
    assert (report.named, report.films) == (4, 2)
    assert report.dropped == ("Film Number 5 (1900)", "No Such Film (2000)")  # another year is another film
    assert "2 not in the graph" in str(report)


def test_every_film_gives_one_goal_before_any_gives_two() -> None:
    goals, report = draw_goals(GRAPH, spoken(3, 5, 6), count=5, seed=2)
    assert sorted(Counter(goal.target for goal in goals).values()) == [1, 2, 2]
    assert len({goal.target for goal in goals[:3]}) == 3
    assert (report.first, report.further) == (3, 2)


def test_other_films_only_where_allowed_and_needed() -> None:
    one = spoken(3)
    with pytest.raises(InputError, match="can be drawn from the 1 films"):
        draw_goals(GRAPH, one, count=10, seed=0)
    goals, report = draw_goals(GRAPH, one, count=10, seed=0, beyond=True)
    assert report.beyond == sum(goal.target != "f3" for goal in goals) > 0
    assert draw_goals(GRAPH, one, count=1, seed=0, beyond=True).report.beyond == 0


def test_draws_depend_on_the_seed_and_not_on_the_order_of_dialogues() -> None:
    there = draw_goals(GRAPH, spoken(*range(24)), count=12, seed=5).goals
    back = draw_goals(GRAPH, spoken(*reversed(range(24))), count=12, seed=5).goals
    assert there == back
    assert there != draw_goals(GRAPH, spoken(*range(24)), count=12, seed=6).goals


PERSONAS = tuple(Persona(id=f"p{n}", name=f"P{n}", text="x", traits={}) for n in range(5))


@given(count=st.integers(0, 80), seed=st.integers(0, 9))
def test_scenarios_are_balanced_and_stable(count: int, seed: int) -> None:
    goals = draw_goals(GRAPH, spoken(3, 5, 6, 7), count=12, seed=0).goals
    scenarios = draw_scenarios(goals, PERSONAS, seed=seed, prefix="train", count=count)
    assert [scenario.id for scenario in scenarios[:2]] == ["train-000000", "train-000001"][:count]
    if count >= 24:
        assert [s.goal for s in scenarios[:12]] != [s.goal for s in scenarios[12:24]], "each round is shuffled anew"
    assert scenarios == draw_scenarios(goals, PERSONAS, seed=seed, prefix="train", count=count + 7)[:count]
    for used, all_of_them in (
        (Counter(scenario.persona.id for scenario in scenarios), PERSONAS),
        (Counter(scenario.goal.id for scenario in scenarios), goals),
    ):
        numbers = [used[thing.id] for thing in all_of_them]
        assert max(numbers) - min(numbers) <= 1


def test_scenarios_need_goals_and_personas() -> None:
    with pytest.raises(InputError, match="'eval'"):
        draw_scenarios((), PERSONAS, seed=0, prefix="eval", count=1)


@given(matches=st.integers(1, 8), k=st.integers(1, 12))
def test_chance_is_the_share_of_lists_that_hold_a_match(matches: int, k: int) -> None:
    graph = KnowledgeGraph.from_items(film(number) for number in range(8))
    ids = [item.id for item in graph.items]
    goal = Goal(id="g", attributes=(), target=ids[0], matches=tuple(ids[:matches]))
    lists = list(combinations(ids, min(k, 8)))
    share = sum(any(item in goal.matches for item in some) for some in lists) / len(lists)
    assert math.isclose(chance_recall(goal, graph, k), share, abs_tol=1e-12)
