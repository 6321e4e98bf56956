"""`evaluation.measures`: a run asks the examiner about its evaluations, once; a finished run is given more later."""

from __future__ import annotations

import msgspec
import pytest
from support.episodes import events_of
from support.runs import Runs

from harness.app.evaluation.answers import (
    EXTRA,
    READINGS,
    Reading,
    digest_of,
    measured,
    merged,
    of_dialogues,
    read_readings,
    unanswered,
)
from harness.app.evaluation.persuasion import Intentions
from harness.app.settings.config import Extra
from harness.core.errors import DataError
from harness.core.log.episode import build


@pytest.fixture(scope="module")
def played(forkery, shared_world, tmp_path_factory):
    """A finished run with all measures, and the same without any."""
    runs = Runs(forkery, shared_world, tmp_path_factory.mktemp("examined"))
    return runs, runs.run("all", evaluation__measures='["wi", "prs", "cred", "dist_2"]'), runs.run("none")


def metrics(past, phase=-1):
    return past.summary["phases"][phase]["metrics"]


def test_a_run_measures_what_it_is_asked_for_and_nothing_else(played):
    _, whole, bare = played
    assert whole.digest == bare.digest  # no dialogue depends on what is measured
    for name in ("wi", "wi_all", "wi_coverage", "prs_paper", "oversold", "harmed", "cred", "dist_2", "corpus_dist_2"):
        assert name in metrics(whole), name
        assert name not in metrics(bare), name
    assert "prs" in metrics(whole)
    assert "prs_gain" not in metrics(whole)
    assert {"prs", "wi"} <= whole.summary["differences"].keys()
    assert whole.summary["complete"]
    assert whole.summary["readings"]["examiner"]["judgements"] > 0
    assert whole.summary["tokens"]["intention"]["calls"] > 0
    assert "intention" not in bare.summary["tokens"]
    assert not (bare.folder / READINGS).exists()
    assert len(read_readings(whole.folder / READINGS)) == 3 * 4


def test_a_finished_run_is_given_more_measures_and_asked_once(played):
    runs, _, bare = played
    calls = bare.lines()
    given = runs.go_on("none", evaluation__measures='["wi", "dist_2"]')
    assert given.lines() == calls  # nothing was played again
    assert {"wi", "dist_2"} <= metrics(given).keys()
    assert "cred" not in metrics(given)
    asked = (given.folder / READINGS).read_bytes()
    more = runs.go_on("none", evaluation__measures='["cred", "dist_2"]')
    assert {"wi", "cred", "dist_2"} <= metrics(more).keys()  # what was asked before stays
    twice = (given.folder / READINGS).read_bytes()
    assert twice.startswith(asked)
    assert len(twice) > len(asked)
    assert metrics(runs.go_on("none", evaluation__measures='["cred", "wi"]')).keys() >= {"wi", "cred"}
    assert (given.folder / READINGS).read_bytes() == twice


def test_what_needs_no_question_needs_no_server(played):
    runs, _, _ = played
    runs.run("quick")
    requests = runs.world.requests()
    assert "dist_2" in metrics(runs.go_on("quick", evaluation__measures='["dist_2"]'))
    assert runs.world.requests() == requests


def test_a_damaged_file_of_answers_is_named(played, tmp_path):
    _, whole, _ = played
    lines = (whole.folder / READINGS).read_bytes().splitlines(keepends=True)
    (tmp_path / "config.json").write_bytes((whole.folder / "config.json").read_bytes())
    path = tmp_path / READINGS
    path.write_bytes(b"".join([lines[0], lines[1].replace(b'"asked":', b'"asked":1')]))
    with pytest.raises(DataError, match=r"readings\.jsonl:2: the file of readings is damaged"):
        read_readings(path)


def reading(episode, **more):
    return Reading(episode=episode.id, intentions=Intentions(), credibility=(), asked=0, unreadable=0, **more)


def test_an_answer_about_a_dialogue_that_was_played_again_does_not_count():
    first, second = build(events_of("e", 0, turns=2)), build(events_of("e", 0, turns=3))
    known = reading(first, dialogue=digest_of(first))
    assert unanswered(known, first, EXTRA) == []
    assert unanswered(known, second, EXTRA) == unanswered(None, second, EXTRA) == ["wi", "prs", "cred"]
    assert of_dialogues({"e": known}, [second]) == {}
    assert of_dialogues({"e": known}, [first]) == {"e": known}
    watched = msgspec.structs.replace(known, wanted=("wi",), intentions=Intentions(item="1", post=4.0), asked=1)
    assert unanswered(watched, first, ("wi", "cred", "dist_2")) == ["cred"]
    checked = msgspec.structs.replace(known, wanted=("cred",), credibility=(5.0, None), asked=2)
    both = merged(checked, watched)
    assert (both.wanted, both.intentions, both.credibility, both.asked) == (
        ("wi", "cred"),
        watched.intentions,
        checked.credibility,
        3,
    )
    bigrams: tuple[Extra, ...] = ("dist_2",)
    assert measured(bigrams, [both, watched]) == ("wi", "dist_2")
    assert merged(checked, msgspec.structs.replace(watched, dialogue="another")) == checked
