"""The preference reasoner: what it keeps of a reply, one retry of blank text, and no call for a silent seeker."""

from __future__ import annotations

import pytest
from support.experts import a_reasoner
from support.fakes import FakeChatModel, in_order, run_on_fake_clock, state_of

from experts.replies import Preferences, read_preferences, tidy_preferences
from harness.core.errors import CallError, ReplyError

STATE = state_of("I want a thriller")


def infer(model, state=STATE):
    return run_on_fake_clock(a_reasoner(model).infer, state)


def test_lines_are_kept_and_ordered():
    model = FakeChatModel(in_order("Sure!\n- **Seen:** Heat (1995)\nwants: thriller ; 1990s;\nAvoids: none\nBye"))
    assert infer(model) == "Wants: thriller; 1990s\nSeen: Heat (1995)"


def test_free_text_of_a_small_model_is_kept_on_one_bounded_line():
    text = infer(FakeChatModel(in_order("the seeker\nlikes \x1b[1m thrillers " + "very " * 500)))
    assert text.startswith("the seeker likes [1m thrillers very")
    assert "\n" not in text
    assert len(text) <= 400


def test_a_blank_reply_is_asked_for_again_with_another_seed():
    model = FakeChatModel(in_order(" \n", "Wants: thriller"))
    assert infer(model) == "Wants: thriller"
    first, second = model.requests
    assert first.seed != second.seed
    assert first.messages == second.messages


def test_blank_twice_fails_the_turn():
    model = FakeChatModel(lambda _: "")
    with pytest.raises(ReplyError, match="preference reasoner"):
        infer(model)
    assert len(model.requests) == 2


def test_a_seeker_who_said_nothing_costs_no_call():
    model = FakeChatModel(in_order())
    assert infer(model, state_of("")) == "Wants: nothing known yet"
    assert model.requests == []


def test_a_failed_call_is_passed_on():
    with pytest.raises(CallError, match="no server"):
        infer(FakeChatModel(in_order(CallError("no server"))))


def test_requests_of_one_turn_repeat_and_turns_differ():
    model = FakeChatModel(lambda _: "Wants: x")
    infer(model)
    infer(model)
    infer(model, state_of("I want a thriller", "Which?", "Any"))
    seeds = [request.seed for request in model.requests]
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wants: a; b\nAvoids: c\nSeen: d", Preferences(wants=("a", "b"), avoids=("c",), seen=("d",))),
        ("Wants: nothing known yet", Preferences()),
        ("Wants: nothing known yet\nSeen: Heat (1995)", Preferences(seen=("Heat (1995)",))),
        ("", Preferences()),
        ("a funny film", Preferences(wants=("a funny film",))),
    ],
)
def test_preferences_are_read_back(text, expected):
    assert read_preferences(text) == expected
    assert read_preferences(tidy_preferences(text) or "") == expected
