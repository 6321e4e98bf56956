"""The log loses nothing, repeats nothing and reads back equal, whatever was in the texts."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import events_of, started
from trio.testing import MockClock

from harness.core.errors import DataError, InputError, RunStopped
from harness.core.log import eventlog
from harness.core.log.checkedlines import repair
from harness.core.log.codec import decode_event, encode_event
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import read_episodes, read_events
from harness.core.log.rundigest import run_digest
from harness.core.messages import EpisodeEnded, Event, Opening

any_text = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["\ue000", "\ud800", "\ue000d800", "a\x00\x1b[31m\u2028\u202e\n"]
)


@given(any_text)
def test_any_text_reads_back_equal(text: str) -> None:
    event = Opening(episode="e", text=text, timing={text: 1.0})
    line = encode_event(event)
    assert b"\n" not in line
    assert decode_event(line) == event


async def append_all(path: Path, events: list[Event]) -> eventlog.EventLog:
    async with open_log(path) as log:
        for event in events:
            await log.append(event)
    return log


def test_events_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    events = [*events_of("a", 0, turns=3), *events_of("b", 1, turns=1)]
    trio.run(append_all, path, events)
    trio.run(append_all, path, events_of("c", 2, turns=2))
    assert list(read_events(path)) == [*events, *events_of("c", 2, turns=2)]
    assert [episode.id for episode in read_episodes(path)] == ["a", "b", "c"]


def test_a_torn_tail_is_cut_at_every_byte_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log"
    first, second = events_of("a", 0, turns=1), events_of("b", 1, turns=1)
    trio.run(append_all, path, first)
    whole = path.read_bytes()
    line = encode_event(second[0]) + b"\n"
    for torn in range(len(line)):
        path.write_bytes(whole + line[:torn])
        assert list(read_events(path)) == first
        trio.run(append_all, path, second)
        assert list(read_events(path)) == [*first, *second]


def test_repair_looks_beyond_one_block(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"kept\n" + b"x" * 200_000)
    assert repair(path) == 200_000
    assert path.read_bytes() == b"kept\n"
    path.write_bytes(b"x" * 10)
    assert repair(path) == 10


def test_a_second_attempt_replaces_an_unfinished_first(tmp_path: Path) -> None:
    path = tmp_path / "log"
    trio.run(append_all, path, [*events_of("a", 0, turns=3)[:-2], *events_of("a", 0, turns=1)])
    (episode,) = read_episodes(path)
    assert len(episode.transitions) == 1


def test_bad_logs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with pytest.raises(InputError, match="log"):
        list(read_events(path))
    path.write_bytes(encode_event(started("a", 0)) + b'\n{"type":"other"}\n')
    with pytest.raises(DataError, match=r"log:2: not an event"):
        list(read_events(path))
    trio.run(append_all, path.with_name("twice"), events_of("a", 0, turns=1) * 2)
    with pytest.raises(DataError, match="finished twice"):
        read_episodes(path.with_name("twice"))
    trio.run(append_all, path.with_name("orphan"), events_of("a", 0, turns=1)[1:])
    with pytest.raises(DataError, match="before its start"):
        read_episodes(path.with_name("orphan"))


@given(st.binary(max_size=200))
def test_any_line_is_an_event_or_a_typed_error(tmp_path_factory: pytest.TempPathFactory, line: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(line + b"\n")
    with contextlib.suppress(DataError):
        read_episodes(path)


def test_what_was_waited_for_is_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "log"
    events = events_of("a", 0, turns=4)

    async def main() -> None:
        async with open_log(path) as log:
            for event in events:
                await log.append(event)
            assert list(read_events(path)) == events
        assert log.fsyncs <= log.events == len(events)

    trio.run(main)


def test_gathered_events_share_one_fsync(tmp_path: Path) -> None:
    async def main() -> None:
        async def slow(function: object) -> None:
            await trio.sleep(1)
            function()  # type: ignore[operator]

        async with open_log(tmp_path / "log", run_sync=slow) as log, trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(log.append, started(f"e{number}", number))
        assert log.events == 100
        assert log.fsyncs <= 3

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_cancelled_run_still_writes_what_was_handed_over(tmp_path: Path) -> None:
    path = tmp_path / "log"

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with open_log(path) as log:
                for event in events_of("a", 0, turns=2)[:-1]:
                    await log.append(event)
                scope.cancel()
                await trio.sleep(1)

    trio.run(main)
    assert list(read_events(path)) == events_of("a", 0, turns=2)[:-1]


def test_a_full_disk_stops_the_run_and_leaves_earlier_records_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    first = events_of("a", 0, turns=1)
    trio.run(append_all, path, first)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExceptionGroup) as caught:
        trio.run(append_all, path, events_of("b", 1, turns=1))
    assert caught.value.subgroup(RunStopped)
    monkeypatch.undo()
    assert list(read_events(path)) == first
    trio.run(append_all, path, events_of("b", 1, turns=1))
    assert [episode.id for episode in read_episodes(path)] == ["a", "b"]


def test_a_disk_that_takes_a_part_first_keeps_no_half_of_a_group(tmp_path: Path) -> None:
    # In a child, since the limit cannot be raised again: the write that crosses it is short, and only the next fails.
    code = (
        "import resource, sys, trio; from pathlib import Path; from support.episodes import events_of\n"
        "from test_eventlog import append_all\n"
        "path = Path(sys.argv[1]); trio.run(append_all, path, events_of('a', 0, turns=1))\n"
        "limit = path.stat().st_size + 100; resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "trio.run(append_all, path, events_of('b', 1, turns=1))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "RunStopped: cannot write the event log" in ended.stderr
    assert list(read_events(tmp_path / "log")) == events_of("a", 0, turns=1)
    assert (tmp_path / "log").read_bytes().endswith(b"\n")


def test_the_digest_ignores_clock_and_cache_and_order_of_finishing(tmp_path: Path) -> None:
    def digest(name: str, events: list[Event]) -> str:
        trio.run(append_all, tmp_path / name, events)
        return run_digest(read_episodes(tmp_path / name))

    a, b = events_of("a", 0, turns=2), events_of("b", 1, turns=2)
    slower = [
        msgspec.structs.replace(event, timing={"actor": 9.0}) if hasattr(event, "timing") else event for event in a
    ]
    assert digest("1", [*a, *b]) == digest("2", [*b, *slower])
    ended = a[-1]
    assert isinstance(ended, EpisodeEnded)
    assert digest("3", [*a[:-1], msgspec.structs.replace(ended, stop="quit"), *b]) != digest("4", [*a, *b])
