"""The examiner's answers about dialogues: their file, and the measures that are made of them.

``readings.jsonl`` has a line a dialogue, with checksums as the log has. A reading names the dialogue's digest: one of a
dialogue that was played again since is no reading of it, and is asked for anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import get_args

import msgspec

from harness.app.evaluation.credibility import Ratings, credibility, credibility_coverage, credibility_zero_filled
from harness.app.evaluation.diversity import mean_distinct_2
from harness.app.evaluation.metrics import Measure
from harness.app.evaluation.persuasion import Intentions, intention_of_all, persuasiveness
from harness.app.evaluation.readings import Readings
from harness.app.settings.config import Extra
from harness.core.errors import DataError
from harness.core.log.checkedlines import read_lines
from harness.core.log.episode import Episode
from harness.core.log.rundigest import run_digest
from harness.core.messages import Struct, Usage

READINGS = "readings.jsonl"
EXTRA: tuple[Extra, ...] = get_args(Extra)


class Reading(Struct, frozen=True, kw_only=True):
    """The evaluator's answers about one dialogue."""

    episode: str
    intentions: Intentions
    credibility: tuple[float | None, ...]
    """One entry a turn; None: the turn speaks of no item, or could not be read. Empty where it was not wanted."""
    asked: int
    """Questions, remembered ones included."""
    unreadable: int
    """Questions whose answer could not be read or had."""
    usage: dict[str, Usage] = {}
    wanted: tuple[Extra, ...] = EXTRA
    """Measures that the questions were asked for."""
    dialogue: str = ""
    """Digest of the dialogue; empty in files of older versions."""


def digest_of(episode: Episode) -> str:
    """Of one dialogue, without clock and cache."""
    return run_digest((episode,))


def asks(wanted: Collection[Extra]) -> bool:
    """Whether any of the measures needs the examiner."""
    return any(name != "dist_2" for name in wanted)


def unanswered(reading: Reading | None, episode: Episode, wanted: Collection[Extra]) -> list[Extra]:
    """The wanted measures that a reading does not answer; all, where the dialogue was played again since."""
    known = reading.wanted if reading is not None and reading.dialogue == digest_of(episode) else ()
    return [name for name in wanted if name != "dist_2" and name not in known]


def merged(reading: Reading, earlier: Reading | None) -> Reading:
    """A reading with what an earlier one of the same dialogue was asked beside it."""
    if earlier is None or earlier.dialogue != reading.dialogue:
        return reading
    intentions = {"wi", "prs"}.intersection(reading.wanted)
    return msgspec.structs.replace(
        reading,
        intentions=reading.intentions if intentions else earlier.intentions,
        credibility=reading.credibility if "cred" in reading.wanted else earlier.credibility,
        asked=reading.asked + earlier.asked,
        unreadable=reading.unreadable + earlier.unreadable,
        usage={
            role: reading.usage.get(role, Usage()) + earlier.usage.get(role, Usage())
            for role in reading.usage | earlier.usage
        },
        wanted=tuple(name for name in EXTRA if name in (*reading.wanted, *earlier.wanted)),
    )


def measured(wanted: Collection[Extra], readings: Iterable[Reading]) -> tuple[Extra, ...]:
    """The measures that are wanted now, and those that all of the dialogues have an answer for."""
    asked = [reading.wanted for reading in readings]
    known = [name for name in EXTRA if name != "dist_2" and asked and all(name in one for one in asked)]
    return tuple(name for name in EXTRA if name in wanted or name in known)


def read_readings(path: Path) -> dict[str, Reading]:
    """Episode id -> the newest answers about it; a torn last line is left out, `DataError` names a damaged one."""
    found: dict[str, Reading] = {}
    for line in read_lines(path, "the file of readings") if path.exists() else ():
        try:
            reading = msgspec.json.decode(line.record, type=Reading)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}:{line.number}: no reading: {error}") from None
        found[reading.episode] = reading
    return found


def of_dialogues(readings: Mapping[str, Reading], episodes: Iterable[Episode]) -> dict[str, Reading]:
    """Those that are of these dialogues as they were played."""
    return {
        episode.id: reading
        for episode in episodes
        if (reading := readings.get(episode.id)) is not None and reading.dialogue in ("", digest_of(episode))
    }


def examiner_counts(readings: Iterable[Reading]) -> Readings:
    """How many questions were asked, and how many answers could not be read."""
    found = list(readings)
    return Readings(judgements=sum(one.asked for one in found), missing=sum(one.unreadable for one in found))


def extra_measures(readings: Mapping[str, Reading], wanted: Collection[Extra] = EXTRA) -> dict[str, Measure]:
    """Of the examiner's answers by episode id, and Dist-2; what was not read is missing."""

    def intentions(episode: Episode) -> Intentions | None:
        return readings[episode.id].intentions if episode.id in readings else None

    def of_intentions(measure: Callable[[Intentions], float | None]) -> Measure:
        return lambda episode: None if (said := intentions(episode)) is None else measure(said)

    def of_ratings(measure: Callable[[Ratings], float | None]) -> Measure:
        return lambda episode: measure(readings[episode.id].credibility) if episode.id in readings else None

    found: dict[str, Measure] = {}
    if {"wi", "prs"}.intersection(wanted):
        found |= {
            "wi": of_intentions(lambda said: said.post),
            "wi_all": of_intentions(intention_of_all),
            "wi_coverage": of_intentions(lambda said: float(said.post is not None)),
        }
    if "prs" in wanted:
        found |= {
            "prs_gain": of_intentions(lambda said: said.gain),
            "prs_room": of_intentions(lambda said: said.room),
            "prs_paper": of_intentions(persuasiveness),
            "oversold": of_intentions(lambda said: _rate(said.oversold)),
            "harmed": of_intentions(lambda said: _rate(said.harmed)),
        }
    if "cred" in wanted:
        found |= {
            "cred": of_ratings(credibility),
            "cred_zero_filled": of_ratings(credibility_zero_filled),
            "cred_coverage": of_ratings(credibility_coverage),
        }
    if "dist_2" in wanted:
        found["dist_2"] = lambda episode: mean_distinct_2([one.response for one in episode.transitions])
    return found


def _rate(happened: bool | None) -> float | None:
    return None if happened is None else float(happened)
