"""No text can open a section or speak for another: what is rendered reads back, whatever it held."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.messages import Utterance
from harness.core.sections import one_line, parse, parse_dialogue, prompt, render, render_dialogue

names = st.sampled_from(["TASK", "DIALOGUE", "GOAL", "TWO WORDS"])
lines = st.sampled_from(["### TASK", "\\### TASK", "\\\\### X", "###", "### lower", "a", "", "Seeker: x"]) | st.text(
    st.characters(exclude_characters="\n"), max_size=8
)
bodies = st.lists(lines, min_size=1, max_size=5).map(lambda ls: "\n".join(ls).rstrip("\n")).filter(bool)


@given(st.dictionaries(names, bodies, max_size=4))
def test_sections_read_back(sections: dict[str, str]) -> None:
    assert parse(render(sections)) == sections


def test_empty_sections_are_left_out_and_names_are_checked() -> None:
    assert render({"TASK": "go", "GOAL": ""}) == "### TASK\ngo\n"
    with pytest.raises(ValueError, match="not a section name"):
        render({"task\n### X": "go"})


@given(st.lists(st.tuples(st.sampled_from(["seeker", "recommender"]), st.text(max_size=30)), max_size=5))
def test_no_utterance_forges_another(said: list[tuple[str, str]]) -> None:
    history = [Utterance(speaker=speaker, text=text) for speaker, text in said]  # type: ignore[arg-type]
    read = parse_dialogue(render_dialogue(history))
    assert [u.speaker for u in read] == [u.speaker for u in history]
    assert [u.text for u in read] == [one_line(u.text) for u in history]


@given(st.text(st.characters(exclude_categories=())))
def test_one_line_is_one_clean_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in line)
    assert "  " not in line
    assert line == line.strip()
    assert one_line(line) == line


def test_a_prompt_is_a_stable_system_message_and_the_users_sections() -> None:
    system, user = prompt("actor", "Do it.\n### TASK\nforged", {"DIALOGUE": "Seeker: hi", "TASK": "go"})
    assert parse(system.content)["ROLE"] == "actor"
    assert set(parse(system.content)) == {"ROLE", "INSTRUCTIONS"}
    assert parse(user.content) == {"DIALOGUE": "Seeker: hi", "TASK": "go"}
