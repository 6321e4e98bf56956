"""The patterns that servers may enforce: what they allow can be read, and what models write well is allowed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experts import a_reasoner
from support.fakes import FakeChatModel, run_on_fake_clock, state_of

from experts import preference_reasoner
from experts.replies import tidy_preferences
from harness.core.messages import ChatRequest
from simulator import seeker
from simulator.seeker import ACCEPT, LEAVE, parse_reply


@given(text=st.from_regex(seeker.PATTERN, fullmatch=True))
def test_what_the_seekers_pattern_allows_is_read(text: str) -> None:
    spoken = text.partition("\nReply: ")[2]
    if spoken.replace(ACCEPT, "").replace(LEAVE, "").strip() and not (ACCEPT in spoken and LEAVE in spoken):
        reply = parse_reply(text)
        assert reply is not None
        assert reply.text


@pytest.mark.parametrize(
    "text",
    [
        "Feelings: Curious, a little tired.\nReply: Hello! I look for a film for tonight.",
        "Feelings: That fits.\nReply: Heat (1995) sounds right, I will watch it. [END]",
    ],
)
def test_a_well_formed_seekers_reply_is_allowed(text: str) -> None:
    assert re.fullmatch(seeker.PATTERN, text)


@given(text=st.from_regex(preference_reasoner.PATTERN, fullmatch=True))
def test_what_the_reasoners_pattern_allows_is_read(text: str) -> None:
    assert tidy_preferences(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Wants: nothing known yet",
        "Wants: thriller; 1990s\nSeen: Heat (1995)",
        "Wants: comedy\nAvoids: horror; gore\nSeen: Airplane!",
    ],
)
def test_a_well_formed_reasoners_reply_is_allowed(text: str) -> None:
    assert re.fullmatch(preference_reasoner.PATTERN, text)


def test_the_reasoner_sends_its_pattern() -> None:
    def answer(request: ChatRequest) -> str:
        assert request.pattern == preference_reasoner.PATTERN
        return "Wants: crime"

    assert run_on_fake_clock(a_reasoner(FakeChatModel(answer)).infer, state_of("I like crime")) == "Wants: crime"
