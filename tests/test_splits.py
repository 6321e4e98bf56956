"""Splits by dialogue: whole dialogues, any order of the file, and no dialogue in two files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.messages import Dialogue
from harness.domain.splits import folds_by_dialogue, parts_by_dialogue, refuse_shared


@given(names=st.sets(st.text(max_size=4), max_size=60), seed=st.integers(0, 5))
def test_every_dialogue_is_in_one_part_whatever_the_order(names: set[str], seed: int) -> None:
    parts = parts_by_dialogue([*sorted(names), *names], (0.7, 0.1, 0.2), seed)
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert parts == parts_by_dialogue(sorted(names, reverse=True), (0.7, 0.1, 0.2), seed)
    folds = folds_by_dialogue(names, 5, seed)
    assert max(map(len, folds)) - min(map(len, folds)) <= 1


def test_the_parts_have_their_shares_and_the_seed_matters() -> None:
    names = [str(n) for n in range(985)]
    first = parts_by_dialogue(names, (0.7, 0.1, 0.2), 0)
    assert [len(part) for part in first] == [690, 98, 197]
    assert first != parts_by_dialogue(names, (0.7, 0.1, 0.2), 1)


def test_a_dialogue_in_two_files_is_refused_in_one_sentence() -> None:
    one, two = Dialogue(id="1"), Dialogue(id="2")
    refuse_shared({"a": [one], "b": [two]})
    with pytest.raises(DataError, match=r"^a and b share 1 of their dialogues \('2'\): a dialogue may stand in"):
        refuse_shared({"a": [one, two], "b": [two]})
