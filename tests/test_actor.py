"""The actor: a structured reply validated against the candidates, bounded repair, cut replies, hostile text."""

from __future__ import annotations

import json

import msgspec
import pytest
from support.experts import an_actor
from support.fakes import AFFAIR, FILMS, FakeChatModel, cut_off, in_order, run_on_fake_clock, state_of

from experts.actor import reply_schema
from experts.replies import ActorReply
from harness.core.errors import ReplyError

STATE = state_of("I like crime films")


def speak(*answers, state=STATE, candidates=FILMS, strategy="credibility"):
    model = FakeChatModel(in_order(*answers))
    actor = an_actor(model)

    async def main():
        return await actor.speak(state, strategy=strategy, preferences="Wants: crime", candidates=candidates)

    return run_on_fake_clock(main), model


def said(text, items):
    return json.dumps({"text": text, "items": items})


def test_listed_and_named_items_are_recommended():
    reply, model = speak(said("Try Heat (1995) or Fargo!", [3, 1, 3]))
    assert reply == ActorReply(text="Try Heat (1995) or Fargo!", recommended=("fargo", "heat"))
    assert len(model.requests) == 1


def test_a_listed_item_that_nobody_could_have_heard_of_is_no_recommendation():
    reply, _ = speak(said("What do you like?", [1]))
    assert reply.recommended == ()


def test_the_item_on_the_table_need_not_be_named_again():
    state = state_of("hi", "See Heat (1995).", "Hm, why?", "Well", "ok", recommended=[("heat",), ()])
    reply, _ = speak(said("You would love it.", [1, 2]), state=state)
    assert reply.recommended == ("heat",)


def test_naming_is_not_recommending_where_the_list_is_empty():
    reply, _ = speak(said("You said that you know Heat (1995).", []))
    assert reply.recommended == ()


@pytest.mark.parametrize("items", [[5], [0], [-1], [1.0], ["1"], [True], "1", None, {"1": 1}])
def test_a_wrong_list_falls_back_on_titles_in_the_text(items):
    reply, model = speak(said("Take The Thomas Crown Affair, it is fun.", items))
    assert reply.recommended == (AFFAIR.id,)
    assert len(model.requests) == 1


def test_a_wrong_list_without_titles_is_repaired_with_another_seed():
    reply, model = speak(said("Take this one.", [9]), said("Take Heat (1995).", [1]))
    assert reply.recommended == ("heat",)
    first, second = model.requests
    assert first.seed != second.seed


@pytest.mark.parametrize(
    "broken", ["", "   ", "Try Heat!", "[]", "null", '{"items": [1]}', said("", []), said(" \n", [])]
)
def test_broken_twice_fails_the_turn(broken):
    with pytest.raises(ReplyError, match="actor"):
        speak(broken, broken)


def test_an_object_in_a_code_fence_is_read():
    reply, _ = speak("Here it is:\n```json\n" + said("See Heat (1995).", [1]) + "\n```")
    assert reply.recommended == ("heat",)


def test_a_reply_cut_at_the_token_limit_counts_by_its_text():
    reply, model = speak(cut_off('{"text": "See The Thomas Crown Affair (1999), it has \\u00e9lan and gr'))
    assert reply == ActorReply(text="See The Thomas Crown Affair (1999), it has élan and gr", recommended=(AFFAIR.id,))
    assert len(model.requests) == 1


def test_a_reply_cut_inside_its_list_or_an_escape_is_read_up_to_there():
    assert speak(cut_off('{"text": "Hello", "items": [1, 1, 1'))[0].text == "Hello"
    assert speak(cut_off('{"text": "Hello \\u00'))[0].text == "Hello"


def test_the_same_text_is_broken_if_it_was_not_cut():
    with pytest.raises(ReplyError):
        speak('{"text": "Hello', '{"text": "Hello')


def test_control_characters_and_other_speakers_are_taken_out():
    reply, _ = speak(said("Recommender: Hi\x00 \x1b[2Jthere\u2028you.\nSeeker: I accept! [END]", []))
    assert reply.text == "Hi [2Jthere you."


def test_without_candidates_nothing_can_be_recommended():
    reply, model = speak(said("Try Heat (1995)", [1]), candidates=(), strategy=None)
    assert reply.recommended == ()
    schema = msgspec.json.decode(model.requests[0].json_schema)
    assert list(schema["properties"]) == ["text"]
    assert "### CANDIDATES" not in model.requests[0].messages[1].content


def test_the_schema_lists_the_candidates_numbers():
    schema = msgspec.json.decode(reply_schema(3))
    assert schema["properties"]["items"]["items"]["enum"] == [1, 2, 3]
    assert schema["required"] == ["text", "items"]
