"""A judge beside people: the area under the curve, its intervals, first acceptances, the survey, the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.forked import ROOT, Forkery

from harness.app.evaluation.outcomes_of_people import (
    accepted,
    auc_difference,
    auc_of,
    first_acceptance,
    liked,
    sentiment,
    states_of,
)
from harness.core.errors import DataError, InputError
from harness.core.messages import Dialogue, Outcome, State, Turn
from simulator.datasets.survey import read_survey

LABELS = ROOT / "fixtures" / "tiny" / "inspired_synthetic.tsv"
scored = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0, None]), st.sampled_from([True, False, None])))


@given(scored)
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[float | None, bool | None]]) -> None:
    scores, good = [score for score, _ in rows], [one for _, one in rows]
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, x in rows
        for b, y in rows
        if a is not None and b is not None and x is True and y is False
    ]
    found = auc_of(scores, good)
    assert found.auc == (pytest.approx(np.mean(pairs)) if pairs else None)
    assert found.positives + found.negatives + found.missing == len(rows)
    if found.low is not None and found.high is not None and found.auc is not None:
        assert 0.0 <= found.low <= found.auc <= found.high <= 1.0


def test_delong_s_interval_holds_the_true_value_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        scores = [*draws.normal(1.0, 1.0, 40), *draws.normal(0.0, 1.0, 25)]
        found = auc_of(scores, [True] * 40 + [False] * 25)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.7602 <= found.high  # Phi(1 / sqrt 2)
    assert 0.92 <= hits / 300 <= 0.98


def test_a_score_does_not_differ_from_itself_and_chance_is_not_shown() -> None:
    draws = np.random.default_rng(1)
    good = [bool(one) for one in draws.integers(0, 2, 60)]
    noise = list(draws.normal(size=60))
    signal = [float(one) + 0.5 * wobble for one, wobble in zip(good, draws.normal(size=60), strict=True)]
    assert auc_difference(noise, noise, good) is None
    ours = auc_difference(signal, noise, good)
    theirs = auc_difference(noise, signal, good)
    assert ours is not None
    assert theirs is not None
    assert ours[1] > 0.0
    assert theirs == pytest.approx((-ours[0], -ours[2], -ours[1]))
    assert auc_of(signal, good).shown
    assert not auc_of(noise, good).shown


def test_no_interval_of_a_difference_is_made_up() -> None:
    good = [True, True, False, False]
    assert auc_difference([4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0], good) is None  # all pairs alike: 1 minus 0
    assert auc_difference([4.0, 1.0, 2.0, 1.0], [1.0, 3.0, 2.0, 4.0], good) is None  # it would leave [-1, 1]


def dialogue(*replies: str) -> Dialogue:
    turns = tuple(
        Turn(strategy="", preferences="", response=f"What about film {n}?", reply=r) for n, r in enumerate(replies)
    )
    return Dialogue(id="d", whole=State(episode="d", seed=0, max_turns=10, opening="Hi", turns=turns))


def test_the_first_yes_is_no_refusal() -> None:
    said = dialogue("Sounds good but I would not watch it", "I'll watch that, thanks!", "I will watch it")
    found = first_acceptance(said)
    assert found is not None
    assert len(found.turns) == 2
    assert first_acceptance(dialogue("Tell me more", "")) is None
    assert [len(state.turns) for state in states_of(dialogue("a", "", "c"))] == [1, 3]
    assert sentiment(found) > sentiment(states_of(dialogue("No, boring."))[0])


def test_outcomes_are_read_two_ways() -> None:
    lost = Outcome(fine="accept_uninterested", coarse="reject_new")
    other = Outcome(fine="accept_others", coarse="accept_new")
    assert (accepted(lost), liked(lost)) == (False, False)
    assert (accepted(other), liked(other)) == (True, None)


def survey(folder: Path, answer: str) -> Path:
    (folder / "dialog_ids.tsv").write_text("dialog_id\tseek_survey_id\nd1\ts1\nd2\tmissing\n")
    (folder / "seeker_partner_perception.tsv").write_text(
        f"seeker_survey_id\tpersuasive\ttrustworthy\tknowledgeable\ns1\tAgree\t{answer}\t\n"
    )
    return folder


def test_the_survey_is_joined_and_a_strange_answer_is_named(tmp_path: Path) -> None:
    assert read_survey(survey(tmp_path, "Strongly disagree")) == {"d1": {"persuasive": 4.0, "trustworthy": 1.0}}
    with pytest.raises(DataError, match=r"perception\.tsv:2:trustworthy: 'perhaps' is no answer"):
        read_survey(survey(tmp_path, "Perhaps"))
    with pytest.raises(InputError, match="cannot read"):
        read_survey(tmp_path / "nowhere")


def changed(path: Path, told: bool) -> Path:
    """The fixture with every other dialogue's ending made a rejection, or with no ending at all."""
    header, *rows = [line.split("\t") for line in LABELS.read_text().splitlines()]
    name, fine, coarse = (header.index(column) for column in ("dialog_id", "fine_label", "coarse_label"))
    order = list(dict.fromkeys(row[name] for row in rows))
    for row in rows:
        if not told:
            row[fine] = row[coarse] = ""
        elif order.index(row[name]) % 2:
            row[fine], row[coarse] = "accept_uninterested", "reject_new"
    path.write_text("\n".join("\t".join(row) for row in (header, *rows)) + "\n")
    return path


def test_the_command_reads_people_and_refuses_data_without_endings(forkery: Forkery, tmp_path: Path) -> None:
    tiny = ROOT / "experiments" / "tiny.toml"
    silent = changed(tmp_path / "silent.tsv", told=False)
    refused = forkery.run("judge-check", tiny, "--set", f"data.inspired={silent}")
    assert (refused.poll(), refused.errors().count("\n")) == (2, 1)
    assert "does not say how its dialogues ended" in refused.errors()
    told = changed(tmp_path / "told.tsv", told=True)
    done = forkery.run("judge-check", tiny, "--set", f"data.inspired={told}", "--json")
    assert done.poll() == 0, done.errors()
    found = json.loads(done.output())
    assert found["unreadable"] == 0
    ends = [one for one in found["measured"] if one["score"] == "end" and one["ended"] == "accepted"]
    assert ends[0]["auc"]["positives"] + ends[0]["auc"]["negatives"] == found["dialogues"]
    shown = forkery.run("judge-check", tiny, "--set", f"data.inspired={told}", "--judge", "evaluator")
    assert "not shown" in shown.output() or "above chance" in shown.output()
    assert forkery.run("judge-check", tiny, "--judge", "me").poll() == 2
