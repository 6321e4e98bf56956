"""The rating sheet: systems hidden, balanced, read back with errors by line; kappa on agreements known by hand."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import events_of
from support.present import present

from harness.app.grid.comparison.rating_sheet import agreement, draw_sheet, read_sheet
from harness.core.errors import DataError, InputError
from harness.core.log.episode import build
from harness.core.messages import Score


def played(cell, count, stop="turns"):
    episodes = []
    for index in range(count):
        events = events_of(f"{cell}-{index}", index, rewards=[0.25, 0.5], stop=stop, phase="eval")
        events[-1] = msgspec.structs.replace(events[-1], evaluation=Score(reward=0.75))
        episodes.append(build(events))
    return episodes


EPISODES = {"rso.s0": played("a", 6), "rso.s1": played("b", 6), "crs.s0": played("c", 9)}
SYSTEMS = {"rso.s0": "rso", "rso.s1": "rso", "crs.s0": "crs"}


def test_the_sheet_hides_systems_and_takes_as_many_of_each():
    sheet, key = draw_sheet(EPISODES, SYSTEMS, 8)
    rows = list(csv.reader(io.StringIO(sheet)))
    assert len(rows) == 9
    assert [row[0] for row in rows[1:]] == [str(n) for n in range(1, 9)]
    assert all(row[2] == "" for row in rows[1:])
    assert "rso" not in sheet
    assert "crs" not in sheet
    assert rows[1][1].startswith("Seeker: Hello\nRecommender: response 1")
    assert sorted(SYSTEMS[entry.cell] for entry in key) == ["crs"] * 4 + ["rso"] * 4
    assert {(entry.evaluator, entry.judge) for entry in key} == {(4.0, 3.0)}
    order = [SYSTEMS[entry.cell] for entry in key]
    assert order != sorted(order)
    assert order != sorted(order, reverse=True)
    assert draw_sheet(EPISODES, SYSTEMS, 8) == (sheet, key)


def test_failed_dialogues_are_not_rated_and_too_few_are_refused():
    with pytest.raises(InputError, match="only 2 dialogues"):
        draw_sheet({"x": played("x", 2), "y": played("y", 5, stop="error")}, {"x": "x", "y": "y"}, 3)


def test_a_rated_sheet_is_read_back(tmp_path):
    sheet, _ = draw_sheet(EPISODES, SYSTEMS, 4)
    rows = list(csv.reader(io.StringIO(sheet)))
    rows[1][2], rows[3][2] = " 5 ", "1"
    path = tmp_path / "rated.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # as spreadsheets save it
        csv.writer(file).writerows(rows)
    assert read_sheet(path) == {1: 5, 3: 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,x\n", "sheet.csv:1: the columns"),
        ("number,dialogue,rating\n1,x,6\n", r"sheet.csv:2: .* from 1 to 5, not '6'"),
        ("number,dialogue,rating\n1,x,3\n1,x,3\n", "sheet.csv:3: dialogue 1 is rated twice"),
        ("number,dialogue,rating\none,x,3\n", "sheet.csv:2"),
        ("number,dialogue,rating\n1,x,4.5\n", "not '4.5'"),
    ],
)
def test_bad_sheets_are_named_by_line(tmp_path, content, message):
    (tmp_path / "sheet.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_sheet(tmp_path / "sheet.csv")


def test_an_absent_sheet_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="cannot read the rating sheet"):
        read_sheet(tmp_path / "absent.csv")


def test_kappa_by_hand():
    perfect = agreement({1: 1, 2: 3, 3: 5}, {1: 1.2, 2: 2.5, 3: 4.9})  # 2.5 rounds up
    assert (perfect.n, perfect.weighted_kappa, perfect.kappa, perfect.exact) == (3, 1.0, 1.0, 1.0)
    # Agree on 2 of 4; both say 1 and 2 half of the time: expected .5, so kappa 0.
    chance = agreement({1: 1, 2: 1, 3: 2, 4: 2}, {1: 1.0, 2: 2.0, 3: 1.0, 4: 2.0})
    assert (chance.kappa, chance.exact) == (pytest.approx(0.0), 0.5)
    opposed = agreement({1: 1, 2: 5}, {1: 5.0, 2: 1.0})
    assert opposed.weighted_kappa == pytest.approx(-1.0)


def test_near_misses_cost_less_than_far_ones_only_with_weights():
    near = agreement({1: 1, 2: 3, 3: 5, 4: 2}, {1: 2.0, 2: 3.0, 3: 5.0, 4: 2.0})
    far = agreement({1: 1, 2: 3, 3: 5, 4: 2}, {1: 5.0, 2: 3.0, 3: 5.0, 4: 2.0})
    assert near.exact == far.exact
    assert present(near.weighted_kappa) > present(far.weighted_kappa)


def test_what_the_judge_did_not_read_is_left_out_and_no_variation_is_no_kappa():
    assert agreement({1: 2, 2: 4}, {1: None, 2: 4.0}).n == 1
    assert agreement({1: 2}, {1: None}).kappa is None
    assert agreement({1: 3, 2: 3}, {1: 3.0, 2: 3.0}).kappa is None


@given(st.dictionaries(st.integers(1, 20), st.integers(1, 5), min_size=1))
def test_agreement_with_oneself_is_complete(ratings):
    found = agreement(ratings, {number: float(rating) for number, rating in ratings.items()})
    assert found.exact == 1.0
    assert found.kappa is None or found.kappa == pytest.approx(1.0)
