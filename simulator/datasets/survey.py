"""INSPIRED's survey of seekers: what a person thought of the recommender after the dialogue.

Two TSV files of the release: ``dialog_ids.tsv`` joins a dialogue with a seeker's survey, and
``seeker_partner_perception.tsv`` has one row a survey with answers from *Strongly disagree* to *Strongly agree*, which
are read as 1 to 5.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.errors import DataError, InputError

QUESTIONS = ("persuasive", "trustworthy", "knowledgeable")
_ANSWERS = {
    "strongly disagree": 1.0,
    "disagree": 2.0,
    "neither agree nor disagree": 3.0,
    "agree": 4.0,
    "strongly agree": 5.0,
}


def read_survey(folder: Path, questions: Sequence[str] = QUESTIONS) -> dict[str, dict[str, float]]:
    """Dialogue id -> question -> answer in 1..5; an empty answer is left out.

    Raises:
        InputError: a file is missing. DataError: a column is missing, or an answer is none of the five.
    """
    answers: dict[str, dict[str, float]] = {}
    for line, row in _rows(folder / "seeker_partner_perception.tsv", ("seeker_survey_id", *questions)):
        found = {}
        for question in questions:
            said = (row[question] or "").strip().casefold()
            if said in ("", "nan"):
                continue
            if said not in _ANSWERS:
                raise DataError(
                    f"{folder / 'seeker_partner_perception.tsv'}:{line}:{question}: {said[:40]!r} is no answer from "
                    "strongly disagree to strongly agree"
                )
            found[question] = _ANSWERS[said]
        answers[row["seeker_survey_id"]] = found
    joined = _rows(folder / "dialog_ids.tsv", ("dialog_id", "seek_survey_id"))
    return {row["dialog_id"]: answers[row["seek_survey_id"]] for _, row in joined if row["seek_survey_id"] in answers}


def _rows(path: Path, wanted: Sequence[str]) -> list[tuple[int, Mapping[str, str]]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = [name for name in wanted if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}:1: the column {missing[0]} is missing")
            return [(number, row) for number, row in enumerate(reader, start=2)]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start + 1})") from None
