"""The last lines of a run: a success of the newest planner, never a training or a failed conversation."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import msgspec
from rich.console import Console
from support.episodes import events_of

from harness.app.job.farewell import say_farewell
from harness.core.log.codec import encode_event
from harness.core.messages import EpisodeEnded, EpisodeStarted, Event, Score


def said(folder: Path, *conversations: tuple[str, int, float]) -> str:
    written: list[Event] = []
    for index, (phase, version, reward) in enumerate(conversations):
        for event in events_of(f"{phase}-{index}", index, turns=2):
            if isinstance(event, EpisodeStarted):
                event = msgspec.structs.replace(event, phase=phase, policy_version=version)
            elif isinstance(event, EpisodeEnded):
                event = msgspec.structs.replace(event, evaluation=Score(reward=reward))
            written.append(event)
    (folder / "episodes.jsonl").write_bytes(b"".join(encode_event(event) + b"\n" for event in written))
    text = StringIO()
    say_farewell(folder, 0.75, Console(file=text, width=200))
    return text.getvalue()


def test_the_newest_planners_success_is_shown_whole(tmp_path: Path) -> None:
    text = said(tmp_path, ("before", -1, 0.9), ("train", 5, 0.9), ("rl", 4, 0.9), ("rl", 4, 0.95), ("warmup", 0, 0.9))
    assert "A conversation that succeeded: rl-2;" in text
    assert text.count("\n  recommender") == 2
    assert f"replay {tmp_path} --transcript rl-2" in text


def test_without_a_success_none_is_shown(tmp_path: Path) -> None:
    text = said(tmp_path, ("before", -1, 0.2), ("train", 5, 0.9), ("rl", 4, 0.75))
    assert text.startswith("No evaluated conversation succeeded")
    assert "replay" not in text
    assert f"python -m harness report {tmp_path}" in text
