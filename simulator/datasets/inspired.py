"""INSPIRED: human recommendation dialogues with a strategy label on every recommender utterance.

Source: Hayati et al., "INSPIRED: Toward Sociable Recommendation Dialog Systems", EMNLP 2020; the TSV files of its
release. One line is one utterance. The files know no quoting: a line break ends a row and a quotation mark is text
(quotes inside texts are written QUOTATION_MARK), so a line number is always a row number.

Only the columns that are used are read: dialog_id, utt_id, speaker, text, movie_dict, expert_label (``first_label`` in
some releases) and, where they are there, second_label, movies, genres and people_names (what one utterance names,
divided by semicolons; a program marked it, so some of it is wrong), fine_label and coarse_label (how the dialogue
ended). A row that cannot be used is an error that names
file:line:column; with ``skip_bad`` its whole *dialogue* is left out, because a dialogue with a hole is not the one that
was held. Damaged characters (U+FFFD) do not make a row bad: a run of them becomes one, and such rows are counted.

What it leaves out: which film was accepted. The release records the trailer's video id, not the film, so mentions have
the order of ``movie_dict``.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from harness.core.errors import DataError
from harness.core.messages import Dialogue, LabelledTurn, Outcome, Speaker, State, Turn
from harness.domain.strategies import Strategy, resolve_label
from simulator.datasets.rows import BadRows, RowError, numbered_lines
from simulator.datasets.turns import Said, recommendation_turns

_REQUIRED = ("dialog_id", "utt_id", "speaker", "text", "movie_dict")
_LABELS = ("expert_label", "first_label")
_SECOND = "second_label"
_FILMS = "movies"
_OTHERS = ("genres", "people_names")
_OUTCOME = ("fine_label", "coarse_label")
_SPEAKERS: dict[str, Speaker] = {"RECOMMENDER": "recommender", "SEEKER": "seeker"}
_DAMAGE = re.compile("\ufffd+")
_STRING = r"""(?:'(?:[^'\\]|\\['"\\nrtxuU])*'|"(?:[^"\\]|\\['"\\nrtxuU])*")"""
_ENTRY = rf"\s*{_STRING}\s*:\s*[0-9]{{1,9}}\s*"
# Checked before the literal is evaluated, so that evaluation meets a flat dict of strings to numbers and nothing else.
_MOVIE_DICT = re.compile(rf"\{{(?:{_ENTRY}(?:,{_ENTRY})*,?)?\s*\}}")


class InspiredDataset:
    """An INSPIRED TSV file as a `Dataset`; read on first use.

    Human dialogues have 9 to 13 recommender turns. They are not cut, since their late turns have labels too. So
    ``State.max_turns`` is the larger of T_max and the dialogue's own number of turns: t never exceeds it, ``turn t of
    T_max`` reads as at run time for t <= T_max, and the last turns of a human dialogue look like last turns.

    Args:
        path: the TSV file.
        strategies: the label set; every label must belong to one of them.
        skip_bad: most bad rows to accept; the dialogue of each is left out.
        max_turns: T_max of the conversations of a planner that is trained on this file.
    """

    def __init__(self, path: Path, *, strategies: tuple[Strategy, ...], skip_bad: int = 0, max_turns: int = 10) -> None:
        self._path = path
        self._strategies = strategies
        self._skip_bad = skip_bad
        self._max_turns = max_turns

    def dialogues(self) -> Sequence[Dialogue]:
        """All dialogues in file order; `DataError` for bad rows beyond ``skip_bad`` or where none is left."""
        return self._read.dialogues

    @property
    def skipped(self) -> int:
        """Number of bad rows; the dialogues that hold them are left out."""
        return self._read.skipped

    @property
    def damaged(self) -> int:
        """Number of rows with U+FFFD in their text, in the dialogues that are kept."""
        return self._read.damaged

    @cached_property
    def _read(self) -> _Reading:
        (_, first), *lines = numbered_lines(self._path)
        table = _Table(self._path, first)
        bad = BadRows(self._path, self._skip_bad)
        rows: dict[str, list[_Row]] = {}
        broken: set[str] = set()
        for number, line in lines:
            dialogue = ""
            try:
                cells = table.cells(line)
                dialogue = cells["dialog_id"]
                row = self._row(cells, table.label)
                if row.dialogue not in broken:
                    _follow(rows.setdefault(row.dialogue, []), row)
            except RowError as error:
                bad.add(number, error)
                broken.add(dialogue or table.first_cell(line))
        dialogues = tuple(self._dialogue(name, said) for name, said in rows.items() if name not in broken)
        if not dialogues:
            raise DataError(f"{self._path} holds no usable dialogue")
        damaged = sum("\ufffd" in row.said.text for name, said in rows.items() if name not in broken for row in said)
        return _Reading(dialogues, bad.count, damaged)

    def _row(self, cells: dict[str, str], label: str) -> _Row:
        if not cells["dialog_id"]:
            raise RowError("dialog_id", "no dialogue id")
        speaker = _SPEAKERS.get(cells["speaker"])
        if speaker is None:
            raise RowError("speaker", f"{_shown(cells['speaker'])} is neither RECOMMENDER nor SEEKER")
        text = _DAMAGE.sub("\ufffd", cells["text"].replace("QUOTATION_MARK", '"')).strip()
        if not text:
            raise RowError("text", "no text")
        labels: tuple[str, ...] = ()
        if speaker == "recommender":
            labels = (self._label(label, cells[label]),)
            if second := cells.get(_SECOND):
                labels += (self._label(_SECOND, second),)
        utterance = cells["utt_id"]
        if not re.fullmatch("[0-9]{1,9}", utterance):
            raise RowError("utt_id", f"{_shown(utterance)} is not a number")
        return _Row(
            cells["dialog_id"],
            int(utterance),
            Said(
                speaker=speaker,
                text=text,
                items=_listed(cells.get(_FILMS, "")),
                entities=tuple(name for column in _OTHERS for name in _listed(cells.get(column, ""))),
            ),
            labels,
            _movies(cells["movie_dict"]),
            tuple(cells.get(column, "") for column in _OUTCOME),
        )

    def _label(self, column: str, written: str) -> str:
        try:
            return resolve_label(written, self._strategies)
        except DataError as error:
            raise RowError(column, str(error)) from error

    def _dialogue(self, name: str, rows: list[_Row]) -> Dialogue:
        messages = [
            _Message.of(speaker, list(said)) for speaker, said in groupby(rows, key=lambda row: row.said.speaker)
        ]
        count = sum(message.speaker == "recommender" for message in messages)
        state = State(episode=name, seed=0, max_turns=max(self._max_turns, count))
        turns: list[LabelledTurn] = []
        for message in messages:
            if message.speaker == "recommender":
                if state.history:
                    turns.append(LabelledTurn(state=state, labels=message.labels, first_label=message.first))
                # most_common keeps the order of first appearance among equals.
                strategy = Counter(message.labels).most_common(1)[0][0]
                state = state.after(Turn(strategy=strategy, preferences="", response=message.text))
            elif state.turns:
                state = state.answered(message.text)
            else:
                state = State(episode=name, seed=0, max_turns=state.max_turns, opening=message.text)
        movies = {movie: index for row in rows for movie, index in row.movies}
        return Dialogue(
            id=name,
            labelled_turns=tuple(turns),
            mentions=tuple(sorted(movies, key=movies.__getitem__)),
            recommendations=recommendation_turns(name, (row.said for row in rows), self._max_turns),
            utterances=len(rows),
            whole=state,
            outcome=_outcome(rows),
        )


class _Reading(NamedTuple):
    dialogues: tuple[Dialogue, ...]
    skipped: int
    damaged: int


class _Row(NamedTuple):
    dialogue: str
    utterance: int
    said: Said
    labels: tuple[str, ...]
    movies: tuple[tuple[str, int], ...]
    outcome: tuple[str, ...]


class _Message(NamedTuple):
    """Consecutive utterances of one speaker."""

    speaker: Speaker
    text: str
    labels: dict[str, int]
    first: str

    @classmethod
    def of(cls, speaker: Speaker, rows: list[_Row]) -> _Message:
        labels = [label for row in rows for label in row.labels]
        return cls(speaker, " ".join(row.said.text for row in rows), dict(Counter(labels)), labels[0] if labels else "")


class _Table:
    """The header of a file, and its lines as cells by column name."""

    def __init__(self, path: Path, first: bytes) -> None:
        try:
            self._columns = first.decode("utf-8").split("\t")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:1:{error.start + 1}: the header is not UTF-8") from error
        label = next((name for name in _LABELS if name in self._columns), None)
        for name in _REQUIRED:
            if name not in self._columns:
                raise DataError(f"{path}:1:{name}: the column is missing")
        if label is None:
            raise DataError(f"{path}:1:{_LABELS[0]}: the column is missing, and so is {_LABELS[1]}")
        self.label = label
        """Name of the column with the strategy labels."""
        used = {*_REQUIRED, label, _SECOND, _FILMS, *_OTHERS, *_OUTCOME}
        self._used = {at: name for at, name in enumerate(self._columns) if name in used}
        if len(self._used) != len(set(self._used.values())):
            raise DataError(f"{path}:1: a column occurs twice in the header")

    def cells(self, line: bytes) -> dict[str, str]:
        """The used cells of a line."""
        cells = line.split(b"\t")
        if len(cells) != len(self._columns):
            raise RowError(len(cells), f"the row has {len(cells)} cells, the header {len(self._columns)}")
        found = {}
        for at, name in self._used.items():
            try:
                found[name] = cells[at].decode("utf-8")
            except UnicodeDecodeError as error:
                raise RowError(name, f"not UTF-8 (byte {error.start + 1} of the cell)") from error
        return found

    def first_cell(self, line: bytes) -> str:
        """The ``dialog_id`` of a line that has a cell that cannot be read; empty where the line is too short."""
        cells = line.split(b"\t")
        at = self._columns.index("dialog_id")
        return cells[at].decode("utf-8", "replace") if at < len(cells) else ""


def _follow(said: list[_Row], row: _Row) -> None:
    if said and row.utterance <= said[-1].utterance:
        if any(earlier.utterance == row.utterance for earlier in said):
            raise RowError("utt_id", f"utterance {row.utterance} occurs twice in dialogue {_shown(row.dialogue)}")
        raise RowError("utt_id", f"utterance {row.utterance} comes after {said[-1].utterance}")
    said.append(row)


@lru_cache(maxsize=8)  # every row of a dialogue repeats the dialogue's films
def _movies(cell: str) -> tuple[tuple[str, int], ...]:
    """``{'Heat (1995)': 0}`` -> (("Heat (1995)", 0),); an empty cell names no film."""
    if not cell:
        return ()
    if not _MOVIE_DICT.fullmatch(cell):
        raise RowError("movie_dict", f"{_shown(cell)} is not a mapping of film names to numbers")
    try:
        found: dict[str, int] = ast.literal_eval(cell)
        for name in found:
            name.encode("utf-8")
    except (SyntaxError, ValueError) as error:
        raise RowError("movie_dict", f"{_shown(cell)} is not a valid literal") from error
    return tuple(found.items())


def _listed(cell: str) -> tuple[str, ...]:
    """``Heat (1995);  Up (2009)`` -> its two names."""
    return tuple(name for name in map(str.strip, cell.split(";")) if name)


def _outcome(rows: Sequence[_Row]) -> Outcome | None:
    """What the first row with both cells says; every row of a dialogue repeats it."""
    told = next((row.outcome for row in rows if all(cell not in ("", "nan") for cell in row.outcome)), None)
    return None if told is None else Outcome(fine=told[0], coarse=told[1])


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
