"""Golden values of persuasion, credibility and diversity on dialogues computed by hand, edge cases, and properties."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.present import present

from harness.app.evaluation.credibility import credibility, credibility_coverage, credibility_zero_filled
from harness.app.evaluation.diversity import corpus_distinct_2, distinct_2, mean_distinct_2
from harness.app.evaluation.persuasion import (
    Intentions,
    count_persuasion,
    intention_of_all,
    persuasiveness,
)
from harness.app.evaluation.summary import one_run_ratio

RATING = st.floats(1, 5)
RATINGS = st.lists(st.one_of(st.none(), RATING), max_size=10)
TEXT = st.text(st.sampled_from("ab c,.'é"), max_size=30)


def said(pre, post, true):
    return Intentions(item="heat", pre=pre, post=post, true=true)


# Persuasiveness


CASES = [
    # pre, post, true, the paper's PRS, oversold, harmed; the same cases stand in docs/measures.md
    (2, 3, 4, 0.5, False, False),  # half of the way
    (2, 4, 4, 1.0, False, False),  # all of it
    (2, 2, 4, 0.0, False, False),  # nothing moved
    (2, 5, 4, None, True, False),  # more than the record warrants
    (3, 2, 4, 0.0, False, True),  # talked down
    (3, 3, 3, None, False, False),  # no room
    (3, 4, 3, None, True, False),
    (3, 2, 3, None, False, True),
    (4, 3, 2, None, True, False),  # the title promises too much, and the dialogue less, but still too much
    (4, 2, 2, None, False, False),  # the dialogue told so
    (4, 1, 2, None, False, True),
]


@pytest.mark.parametrize(("pre", "post", "true", "paper", "oversold", "harmed"), CASES)
def test_persuasiveness_by_hand(pre, post, true, paper, oversold, harmed):
    found = said(pre, post, true)
    assert persuasiveness(found) == pytest.approx(paper)
    assert (found.oversold, found.harmed) == (oversold, harmed)


def test_the_page_on_measures_has_these_cases():
    rows = re.findall(
        r"^\| (\d) \| (\d) \| (\d) \| (left out|undefined|[\d.]+) \| (yes|no) \| (yes|no) \|",
        (Path(__file__).parents[1] / "docs" / "measures.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    told = [
        (int(pre), int(post), int(true), paper, oversold == "yes", harmed == "yes")
        for pre, post, true, paper, oversold, harmed in rows
    ]
    assert told == [
        (pre, post, true, _word(paper, pre, true), oversold, harmed)
        for pre, post, true, paper, oversold, harmed in CASES
    ]


def _word(paper, pre, true):
    return f"{paper:g}" if paper is not None else "undefined" if pre >= true else "left out"


@pytest.mark.parametrize("missing", [said(None, 3, 4), said(2, None, 4), said(2, 3, None), Intentions()])
def test_a_missing_reading_gives_nothing(missing):
    assert (persuasiveness(missing), missing.oversold, missing.harmed) == (None, None, None)


def test_all_score_triples():
    """What is scored is in [0, 1] and is the ratio of the pooled row; all other triples are counted by their reason."""
    for pre, post, true in product(range(1, 6), repeat=3):
        found = said(pre, post, true)
        counts = count_persuasion([found])
        value = persuasiveness(found)
        assert counts.used + counts.left_out + counts.undefined == 1
        assert counts.undefined == (pre >= true)
        assert counts.left_out == (post > true > pre)
        assert (value is not None) == bool(counts.used)
        assert bool(counts.over_persuaded) == found.oversold == (post > true)
        assert bool(counts.harmed) == found.harmed == (post < min(pre, true))
        if value is not None:
            assert 0.0 <= value <= 1.0
            assert value == max(0.0, found.gain / found.room)
            assert (value == 0.0) == (post <= pre)
            assert value == pytest.approx(max(0.0, 1 - (true - post) / (true - pre)))
        if post < pre < true:
            assert value == 0.0
            assert found.gain / found.room < 0.0  # so the pooled ratio falls


def test_the_pooled_ratio_is_of_all_dialogues():
    triples = list(product(range(1, 6), repeat=3))
    gains = {str(n): said(*triple).gain for n, triple in enumerate(triples)}
    rooms = {str(n): said(*triple).room for n, triple in enumerate(triples)}
    assert one_run_ratio(gains, rooms).n == 125
    some = [0, 1, 7, 24, 30]
    found = one_run_ratio({str(n): gains[str(n)] for n in some}, {str(n): rooms[str(n)] for n in some})
    assert found.mean == pytest.approx(sum(gains[str(n)] for n in some) / sum(rooms[str(n)] for n in some))


def test_watching_intention_of_all_dialogues():
    assert intention_of_all(Intentions()) == 1.0  # nobody watches what was never recommended
    assert intention_of_all(said(2, 4, 5)) == 4
    assert intention_of_all(said(2, None, 5)) is None  # not read is not 1


def test_counts_say_what_stands_behind_the_means():
    dialogues = [said(2, 3, 4), said(3, 4, 3), said(2, 5, 4), said(3, 2, 4), Intentions(), said(2, None, 3)]
    found = count_persuasion(dialogues)
    assert (found.used, found.left_out, found.undefined, found.missing) == (2, 1, 1, 2)
    assert (found.over_persuaded, found.harmed, found.unrecommended) == (2, 1, 1)


@given(RATING, RATING, RATING)
def test_readings_of_any_value_are_counted_once_and_stay_in_the_scale(pre, post, true):
    value = persuasiveness(said(pre, post, true))
    found = count_persuasion([said(pre, post, true)])
    assert found.used + found.left_out + found.undefined + found.missing == 1
    assert value is None or 0.0 <= value <= 1.0


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
    assert said(0, 0.05, 0).oversold is False
    assert said(3, 3, 3.04).oversold is False
    assert persuasiveness(said(3, 3, 3.04)) is None  # as good as equal
