"""Taking thoughts out of replies: every mark, whole, open, closed or cut; what only speaks of a mark is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.model.thoughts import without_thoughts

SECRET = "The goal is horror of the 1980s."
PAIRS = [
    ("<think>", "</think>"),
    ("<Thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning >"),
    ('<thought kind="x">', "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("[thinking]", "[/Thinking]"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ('&lt;think kind="x"&gt;', "&lt;/think&gt;"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<unused94>", "<unused95>"),
    ("<|channel>thought\n", "<channel|>"),
]


@pytest.mark.parametrize(("opens", "closes"), PAIRS)
def test_every_kind_of_mark(opens: str, closes: str) -> None:
    assert without_thoughts(f"{opens}\n{SECRET}\n{closes}\n\nHello!") == ("Hello!", True)
    assert without_thoughts(f"{opens}{SECRET}") == ("", True)
    assert without_thoughts(f"{SECRET}\n{closes}\nHello!") == ("Hello!", True)
    assert without_thoughts(f"Well. {opens}{SECRET}") == ("Well.", True)
    assert without_thoughts(f"Hi {opens}{SECRET}{closes}there{opens}{SECRET}{closes}!") == ("Hi there!", True)
    assert without_thoughts(f"{opens}\n\n{closes}\n\nHello!") == ("Hello!", False)


def test_a_tag_closed_in_itself_holds_nothing() -> None:
    assert without_thoughts("<think/>Hello!") == without_thoughts("<think/ >Hello!") == ("Hello!", False)
    assert without_thoughts("Hello <think /> there!") == ("Hello  there!", False)
    assert without_thoughts(f"<think>a <think/> {SECRET}</think>Hello!") == ("Hello!", True)


def test_brackets_of_a_sentence_stay() -> None:
    for said in ("I like it [thoughtfully].", "a < b & c", "[think about it]", "&lt;b&gt;Heat&lt;/b&gt;"):
        assert without_thoughts(said) == (said, False)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (f"<think>a <think>b</think> {SECRET}</think> Hello", "Hello"),
        (f"<think>I must not write </thinking> {SECRET}", ""),
        (f"{SECRET}</think/>Hi", "Hi"),
        (f'<think>They say "</think>". {SECRET}</think>Hello', "Hello"),
        (f"<think>{SECRET}</think><answer>4</answer>", "4"),
        (f"<|begin_of_thought|>{SECRET}<|end_of_thought|><|begin_of_solution|>Hi<|end_of_solution|>", "Hi"),
        (
            f"<|channel|>analysis<|message|>{SECRET}<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>",
            "Hi",
        ),
        (f"{SECRET}<|end|><|start|>assistant<|channel|>final<|message|>Hi", "Hi"),
        (f"<|channel|>analysis<|message|>{SECRET}", ""),
        ("<|channel|>ana", ""),
        (f"analysisThe user asks. {SECRET}assistantfinalHi", "Hi"),
        (f"analysisWe play. {SECRET}", ""),
        (f"Here is my thought process:\n{SECRET}\nHere is my response:\nHi", "Hi"),
        (f'<think>{SECRET}</think>{{"text": "Hi"}}', '{"text": "Hi"}'),
        (f'{{"text": "<think>{SECRET}</think>Hi"}}', '{"text": "Hi"}'),
    ],
)
def test_odd_forms(reply: str, said: str) -> None:
    assert without_thoughts(reply) == (said, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  Hello!\n",
        "4",
        'Models write "<think>" first.',
        "The tag `</think>` ends it.",
        "I think <b>Heat</b> is a reasoning film; 3 < 5 > 2.",
        "An analysis of Heat (1995) [1]",
        '{"text": "I loved it", "items": [1]}',
        "Feelings: calm\nReply: I thought of Thought (1990).",
    ],
)
def test_what_holds_no_thought_is_left_as_it_is(text: str) -> None:
    assert without_thoughts(text) == (text, False)


@given(st.lists(st.sampled_from(["<think>", "</think>", "[THINK]", "[/THINK]", "<|channel|>", "x ", "\n", '"'])))
def test_nothing_is_made_up_and_a_second_look_finds_no_open_thought(parts: list[str]) -> None:
    said, _ = without_thoughts("".join(parts))
    assert said.replace("x", "").strip(' \n"') == "" or "<" in said or "[" in said
    again, thought = without_thoughts(said)
    assert len(again) <= len(said)
    assert not thought or '"' in said


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("<longcat_think>", "</longcat_think>"),
        ("<thought_process>", "</thought_process>"),
        ("<cot>", "</cot>"),
        ("<reasoning_content>", "</reasoning_content>"),
        ("< think >", "</ think >"),
        ("<|think|>", "<|/think|>"),
    ],
)
def test_tags_of_other_shapes(opening: str, closing: str) -> None:
    for text in (f"{opening}the secret{closing}yes", f"the secret{closing}yes", f"yes{opening}the secret"):
        assert without_thoughts(text) == ("yes", True)
