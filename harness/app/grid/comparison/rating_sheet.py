"""Dialogues for people to rate, systems hidden, and how far the judges agree with them (Cohen's kappa).

The sheet is a CSV with an empty column; the key, which tells which dialogue a number is, stays beside the comparison.
Kappa is quadratic-weighted (ratings are ordered), plain kappa and exact agreement stand beside it. Left out: agreement
among people, for which every one of them fills in a sheet of their own.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from sklearn.metrics import cohen_kappa_score

from harness.core.errors import DataError, InputError
from harness.core.log.episode import Episode
from harness.core.messages import Score, Struct
from harness.core.sections import render_dialogue
from harness.core.seeds import uniform

SHEET, KEY = "rating_sheet.csv", "rating_key.json"
COLUMNS = ("number", "dialogue", "rating")
QUESTION = "rating: how likely will this seeker now watch a recommended film? 1 = not at all ... 5 = certainly"


class KeyEntry(Struct, frozen=True, kw_only=True):
    """What a number of the sheet stands for."""

    number: int
    cell: str
    episode: str
    evaluator: float | None
    """The evaluator's reading of the final state, 1..5, not rounded."""
    judge: float | None
    """The training judge's last reading."""


class Agreement(Struct, frozen=True, kw_only=True):
    """Of one judge with the people, over the dialogues that both rated."""

    n: int
    weighted_kappa: float | None
    """None where it is not defined: no ratings, or all ratings of both alike."""
    kappa: float | None
    exact: float | None


def draw_sheet(
    episodes: Mapping[str, Sequence[Episode]], systems: Mapping[str, str], count: int
) -> tuple[str, tuple[KeyEntry, ...]]:
    """The sheet and its key: ``count`` finished dialogues, as many of each system as there are, in hidden order.

    ``episodes``: by cell. ``systems``: cell -> system. `InputError` where there are fewer dialogues than asked for.
    """
    by_system: dict[str, list[tuple[str, Episode]]] = {}
    for cell, played in episodes.items():
        for episode in played:
            if episode.transitions and not episode.failed:
                by_system.setdefault(systems[cell], []).append((cell, episode))
    for options in by_system.values():
        options.sort(key=lambda option: uniform("rating sheet", option[0], option[1].id))
    drawn = [option for round_ in zip_longest(*by_system.values()) for option in round_ if option is not None]
    if len(drawn) < count:
        raise InputError(f"--rating-sheet {count}: the comparison has only {len(drawn)} dialogues to rate")
    shown = sorted(drawn[:count], key=lambda option: uniform("rating order", option[0], option[1].id))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*COLUMNS[:2], QUESTION))
    key = []
    for number, (cell, episode) in enumerate(shown, start=1):
        writer.writerow((number, render_dialogue(episode.states()[-1].history), ""))
        evaluation = episode.ended.evaluation if episode.ended else None
        judged = episode.transitions[-1].score
        key.append(
            KeyEntry(number=number, cell=cell, episode=episode.id, evaluator=_points(evaluation), judge=_points(judged))
        )
    return out.getvalue(), tuple(key)


def read_sheet(path: Path) -> dict[int, int]:
    """Number -> rating of the rows that were rated; `DataError` with file:line for a rating that is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            heading = next(reader, [])
            if len(heading) != len(COLUMNS) or heading[0] != COLUMNS[0] or not heading[2].startswith(COLUMNS[2]):
                raise DataError(f"{path}:1: the columns of a rating sheet are {', '.join(COLUMNS)}")
            ratings: dict[int, int] = {}
            for row in reader:
                if not row or not row[-1].strip():
                    continue
                if (
                    len(row) != len(COLUMNS)
                    or not row[0].isdecimal()
                    or row[2].strip() not in ("1", "2", "3", "4", "5")
                ):
                    raise DataError(
                        f"{path}:{reader.line_num}: a rating is a whole number from 1 to 5, not {row[-1]!r}"
                    )
                if int(row[0]) in ratings:
                    raise DataError(f"{path}:{reader.line_num}: dialogue {row[0]} is rated twice")
                ratings[int(row[0])] = int(row[2])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the rating sheet {path}: {error}") from None
    return ratings


def agreement(ratings: Mapping[int, int], judged: Mapping[int, float | None]) -> Agreement:
    """Of people's ratings with a judge's, rounded half up to whole points."""
    pairs = [(rating, value) for number, rating in sorted(ratings.items()) if (value := judged.get(number)) is not None]
    if not pairs:
        return Agreement(n=0, weighted_kappa=None, kappa=None, exact=None)
    people = [rating for rating, _ in pairs]
    judge = [min(5, max(1, int(value + 0.5))) for _, value in pairs]
    return Agreement(
        n=len(pairs),
        weighted_kappa=_kappa(people, judge, "quadratic"),
        kappa=_kappa(people, judge, None),
        exact=sum(a == b for a, b in zip(people, judge, strict=True)) / len(pairs),
    )


def _kappa(people: Sequence[int], judge: Sequence[int], weights: str | None) -> float | None:
    if len({*people, *judge}) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        value = float(cohen_kappa_score(people, judge, weights=weights, labels=[1, 2, 3, 4, 5]))
    return value if value == value else None  # not a number: nobody's ratings vary


def _points(score: Score | None) -> float | None:
    return None if score is None or score.reward is None else 1.0 + 4.0 * score.reward
