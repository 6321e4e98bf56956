"""Golden values of persuasion, credibility and diversity on dialogues computed by hand, edge cases, and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.present import present

from harness.app.evaluation.credibility import credibility, credibility_coverage, credibility_zero_filled
from harness.app.evaluation.diversity import corpus_distinct_2, distinct_2, mean_distinct_2
from harness.app.evaluation.persuasion import (
    Intentions,
    count_persuasion,
    persuasiveness,
)

RATING = st.floats(1, 5)
RATINGS = st.lists(st.one_of(st.none(), RATING), max_size=10)
TEXT = st.text(st.sampled_from("ab c,.'é"), max_size=30)


def said(pre, post, true):
    return Intentions(item="heat", pre=pre, post=post, true=true)


# Persuasiveness


@pytest.mark.parametrize(
    ("intentions", "clipped", "unclipped"),
    [
        (said(2, 3, 4), 0.5, 0.5),  # half of the way
        (said(2, 4, 4), 1.0, 1.0),  # all of it
        (said(2, 2, 4), 0.0, 0.0),  # nothing moved
        (said(2, 5, 4), 1.0, 1.5),  # post > true: over-persuaded
        (said(3, 2, 4), 0.0, -1.0),  # talked out of it
        (said(4, 3, 2), 0.5, 0.5),  # the title promised too much, the dialogue told so
        (said(3, 4, 3), None, None),  # true = pre
        (said(3, 3, 3.04), None, None),  # as good as equal
        (said(None, 3, 4), None, None),
        (said(2, None, 4), None, None),
        (said(2, 3, None), None, None),
        (Intentions(), None, None),  # no recommendation
    ],
)
def test_persuasiveness_by_hand(intentions, clipped, unclipped):
    assert persuasiveness(intentions) == pytest.approx(clipped)
    assert persuasiveness(intentions, clipped=False) == pytest.approx(unclipped)


def test_counts_say_what_stands_behind_the_means():
    dialogues = [said(2, 3, 4), said(3, 4, 3), said(2, 5, 4), Intentions(), said(2, None, 3)]
    found = count_persuasion(dialogues)
    assert (found.used, found.undefined, found.missing, found.over_persuaded) == (2, 1, 2, 2)


@given(RATING, RATING, RATING)
def test_persuasiveness_is_one_minus_what_is_left_and_clipping_only_clips(pre, post, true):
    plain, clipped = persuasiveness(said(pre, post, true), clipped=False), persuasiveness(said(pre, post, true))
    if plain is None:
        assert clipped is None
        assert abs(true - pre) < 0.05
    else:
        assert plain == pytest.approx(1 - (true - post) / (true - pre), abs=1e-6)
        assert clipped == min(1.0, max(0.0, plain))


@given(st.lists(st.tuples(RATING, RATING, RATING), max_size=8))
def test_every_dialogue_is_counted_once(triples):
    found = count_persuasion([said(*triple) for triple in triples] + [Intentions()])
    assert found.used + found.undefined + found.missing == len(triples) + 1


# Credibility


@pytest.mark.parametrize(
    ("ratings", "scored", "zero_filled", "coverage"),
    [
        ((4.0, 5.0), 4.5, 4.5, 1.0),
        ((None, 4.0, None, 2.0), 3.0, 1.5, 0.5),
        ((None, None), None, 0.0, 0.0),  # no scored turn
        ((), None, None, None),
    ],
)
def test_credibility_by_hand(ratings, scored, zero_filled, coverage):
    assert credibility(ratings) == scored
    assert credibility_zero_filled(ratings) == zero_filled
    assert credibility_coverage(ratings) == coverage


@given(RATINGS)
def test_zero_filled_is_scored_times_coverage(ratings):
    scored, coverage = credibility(ratings), credibility_coverage(ratings)
    if scored is not None:
        assert credibility_zero_filled(ratings) == pytest.approx(scored * present(coverage))
        assert 1 <= scored <= 5 + 1e-9


# Diversity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a good film", 1.0),
        ("very very very good", 2 / 3),  # very very, very very, very good
        ("Good film, GOOD film!", 2 / 3),  # good film, film good, good film
        ("", None),  # empty response
        ("Heat", None),  # one word
        ("?!", None),
    ],
)
def test_distinct_2_by_hand(text, value):
    assert distinct_2(text) == pytest.approx(value)


def test_per_response_and_corpus_differ():
    responses = ["watch this film", "watch this film", "Heat", ""]
    assert mean_distinct_2(responses) == 1.0
    assert corpus_distinct_2(responses) == pytest.approx(2 / 4)
    assert mean_distinct_2(["", "Heat"]) is None
    assert corpus_distinct_2(["one", "two"]) is None  # no bigram spans two responses


@given(st.lists(TEXT, max_size=6))
def test_diversity_is_a_share_and_repeating_the_corpus_halves_it(responses):
    value = corpus_distinct_2(responses)
    mean = mean_distinct_2(responses)
    assert (value is None) == (mean is None)
    if value is not None:
        assert 0 < value <= 1
        assert 0 < present(mean) <= 1
        assert corpus_distinct_2(responses * 2) == pytest.approx(value / 2)
        assert mean_distinct_2(responses * 2) == pytest.approx(mean)


def test_gain_and_room_exist_together():
    assert (said(2, 3, None).gain, said(2, None, 4).room) == (None, None)
    assert (said(2, None, 4).gain, said(2, 3, None).room) == (None, None)


def test_a_gap_of_exactly_the_least_counts_as_room_and_not_as_too_much():
    assert persuasiveness(said(0, 0.05, 0.05)) == 1.0
    assert said(0, 0.05, 0).over_persuaded is False
