"""Events and records of other files to lines of JSON and back, without loss for any text.

JSON has no place for lone surrogates, which Python strings can hold. U+E000 (a private-use character) is the escape:
a lone surrogate becomes U+E000 and four hex digits, and U+E000 itself is doubled. Nearly all lines hold neither;
msgspec encodes and decodes them directly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from harness.core.messages import Event

_ESCAPE = "\ue000"
_ESCAPE_BYTES = _ESCAPE.encode()
_TO_ESCAPE = re.compile(f"[\ud800-\udfff{_ESCAPE}]")
_ESCAPED = re.compile(f"{_ESCAPE}({_ESCAPE}|[0-9a-f]{{4}})")

R = TypeVar("R")

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """One event as one line of UTF-8 JSON, without the line break."""
    return encode_record(event)


def decode_event(line: bytes) -> Event:
    """The inverse of `encode_event`; `msgspec.DecodeError` for a line that is no event."""
    return decode_record(line, _decoder)


def encode_record(record: object) -> bytes:
    """Any struct as one line of UTF-8 JSON, without the line break."""
    try:
        line = _encoder.encode(record)
    except UnicodeEncodeError:
        line = _ESCAPE_BYTES
    if _ESCAPE_BYTES in line:
        return _encoder.encode(_map_text(msgspec.to_builtins(record), _escape))
    return line


def decode_record(line: bytes, decoder: msgspec.json.Decoder[R]) -> R:
    """The inverse of `encode_record` for the decoder's type; `msgspec.DecodeError` for anything else."""
    if _ESCAPE_BYTES in line:
        record: R = msgspec.convert(_map_text(msgspec.json.decode(line), _unescape), decoder.type)
        return record
    return decoder.decode(line)


def _escape(text: str) -> str:
    return _TO_ESCAPE.sub(lambda m: _ESCAPE * 2 if m[0] == _ESCAPE else f"{_ESCAPE}{ord(m[0]):04x}", text)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda m: _ESCAPE if m[1] == _ESCAPE else chr(int(m[1], 16)), text)


def _map_text(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _map_text(entry, change) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_map_text(entry, change) for entry in value]
    return value
