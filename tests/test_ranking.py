"""Rankings: the floors, expected measures among ties, and what a ranker is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.messages import Item, RecommendationTurn, State, Turn
from harness.domain.entities import Entities, LinkedTurn
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.ranking import (
    Chance,
    Placed,
    Popularity,
    Query,
    RepeatThenPopularity,
    Scores,
    gains,
    placed,
    query_of,
)

GRAPH = KnowledgeGraph.from_items(
    [Item(id=f"i{n}", title=f"Film {n}", year=1990 + n, genres=("drama",) if n else ()) for n in range(6)]
)
ENTITIES = Entities(GRAPH)
DRAMA = 7  # after six films and the decade of the first


def turn(context: tuple[int, ...], targets: tuple[int, ...], dialogue: str = "d") -> LinkedTurn:
    state = State(episode=dialogue, seed=0, max_turns=10, opening="Hi")
    return LinkedTurn(dialogue, RecommendationTurn(state=state, named=(), items=(), response=""), context, targets)


def query(*context: int) -> Query:
    return Query(State(episode="d", seed=0, max_turns=10), context)


TRAINING = [turn((DRAMA,), (3,)), turn((DRAMA,), (3, 1))]


def test_popularity_counts_recommended_films_of_the_training_turns_only() -> None:
    assert Popularity(TRAINING, ENTITIES).rank([query(), query(5)]).tolist() == [[0, 1, 0, 2, 0, 0]] * 2


def test_repeat_puts_the_last_named_film_first_and_other_nodes_nowhere() -> None:
    (scores,) = RepeatThenPopularity(TRAINING, ENTITIES).rank([query(5, DRAMA, 2)])
    assert np.argsort(-scores, kind="stable").tolist() == [2, 5, 3, 1, 0, 4]
    assert scores[0] == scores[4]


def test_a_target_stands_below_the_better_ones_and_among_its_equals() -> None:
    found = placed(Popularity(TRAINING, ENTITIES), [turn((1, DRAMA), (1, 4), "a"), turn((DRAMA,), (3,), "b")])
    assert found.above.tolist() == [1, 2, 0]
    assert found.tied.tolist() == [1, 4, 1]
    assert found.new.tolist() == [False, True, True]
    assert found.dialogues == ("a", "a", "b")
    assert found.films == 6


def test_expected_measures_among_ties() -> None:
    found = gains(placed(Popularity(TRAINING, ENTITIES), [turn((DRAMA,), (4,))]))
    # Films 0, 2, 4 and 5 share places 3 to 6.
    assert found["recall_1"].tolist() == [0.0]
    assert found["recall_5"].tolist() == [pytest.approx(3 / 4)]
    assert found["mrr"].tolist() == [pytest.approx((1 / 3 + 1 / 4 + 1 / 5 + 1 / 6) / 4)]
    assert found["ndcg"].tolist() == [pytest.approx(np.mean(1 / np.log2([4, 5, 6, 7])))]


def test_chance_is_the_uniform_ranking() -> None:
    found = gains(placed(Chance(ENTITIES), [turn((DRAMA,), (2, 5))]))
    assert found["recall_1"].tolist() == [pytest.approx(1 / 6)] * 2
    assert found["recall_50"].tolist() == [1.0, 1.0]


@given(scores=st.lists(st.integers(0, 3), min_size=2, max_size=90), data=st.data())
def test_measures_equal_the_mean_over_all_orders_of_ties(scores: list[int], data: st.DataObject) -> None:
    target = data.draw(st.integers(0, len(scores) - 1))
    row = np.array(scores)
    above, tied = int((row > row[target]).sum()), int((row == row[target]).sum())
    where = Placed(np.array([above]), np.array([tied]), np.array([True]), ("d",), len(scores))
    ranks = np.arange(above + 1, above + tied + 1)
    found = {name: float(value[0]) for name, value in gains(where).items()}
    assert found["recall_10"] == pytest.approx(np.mean(ranks <= 10))
    assert found["mrr"] == pytest.approx(np.mean(np.where(ranks <= 50, 1 / ranks, 0)))
    assert found["ndcg"] == pytest.approx(np.mean(np.where(ranks <= 50, 1 / np.log2(1 + ranks), 0)))
    assert 0 <= found["recall_1"] <= found["recall_5"] <= found["recall_50"] <= 1


class Broken:
    def rank(self, queries: Sequence[Query]) -> Scores:
        return np.full((len(queries), 6), np.nan)


def test_a_score_that_is_no_number_ranks_nothing() -> None:
    with pytest.raises(DataError, match="Broken gives a score that is not a number"):
        placed(Broken(), [turn((DRAMA,), (2,))])


def test_the_query_of_a_played_conversation_holds_what_its_texts_name() -> None:
    state = State(
        episode="e",
        seed=0,
        max_turns=10,
        opening="I like Film 4 (1994).",
        turns=(
            Turn(
                strategy=None,
                preferences="",
                response="Then watch film 2.",
                recommended=("i2",),
                reply="I would rather have a drama like Film 4 (1994).",
            ),
        ),
    )
    assert query_of(state, GRAPH, ENTITIES).context == (4, 2, DRAMA)
