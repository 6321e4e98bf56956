"""The INSPIRED loader: dialogues as planner states, and every blemish named as file:line:column."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError, InputError
from harness.core.messages import Utterance
from harness.domain.strategies import STRATEGIES, strategy_set
from simulator.datasets.inspired import InspiredDataset

REAL = Path(__file__).parents[2] / "shared" / "data" / "inspired" / "dev.tsv"
COLUMNS = ("dialog_id", "utt_id", "speaker", "text", "movie_dict", "expert_label", "second_label", "fine_label")
HEADER = "\t".join(COLUMNS)


def row(utterance: int, who: str, text: str, label: str = "", second: str = "", **changed: str) -> str:
    speaker = {"R": "RECOMMENDER", "S": "SEEKER"}[who]
    cells = dict(zip(COLUMNS, ("d1", str(utterance), speaker, text, "{}", label, second, "nan"), strict=True))
    return "\t".join((cells | changed).values())


GOOD = (
    row(1, "R", "Hello!", "no_strategy"),
    row(2, "R", "What do you like?", "opinion_inquiry"),
    row(3, "S", "Hi."),
    row(4, "S", "I like dramas.", movie_dict="{'Heat (1995)': 1, \"Schindler's List (1993)\": 0}"),
    row(5, "R", "Me too.", "similarity"),
    row(6, "R", "It stars Al Pacino.", "credibility", "personal_opinion"),
    row(7, "R", "Made in 1995.", "credibility"),
    row(8, "S", "Nice"),
    row(9, "R", "Enjoy!", "encouragement"),
)


def dataset(tmp_path: Path, *rows: str, header: str = HEADER, skip_bad: int = 0) -> InspiredDataset:
    path = tmp_path / "some.tsv"
    path.write_bytes(("\n".join((header, *rows)) + "\n").encode("utf-8", "surrogateescape"))
    return InspiredDataset(path, strategies=STRATEGIES, skip_bad=skip_bad)


def test_turns_become_states_that_end_at_the_seekers_message(tmp_path: Path) -> None:
    (dialogue,) = dataset(tmp_path, *GOOD).dialogues()
    first, second = dialogue.labelled_turns
    assert first.state.history == (
        Utterance(speaker="recommender", text="Hello! What do you like?"),
        Utterance(speaker="seeker", text="Hi. I like dramas."),
    )
    assert first.state.opening == ""
    assert first.state.turn == 2
    assert first.labels == {"similarity": 1, "credibility": 2, "personal_opinion": 1}
    assert first.first_label == "similarity"
    assert second.labels == {"encouragement": 1}
    assert [turn.strategy for turn in second.state.turns] == ["no_strategy", "credibility"]
    assert second.state.turns[1].response == "Me too. It stars Al Pacino. Made in 1995."
    assert (dialogue.id, second.state.episode, second.state.seed, second.state.max_turns) == ("d1", "d1", 0, 10)
    assert dialogue.mentions == ("Schindler's List (1993)", "Heat (1995)")


def test_a_seeker_who_opens_gives_a_first_turn(tmp_path: Path) -> None:
    (dialogue,) = dataset(tmp_path, row(1, "S", "Hi"), row(2, "R", "Hello", "no_strategy")).dialogues()
    (turn,) = dialogue.labelled_turns
    assert (turn.state.opening, turn.state.turn) == ("Hi", 1)


def test_long_dialogues_raise_the_number_of_turns(tmp_path: Path) -> None:
    said = [row(2 * n + (who == "S"), who, "x", "no_strategy" * (who == "R")) for n in range(12) for who in "RS"]
    (dialogue,) = dataset(tmp_path, *said).dialogues()
    assert {turn.state.max_turns for turn in dialogue.labelled_turns} == {12}
    assert [turn.state.turn for turn in dialogue.labelled_turns] == list(range(2, 13))


def test_placeholders_and_damage(tmp_path: Path) -> None:
    damaged = row(2, "S", "I\ufffd\ufffd\ufffdve seen QUOTATION_MARKITQUOTATION_MARK")
    loaded = dataset(tmp_path, row(1, "R", '"Hello', "no_strategy"), damaged, row(3, "R", "Ok", "no_strategy"))
    history = loaded.dialogues()[0].labelled_turns[0].state.history
    assert [utterance.text for utterance in history] == ['"Hello', 'I\ufffdve seen "IT"']
    assert loaded.damaged == 1


def test_byte_order_mark_crlf_and_first_label_are_accepted(tmp_path: Path) -> None:
    renamed = "\ufeff" + HEADER.replace("expert_label", "first_label") + "\r"
    loaded = dataset(tmp_path, *(f"{line}\r" for line in GOOD), header=renamed)
    assert loaded.dialogues() == dataset(tmp_path, *GOOD).dialogues()


def test_the_second_label_may_be_absent(tmp_path: Path) -> None:
    shorter = [line.rsplit("\t", 2)[0] for line in (HEADER, *GOOD)]
    (dialogue,) = dataset(tmp_path, *shorter[1:], header=shorter[0]).dialogues()
    assert dialogue.labelled_turns[0].labels == {"similarity": 1, "credibility": 2}


def test_labels_follow_the_label_set(tmp_path: Path) -> None:
    asked = (row(1, "S", "Hi"), row(2, "R", "A drama, right?", "preference_confirmation"))
    assert dataset(tmp_path, *asked).dialogues()[0].labelled_turns[0].first_label == "transparency"
    kept = InspiredDataset(tmp_path / "some.tsv", strategies=strategy_set("inspired14"))
    assert kept.dialogues()[0].labelled_turns[0].first_label == "preference_confirmation"


BAD = {
    "movie_dict": row(3, "S", "Hi.", movie_dict="{'Heat (1995): 0}"),
    "expert_label": row(3, "R", "Hi.", "flattery"),
    "second_label": row(3, "R", "Hi.", "no_strategy", "flattery"),
    "speaker": row(3, "S", "Hi.", speaker="NARRATOR"),
    "utt_id": row(2, "S", "Hi."),
    "text": row(3, "S", "Hi \udcff"),
    "4": "d1\t3\tSEEKER\tHi.",
}


@pytest.mark.parametrize("column", BAD)
def test_a_bad_row_is_named_and_can_be_skipped_with_its_dialogue(tmp_path: Path, column: str) -> None:
    other = [line.replace("d1", "d2") for line in GOOD]
    rows = [*other, *GOOD[:2], BAD[column], *GOOD[3:]]
    with pytest.raises(DataError, match=rf"some\.tsv:13:{column}: "):
        dataset(tmp_path, *rows).dialogues()
    loaded = dataset(tmp_path, *rows, skip_bad=1)
    assert [dialogue.id for dialogue in loaded.dialogues()] == ["d2"]
    assert loaded.skipped == 1


def test_no_more_bad_rows_than_allowed(tmp_path: Path) -> None:
    other = [line.replace("d1", "d2") for line in GOOD]
    bad = (row(1, "S", "a", movie_dict="{"), row(2, "S", "b", movie_dict="{"))
    with pytest.raises(DataError, match=r"some\.tsv:12:movie_dict: .*bad row 2, and at most 1"):
        dataset(tmp_path, *other, *bad, skip_bad=1).dialogues()


@pytest.mark.parametrize(
    "literal", ["[1]", "{'a': 'b'}", "{1: 2}", "{'a': 0", "{'\\ud800': 0}", "{'a\\x': 1}", "-" * 9999]
)
def test_films_must_be_a_mapping_of_names_to_numbers(tmp_path: Path, literal: str) -> None:
    with pytest.raises(DataError, match="2:movie_dict"):
        dataset(tmp_path, row(1, "S", "Hi.", movie_dict=literal)).dialogues()


@pytest.mark.parametrize("column", ["dialog_id", "utt_id", "speaker", "text", "movie_dict", "expert_label"])
def test_missing_columns_are_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(DataError, match=rf"some\.tsv:1:{column}: the column is missing"):
        dataset(tmp_path, *GOOD, header=HEADER.replace(column, "other"), skip_bad=100).dialogues()


def test_files_that_are_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.tsv: No such file"):
        InspiredDataset(tmp_path / "no.tsv", strategies=STRATEGIES).dialogues()
    (tmp_path / "empty.tsv").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.tsv is empty"):
        InspiredDataset(tmp_path / "empty.tsv", strategies=STRATEGIES).dialogues()
    with pytest.raises(DataError, match="holds no usable dialogue"):
        dataset(tmp_path).dialogues()


pieces = st.sampled_from([*GOOD, *BAD.values(), "\t", "", "\x00", "\ufeff", "\u2028", "d1\t1\tSEEKER\tx\t{}\t\t\t"])
headers = st.sampled_from([HEADER, HEADER.replace("second", "third"), HEADER.replace("fine_label", "text")])
almost = st.builds(
    lambda header, some: "\n".join((header, *some)).encode("utf-8", "surrogateescape"), headers, st.lists(pieces)
)


@given(content=st.binary() | almost, skip_bad=st.integers(0, 5))
def test_any_bytes_give_dialogues_or_a_typed_error(content: bytes, skip_bad: int) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        try:
            dialogues = InspiredDataset(Path(file.name), strategies=STRATEGIES, skip_bad=skip_bad).dialogues()
        except InputError:
            return
    for dialogue in dialogues:
        for turn in dialogue.labelled_turns:
            assert turn.state.history[-1].speaker == "seeker"
            assert 1 <= turn.state.turn <= turn.state.max_turns
            assert sum(turn.labels.values()) >= 1


@pytest.mark.skipif(not REAL.exists(), reason=f"the real INSPIRED split is not at {REAL}")
class TestRealSplit:
    def test_strict_names_the_first_bad_cell(self) -> None:
        with pytest.raises(DataError, match=r"dev\.tsv:2896:movie_dict: .*Office Space \(1999\): 1"):
            InspiredDataset(REAL, strategies=STRATEGIES, skip_bad=0).dialogues()

    def test_blemishes_are_skipped_and_counted(self) -> None:
        loaded = InspiredDataset(REAL, strategies=STRATEGIES, skip_bad=41)
        dialogues = loaded.dialogues()
        assert (len(dialogues), loaded.skipped, loaded.damaged) == (98, 41, 17)
        turns = [turn for dialogue in dialogues for turn in dialogue.labelled_turns]
        assert len(turns) == 930
        assert sum(sum(turn.labels.values()) for turn in turns) == 1751
        assert not any("QUOTATION_MARK" in said.text for turn in turns for said in turn.state.history)
        assert dialogues[0].mentions == ("Full Metal Jacket (1987)",)
