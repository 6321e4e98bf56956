"""The prompted seeker: its prompt, the reading of replies, bounded repair, health checks."""

import pytest
import trio
from support.present import present

from harness.core.errors import ReplyError
from harness.core.messages import Attribute, ChatReply, Goal, Item, Scenario, State, Turn, Usage
from harness.core.sections import parse
from harness.core.seeds import SPACING
from simulator.personas import PERSONAS
from simulator.seeker import LLMSeeker, build_prompt, leaks_target, parse_reply, speaks_as_recommender

TARGET = Item(id="i1", title="Heat", year=1995)
GOAL = Goal(
    id="g",
    attributes=(Attribute(kind="genre", value="crime"), Attribute(kind="person", value="Al Pacino")),
    target="i1",
    matches=("i1",),
)
SCENARIO = Scenario(id="s", persona=PERSONAS[0], goal=GOAL)
FRESH = State(episode="e", seed=3, max_turns=10)
PLAYED = FRESH.after(
    Turn(strategy=None, preferences="", response="What do you like?", reply="")
)  # the recommender has asked, the seeker has not answered


class Script:
    """A model that says the given texts in order and keeps the requests."""

    def __init__(self, *texts):
        self.texts = list(texts)
        self.requests = []

    async def complete(self, request):
        self.requests.append(request)
        return ChatReply(texts=(self.texts.pop(0),), usage=Usage(calls=1))


def play(model, state, **options):
    seeker = LLMSeeker(model, temperature=0.7, max_tokens=99, **options)
    return trio.run(seeker.reply, SCENARIO, state)


def test_the_prompt_holds_the_persona_the_wishes_and_the_dialogue_but_not_the_title():
    system, user = build_prompt(SCENARIO, PLAYED)
    assert parse(system.content)["ROLE"] == "seeker"
    sections = parse(user.content)
    assert list(sections) == ["PERSONA", "GOAL", "DIALOGUE", "TASK"]
    assert sections["PERSONA"] == PERSONAS[0].text
    assert sections["GOAL"].split("\n")[1:] == ["- genre: crime", "- person: Al Pacino"]
    assert sections["DIALOGUE"] == "Recommender: What do you like?"
    assert "Heat" not in system.content + user.content


def test_the_opening_prompt_has_no_dialogue_and_another_task():
    opening, answer = (parse(build_prompt(SCENARIO, state)[1].content) for state in (FRESH, PLAYED))
    assert "DIALOGUE" not in opening
    assert opening["TASK"] != answer["TASK"]


@pytest.mark.parametrize(
    ("text", "said", "feelings", "accepted", "left"),
    [
        ("Feelings: calm.\nReply: Crime, please.", "Crime, please.", "calm.", False, False),
        ("feelings: ok\nREPLY: I take it! [END]", "I take it!", "ok", True, False),
        ("Feelings: bored\nReply: Bye. [LEAVE]", "Bye.", "bored", False, True),
        ("**Feelings:** fine\n**Reply:** Sure.", "Sure.", "fine", False, False),
        ("Seeker: Hello there", "Hello there", "", False, False),
        ("Feelings: x\nReply: Two\nlines.", "Two\nlines.", "x", False, False),
    ],
)
def test_replies_are_read(text, said, feelings, accepted, left):
    reply = present(parse_reply(text))
    assert (reply.text, reply.feelings, reply.accepted, reply.quit) == (said, feelings, accepted, left)


@pytest.mark.parametrize("text", ["", "  \n", "Feelings: cut off he", "Reply: [END]", "Reply: Yes [END] no [LEAVE]"])
def test_unusable_replies_are_none(text):
    assert parse_reply(text) is None


def test_a_mark_in_the_feelings_does_not_end_the_talk():
    assert not present(parse_reply("Feelings: not yet [END]\nReply: Tell me more.")).accepted


def test_an_unusable_reply_is_asked_for_again_with_another_seed():
    model = Script("", "Feelings: a\nReply: Crime.")
    assert play(model, PLAYED).text == "Crime."
    first, second = model.requests
    assert first.seed != second.seed
    assert first.seed % SPACING == second.seed % SPACING == 0
    assert (first.role, first.turn, first.episode, first.temperature, first.max_tokens) == ("seeker", 1, "e", 0.7, 99)
    assert first.messages == second.messages


def test_repair_is_bounded_and_ends_in_a_reply_error():
    model = Script("", " ", "Reply: too late")
    with pytest.raises(ReplyError, match="the seeker gave no readable reply in 2 tries in turn 1"):
        play(model, PLAYED)
    assert len(model.requests) == 2


def test_the_opening_never_ends_the_talk():
    reply = play(Script("Feelings: a\nReply: Hello. [END]"), FRESH)
    assert (reply.text, reply.accepted, reply.quit) == ("Hello.", False, False)


def test_leaks_are_whole_titles_in_any_case():
    assert leaks_target("I want heat (1995)!", TARGET)
    assert not leaks_target("A heated, theatrical one", TARGET)


@pytest.mark.parametrize(
    ("text", "flagged"),
    [
        ("Recommender: try Heat", True),
        ("Have you seen Heat? You might like it.", True),
        ("How can I help you?", True),
        ("I like crime films, what would you recommend?", False),
        ("I would love something with Al Pacino.", False),
    ],
)
def test_speaking_as_the_recommender_is_flagged(text, flagged):
    assert speaks_as_recommender(text) is flagged
