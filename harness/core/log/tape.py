"""The tape of a run: the request digest and the reply of every model call; a tape can answer these requests again.

The log says what happened, the tape what the models said. With both, ``harness replay`` plays a conversation again
offline through the same code. A reply is kept word for word, without the model's thoughts, which the client takes out.

Requests are kept as digests only. The digest of the whole request finds its reply. Short digests of each named section
show in which section a request that is not on the tape differs from the recorded one. What many requests share
(decoding, system prompt, names of sections) is one line of its own, the *form*, named by its digest.

The tape is on disk before the log lines that depend on it: `Tape.then_log` writes the tape first. Checksums and the
cutting of an incomplete last line are the log's. If a request was made again after a crash, its last reply counts, as
the last attempt of an episode does. Left out: what replies mean (the experts), and playing (``harness.app.replay``).
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import msgspec
import trio

from harness.core.errors import CallError, DataError, HarnessError, RunStopped
from harness.core.log.checkedlines import chain_of, read_lines, repair, write_whole
from harness.core.log.codec import decode_record, encode_record
from harness.core.messages import ChatReply, ChatRequest, Struct, Usage
from harness.core.seams import Capabilities, Served

TAPE = "tape.jsonl"
"""Name of the file in a run directory."""

_HEADER = re.compile(r"^### ([A-Z][A-Z ]*)$", re.MULTILINE)
"""A section's header, as `harness.core.sections` renders it."""


class NotRecorded(HarnessError):
    """A request that is not on the tape: the conversation is no longer the recorded one. Not an `ExpertError`, since
    it says nothing about the conversation and must not become part of one."""

    def __init__(self, request: ChatRequest, field: str) -> None:
        self.episode, self.turn, self.role, self.field = request.episode, request.turn, request.role, field
        super().__init__(f"episode {request.episode}, turn {request.turn}, {request.role}: {field}")


class _Decoding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the replies were to be drawn: `ChatRequest`'s fields of the same names.

    What is not used is left out, so that a field that `ChatRequest` gets one day leaves older tapes valid.
    """

    max_tokens: int
    temperature: float
    n: int = 1
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    pattern: str = ""
    json_schema: str = ""
    label_logprobs: tuple[str, ...] = ()


class _Form(Struct, frozen=True, kw_only=True, tag_field="record", tag="form"):
    """What requests of one kind share."""

    id: str
    role: str
    decoding: _Decoding
    system: tuple[str, ...]
    """Digests of the system messages."""
    sections: tuple[str, ...]
    """Names of the sections of all other messages, in order; "" for what stands before a message's first header."""


class _Server(Struct, frozen=True, kw_only=True, tag_field="record", tag="server"):
    """What a model's server offered."""

    model: str
    capabilities: Capabilities


class _Call(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="call"):
    """One answered or failed call; an array, since its field names would be half of the file."""

    episode: str
    turn: int
    seed: int
    form: str
    request: str
    """Digest of the whole request."""
    sections: tuple[str, ...]
    """Digests of the bodies of the form's sections."""
    texts: tuple[str, ...] = ()
    usage: tuple[int, ...] = ()
    """`Usage`'s fields in order."""
    labels: dict[str, float] = {}
    failed: str = ""
    """The message of the `CallError`, where the call failed for good."""


_forms: msgspec.json.Decoder[_Form | _Server] = msgspec.json.Decoder(_Form | _Server)
_calls: msgspec.json.Decoder[_Call] = msgspec.json.Decoder(_Call)


