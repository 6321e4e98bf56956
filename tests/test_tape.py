"""The tape gives back what the models said, names what differs, and is on disk before the log that rests on it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import events_of
from support.fakes import Answer, FakeChatModel, in_order

from harness.core.errors import CallError, DataError, InputError, RunStopped
from harness.core.log.checkedlines import record_of
from harness.core.log.eventlog import open_log
from harness.core.log.tape import NotRecorded, Recorded, open_tape, request_digest
from harness.core.messages import ChatReply, ChatRequest, Message, Usage
from harness.core.seams import Capabilities
from harness.core.sections import prompt

any_text = st.text(st.characters(exclude_categories=())) | st.sampled_from(["\ue000", "\ud800", "\x00\u2028\n### A\n"])
OFFERS = Capabilities(label_logprobs=True, choices=False)


class FakeServer(FakeChatModel):
    async def capabilities(self) -> Capabilities:
        return OFFERS


def request(**fields: Any) -> ChatRequest:
    whole: dict[str, Any] = {
        "role": "actor",
        "episode": "e0",
        "turn": 2,
        "messages": prompt("actor", "Speak.", {"DIALOGUE": "Seeker: Hello.", "STRATEGY": "CREDIBILITY: facts"}),
        "max_tokens": 50,
        "temperature": 0.7,
        "seed": 64,
    }
    return ChatRequest(**(whole | fields))


def record(path: Path, *pairs: tuple[ChatRequest, Answer]) -> list[ChatReply]:
    """Put calls on a tape; what their callers got."""
    server = FakeServer(in_order(*(answer for _, answer in pairs)))

    async def main() -> list[ChatReply]:
        with open_tape(path) as tape:
            model = tape.recording(server, "default")
            await model.capabilities()
            return [await model.complete(asked) for asked, _ in pairs]

    return trio.run(main)


def answer(path: Path, asked: ChatRequest) -> ChatReply:
    return trio.run(Recorded(path).replaying("default").complete, asked)


@given(any_text, any_text)
def test_any_reply_comes_back_equal(tmp_path_factory: pytest.TempPathFactory, said: str, text: str) -> None:
    path = tmp_path_factory.mktemp("tape") / "tape"
    asked = request(messages=(Message(role="user", content=said),), n=2)
    given_back = ChatReply(
        texts=(text, ""), usage=Usage(calls=1, prompt_tokens=3, truncated=1), label_logprobs={"1": -0.5}
    )
    assert record(path, (asked, given_back)) == [given_back]
    assert answer(path, asked) == given_back


def test_a_failed_call_fails_again_alike(tmp_path: Path) -> None:
    path = tmp_path / "tape"
    with pytest.raises(CallError, match="status 400"):
        record(path, (request(), CallError("status 400")))
    with pytest.raises(CallError, match="status 400"):
        answer(path, request())


def test_of_a_repeated_request_the_last_reply_counts(tmp_path: Path) -> None:
    path = tmp_path / "tape"
    record(path, (request(), "first"))
    record(path, (request(), "second"))
    assert answer(path, request()).texts == ("second",)
    recorded = Recorded(path)
    assert (recorded.calls, recorded.distinct) == (2, 1)


def test_what_a_server_offered_is_remembered(tmp_path: Path) -> None:
    record(tmp_path / "tape", (request(), "x"))
    assert trio.run(Recorded(tmp_path / "tape").replaying("default").capabilities) == OFFERS
    other = trio.run(Recorded(tmp_path / "tape").replaying("other").capabilities)
    assert not other.label_logprobs


CHANGES: Mapping[str, tuple[dict[str, Any], str]] = {
    "episode": ({"episode": "e1"}, "episode e1, turn 2, actor: no call of this role was recorded in this turn"),
    "turn": ({"turn": 3}, "episode e0, turn 3, actor: no call of this role"),
    "role": ({"role": "seeker"}, "turn 2, seeker: no call of this role"),
    "seed": ({"seed": 128}, "seed is 128, recorded was 64"),
    "temperature": ({"temperature": 0.0}, r"temperature is 0\.0, recorded was 0\.7"),
    "max_tokens": ({"max_tokens": 49}, "max_tokens is 49, recorded was 50"),
    "choices": ({"choices": ("1",)}, "choices is"),
    "pattern": ({"pattern": "a+"}, r"pattern is a\+"),
    "schema": ({"json_schema": msgspec.Raw(b"{}")}, "json_schema is {}"),
    "system": (
        {"messages": prompt("actor", "Sing.", {"DIALOGUE": "Seeker: Hello.", "STRATEGY": "CREDIBILITY: facts"})},
        "the system message differs",
    ),
    "section": (
        {"messages": prompt("actor", "Speak.", {"DIALOGUE": "Seeker: Hello.", "STRATEGY": "SIMILARITY: me too"})},
        "section STRATEGY of the prompt differs",
    ),
    "sections": (
        {"messages": prompt("actor", "Speak.", {"DIALOGUE": "Seeker: Hello."})},
        "the prompt's sections is DIALOGUE, recorded was DIALOGUE, STRATEGY",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_request_that_is_not_on_the_tape_is_told_by_its_first_difference(tmp_path: Path, change: str) -> None:
    fields, sentence = CHANGES[change]
    record(tmp_path / "tape", (request(), "x"))
    with pytest.raises(NotRecorded, match=sentence):
        answer(tmp_path / "tape", request(**fields))


def test_the_nearest_of_several_calls_is_compared(tmp_path: Path) -> None:
    other = request(seed=128, messages=prompt("actor", "Speak.", {"DIALOGUE": "Seeker: Bye."}))
    record(tmp_path / "tape", (request(), "x"), (other, "y"))
    changed = request(messages=prompt("actor", "Speak.", {"DIALOGUE": "Seeker: Hello.", "STRATEGY": "none"}))
    with pytest.raises(NotRecorded, match="section STRATEGY"):
        answer(tmp_path / "tape", changed)


@given(st.sampled_from(sorted(CHANGES)))
def test_every_field_counts_in_the_digest(change: str) -> None:
    assert request_digest(request(**CHANGES[change][0])) != request_digest(request())


def test_a_torn_tail_is_cut_and_the_rest_read(tmp_path: Path) -> None:
    path = tmp_path / "tape"
    record(path, (request(), "x"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2].replace(b"\n", b""))
    assert answer(path, request()).texts == ("x",)
    record(path, (request(turn=3), "y"))
    assert path.read_bytes().startswith(whole)
    assert answer(path, request(turn=3)).texts == ("y",)


def test_missing_and_damaged_tapes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the tape .*nowhere"):
        Recorded(tmp_path / "nowhere")
    path = tmp_path / "tape"
    record(path, (request(), "x"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"[1,2]\n")
    with pytest.raises(DataError, match=r"tape:2: the tape is damaged"):
        Recorded(path)
    path.write_bytes(record_of(lines[0]) + b"\n[1,2]\n")  # as older versions wrote them
    with pytest.raises(DataError, match=r"tape:2: not a record"):
        Recorded(path)
    path.write_bytes(record_of(lines[-1]) + b"\n")
    with pytest.raises(DataError, match="unknown form"):
        Recorded(path)


def test_a_tape_that_is_damaged_inside_is_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "tape"
    record(path, (request(), "spoken"), (request(turn=3), "y"))
    damaged = path.read_bytes().replace(b"spoken", b"spoker")
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"tape:3: the tape is damaged"):
        record(path, (request(turn=4), "z"))
    assert path.read_bytes() == damaged
    with pytest.raises(DataError, match=r"tape:3: the tape is damaged"):
        Recorded(path)


def test_a_directory_in_the_place_of_a_tape_is_named(tmp_path: Path) -> None:
    (tmp_path / "tape").mkdir()
    with pytest.raises(InputError, match="cannot write .*tape: Is a directory"):
        record(tmp_path / "tape", (request(), "x"))


@given(st.binary(max_size=200))
def test_any_line_is_a_record_or_a_typed_error(tmp_path_factory: pytest.TempPathFactory, line: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed-tape"
    path.write_bytes(line + b"\n")
    try:
        Recorded(path)
    except DataError as error:
        assert "fuzzed-tape" in str(error)


def test_the_tape_is_on_disk_before_the_log_that_rests_on_it(tmp_path: Path) -> None:
    server = FakeServer(lambda _: "x")

    async def main() -> None:
        with open_tape(tmp_path / "tape") as tape:
            async with open_log(tmp_path / "log", run_sync=tape.then_log) as log:
                await tape.recording(server, "default").complete(request())
                for event in events_of("e0", 0, turns=1):
                    await log.append(event)
                # The end of an episode is durable when append returns; so must be the calls it came from.
                assert Recorded(tmp_path / "tape").answer(request()).texts == ("x",)

    trio.run(main)


def test_a_full_disk_stops_the_run_and_leaves_whole_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tape"
    record(path, (request(), "x"))
    whole = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunStopped, match="cannot write the tape .*No space left"):
        record(path, (request(turn=9), "y"))
    assert path.read_bytes() == whole
