"""Chat: a person plays the seeker against the real experts, in the scripted world."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from support.rundirs import TINY

from harness.app.commands.chat import chat
from harness.core.errors import InputError


def typed(*lines: str) -> Callable[[str], str]:
    waiting = iter(lines)

    def read(prompt: str) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    return read


def test_strategy_preferences_and_facts_stand_beside_each_reply() -> None:
    out = io.StringIO()
    wanted = ["planner.kind=fixed", "planner.strategy=opinion_inquiry"]
    turns = chat(
        TINY, None, "", wanted, Console(file=out, width=200), read=typed("", "Hello, a comedy please", "/facts", "Yes")
    )
    text = out.getvalue()
    assert turns == 2
    assert text.count("recommender: ") == 2
    assert text.count("strategy opinion_inquiry 1.00 (likeliest: opinion_inquiry 1.00") == 2
    assert "preferences Wants: comedy" in text
    assert "genre comedy" in text
    assert text.count("judge: ") == 1
    assert "You might look for: genre" in text


def test_a_baseline_has_no_strategy() -> None:
    out = io.StringIO()
    assert chat(TINY, None, "prompted", [], Console(file=out, width=200), read=typed("Hello", "/quit")) == 1
    assert "strategy" not in out.getvalue()


def test_unknown_systems_and_checkpoints_are_named(tmp_path: Path) -> None:
    console = Console(quiet=True)
    with pytest.raises(InputError, match="known are rso, prompted"):
        chat(TINY, None, "eliza", [], console, read=typed())
    with pytest.raises(InputError, match="a baseline has no planner"):
        chat(TINY, tmp_path, "prompted", [], console, read=typed())
    with pytest.raises(InputError, match="there is no such folder"):
        chat(TINY, tmp_path / "none", "", [], console, read=typed())
