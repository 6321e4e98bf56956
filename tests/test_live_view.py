"""The live view: it shows what happened, and a model's words cannot move the terminal."""

from __future__ import annotations

import io

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support.episodes import events_of, transition
from trio.testing import MockClock

from harness.app.console.live_view import SPARKS, harmless, sparkline, view
from harness.app.console.progress import CONVERSATIONS, Progress
from harness.app.console.show import PLAIN_S, show_progress
from harness.core.lane import call_lane
from harness.core.messages import EpisodeEnded


def drawn(progress: Progress) -> str:
    out = io.StringIO()
    Console(file=out, width=120, force_terminal=True, color_system=None).print(view(progress))
    return out.getvalue()


def played(progress: Progress, *, response: str = "Take Heat.") -> None:
    for number in range(4):
        for event in events_of(f"train-{number}", number, turns=2):
            progress.saw(event)
            if getattr(event, "turn", None):
                progress.turn()
        progress.ended(1.0 + number, failed=number == 3)
    last = msgspec.structs.replace(transition("train-9", 1, 0.5, "judge"), response=response)
    progress.saw(last)
    progress.saw(EpisodeEnded(episode="train-9", stop="judge", turns=1))


def test_counts_rates_shares_and_the_last_dialogue() -> None:
    progress = Progress(Console(file=io.StringIO()))
    progress.begin("train", 10, unit=CONVERSATIONS)
    progress.live = 3
    played(progress)
    text = drawn(progress)
    for words in (
        "train",
        "4/10 conversations",
        "ETA",
        "3 live",
        "1 failed",
        "turns/s",
        "tokens/s",
        "mean return 2.50",
    ):
        assert words in text
    assert "acknowledgment" in text
    assert "100%" in text
    assert "train-9: judge after 1 turns" in text
    assert "Take Heat." in text


def test_queues_are_those_of_the_lanes() -> None:
    async def main() -> None:
        async def slow(_: int) -> int:
            await trio.sleep(100)
            return 0

        lane = call_lane("actor", slow, max_batch=1, capacity=9, max_in_flight=1)
        progress = Progress(Console(file=io.StringIO()))
        progress.watch([lane])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lane.serve)
            for number in range(3):
                nursery.start_soon(lane.ask, number)
            await trio.sleep(1)
            assert progress.queues() == [("actor", 2, 1)]
            assert "actor 2+1" in drawn(progress)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_model_text_is_only_text() -> None:
    progress = Progress(Console(file=io.StringIO()))
    progress.begin("train", 10, unit=CONVERSATIONS)
    played(progress, response="[bold]x[/bold] \x1b[2J\x07\u202e\r\ngone")
    text = drawn(progress)
    assert "[bold]x[/bold]" in text
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(text)


@given(st.text())
def test_harmless_text_is_one_printable_line(text: str) -> None:
    assert "\n" not in harmless(text)
    assert not any(ord(c) < 32 or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2069\x7f" for c in harmless(text))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_a_sparkline_reaches_from_lowest_to_highest(values: list[float]) -> None:
    line = sparkline(values)
    assert 1 <= len(line) <= 32
    assert set(line) <= set(SPARKS)
    if len(values) <= 32 and min(values) < max(values):
        assert line[values.index(min(values))] == SPARKS[0]
        assert line[values.index(max(values))] == SPARKS[-1]


@pytest.mark.parametrize(("quiet", "lines"), [(False, 1), (True, 0)])
def test_plain_lines_without_a_terminal(quiet: bool, lines: int) -> None:
    out = io.StringIO()

    async def main() -> None:
        progress = Progress(Console(file=out, width=120), quiet=quiet)
        progress.begin("train", 4, unit=CONVERSATIONS)
        played(progress)
        with trio.move_on_after(PLAIN_S * 1.5):
            await show_progress(progress)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert len(out.getvalue().splitlines()) == lines
    if lines:
        assert out.getvalue().startswith("train | 4/4 conversations | 0 live | ")