class Tape:
    """The recording end. Calls are kept in memory until `flush`; `open_tape` flushes at the end."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._length = file.seek(0, os.SEEK_END)
        self._chain = chain_of(path)
        self._waiting: deque[bytes] = deque()
        self._known: set[str] = set()

    def recording(self, model: Served, name: str) -> Served:
        """The same model, with every call of the configured model ``name`` on this tape."""
        return _Recording(self, model, name)

    def flush(self) -> None:
        """Write and fsync what was recorded so far; may be called from a worker thread, one at a time.

        Raises `RunStopped` where the disk takes no more; the tape then ends with its last whole record.
        """
        lines = bytearray()
        for _ in range(len(self._waiting)):  # counted first: the event loop may add records meanwhile
            lines += self._waiting.popleft()
        if not lines:
            return
        try:
            write_whole(self._file, lines)
        except OSError as error:
            os.truncate(self._path, self._length)
            raise RunStopped(f"cannot write the tape {self._path}: {error.strerror}") from error
        self._length += len(lines)

    async def then_log(self, write: Callable[[], None]) -> None:
        """A ``run_sync`` for `open_log`: in one trip to a worker thread the tape, then the log."""

        def both() -> None:
            self.flush()
            write()

        await trio.to_thread.run_sync(both)

    def _add(self, record: object) -> None:
        self._waiting.append(self._chain.sealed(encode_record(record)))

    def _record(self, request: ChatRequest, reply: ChatReply | None, failed: str = "") -> None:
        form, sections = _form_of(request)
        if form.id not in self._known:
            self._known.add(form.id)
            self._add(form)
        self._add(
            _Call(
                episode=request.episode,
                turn=request.turn,
                seed=request.seed,
                form=form.id,
                request=request_digest(request),
                sections=sections,
                texts=reply.texts if reply else (),
                usage=msgspec.structs.astuple(reply.usage) if reply else (),
                labels=reply.label_logprobs if reply else {},
                failed=failed,
            )
        )


class _Recording:
    def __init__(self, tape: Tape, model: Served, name: str) -> None:
        self._tape = tape
        self._model = model
        self._name = name

    async def complete(self, request: ChatRequest) -> ChatReply:
        try:
            reply = await self._model.complete(request)
        except CallError as error:
            self._tape._record(request, None, str(error))
            raise
        self._tape._record(request, reply)
        return reply

    async def capabilities(self) -> Capabilities:
        found = await self._model.capabilities()
        if self._name not in self._tape._known:
            self._tape._known.add(self._name)
            self._tape._add(_Server(model=self._name, capabilities=found))
        return found


@contextmanager
def open_tape(path: Path) -> Iterator[Tape]:
    """Open for appending, a torn tail cut off first; what was recorded is on disk when the block ends.

    Raises `DataError` naming file:line where the tape is damaged: nothing is appended to it.
    """
    repair(path)
    for _ in _read(path):
        pass
    with path.open("ab", buffering=0) as raw:
        tape = Tape(raw, path)
        try:
            yield tape
        finally:
            tape.flush()


class Recorded:
    """A tape that was read back; answers requests from it."""

    def __init__(self, path: Path) -> None:
        """Raises `InputError` where there is no tape and `DataError` naming file:line for a damaged one."""
        self._replies: dict[str, _Call] = {}
        self._places: dict[tuple[str, int, str], list[_Call]] = {}
        self._known_forms: dict[str, _Form] = {}
        self._servers: dict[str, Capabilities] = {}
        self.calls = 0
        """Calls on the tape, repeated ones included."""
        for record in _read(path):
            match record:
                case _Form():
                    self._known_forms[record.id] = record
                case _Server():
                    self._servers[record.model] = record.capabilities
                case _Call():
                    if record.form not in self._known_forms:
                        raise DataError(f"{path}: a call of episode {record.episode} has an unknown form")
                    self.calls += 1
                    self._replies[record.request] = record
                    place = (record.episode, record.turn, self._known_forms[record.form].role)
                    self._places.setdefault(place, []).append(record)

    @property
    def distinct(self) -> int:
        """Different requests on the tape."""
        return len(self._replies)

    def replaying(self, name: str) -> Served:
        """The configured model ``name`` as the tape knows it; `NotRecorded` for a request that it does not hold."""
        return _Replaying(self, name)

    def answer(self, request: ChatRequest) -> ChatReply:
        """The recorded reply; a recorded failure is the same `CallError` again."""
        call = self._replies.get(request_digest(request))
        if call is None:
            raise NotRecorded(request, self._difference(request))
        if call.failed:
            raise CallError(call.failed)
        return ChatReply(texts=call.texts, usage=Usage(**_usage(call.usage)), label_logprobs=call.labels)

    def _difference(self, request: ChatRequest) -> str:
        """The first field by which the request differs from the recorded one that is most like it."""
        there = self._places.get((request.episode, request.turn, request.role))
        if not there:
            return "no call of this role was recorded in this turn"
        differences = [self._compare(request, call) for call in there]
        return max(differences, key=lambda found: found[0])[1]

    def _compare(self, request: ChatRequest, call: _Call) -> tuple[int, str]:
        """(Fields that are equal before the first difference, that difference)."""
        form, sections = _form_of(request)
        recorded = self._known_forms[call.form]
        pairs: list[tuple[str, object, object]] = [("seed", request.seed, call.seed)]
        pairs += [
            (field, getattr(form.decoding, field), getattr(recorded.decoding, field))
            for field in _Decoding.__struct_fields__
        ]
        pairs.append(("the prompt's sections", _shown(form.sections), _shown(recorded.sections)))
        for number, (name, now, before) in enumerate(pairs):
            if now != before:
                return number, f"{name} is {now}, recorded was {before}"
        if form.system != recorded.system:
            return len(pairs), "the system message differs from the recorded one"
        for number, name in enumerate(form.sections):
            if sections[number] != call.sections[number]:
                return (
                    len(pairs) + 1 + number,
                    f"{f'section {name}' if name else 'the head'} of the prompt differs from the recorded one",
                )
        return len(pairs) + 1 + len(sections), "the roles of the messages differ from the recorded ones"


class _Replaying:
    def __init__(self, recorded: Recorded, name: str) -> None:
        self._recorded = recorded
        self._name = name

    async def complete(self, request: ChatRequest) -> ChatReply:
        await trio.lowlevel.checkpoint()
        return self._recorded.answer(request)

    async def capabilities(self) -> Capabilities:
        # The run never asked what this model offers, so no call needed its label log-probabilities.
        return self._recorded._servers.get(self._name, Capabilities(label_logprobs=False, choices=False))


def request_digest(request: ChatRequest) -> str:
    """The digest by which a reply is found: 128 bits of SHA-256 (hex) over every field of the request."""
    asked = (request.role, request.episode, request.turn, request.seed, _decoding(request), request.messages)
    return _digest(encode_record(asked), 16)


def _decoding(request: ChatRequest) -> _Decoding:
    return _Decoding(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        n=request.n,
        stop=request.stop,
        choices=request.choices,
        json_schema=bytes(request.json_schema).decode(),
        label_logprobs=request.label_logprobs,
        pattern=request.pattern,
    )


def _form_of(request: ChatRequest) -> tuple[_Form, tuple[str, ...]]:
    """The form of a request and the digests of its sections."""
    system = tuple(_short_of_many(message.content) for message in request.messages if message.role == "system")
    names: list[str] = []
    bodies: list[str] = []
    for message in request.messages:
        if message.role != "system":
            # Split at the headers: this takes a tenth of the time of `parse`, and no text is left out.
            pieces = _HEADER.split(message.content)
            names += ["", *pieces[1::2]]
            bodies += [_short(body) for body in pieces[::2]]
    return _form(request.role, _decoding(request), system, tuple(names)), tuple(bodies)


@lru_cache(maxsize=256)
def _form(role: str, decoding: _Decoding, system: tuple[str, ...], sections: tuple[str, ...]) -> _Form:
    form = _Form(id="", role=role, decoding=decoding, system=system, sections=sections)
    return msgspec.structs.replace(form, id=_digest(encode_record(form), 6))


def _shown(names: tuple[str, ...]) -> str:
    return ", ".join(name for name in names if name)


def _short(text: str) -> str:
    return _digest(text.encode("utf-8", "surrogatepass"), 6)


@lru_cache(maxsize=64)
def _short_of_many(text: str) -> str:
    """For texts that most requests share."""
    return _short(text)


def _digest(content: bytes, length: int) -> str:
    return urlsafe_b64encode(hashlib.sha256(content).digest()[:length]).decode().rstrip("=")


def _usage(values: tuple[int, ...]) -> Mapping[str, int]:
    return dict(zip(Usage.__struct_fields__, values, strict=False))


def _read(path: Path) -> Iterator[_Form | _Server | _Call]:
    for line in read_lines(path, "the tape"):
        try:
            record = line.record
            yield decode_record(record, _calls) if record.startswith(b"[") else decode_record(record, _forms)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{path}:{line.number}: not a record of a tape: {error}") from None
