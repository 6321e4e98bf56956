"""The OpenAI chat API as far as the scripted model speaks it, with vLLM's extras: bytes -> request, reply -> bytes.

Unknown fields (``priority``, ``top_p``, ``cache_salt`` ...) are ignored as vLLM ignores what it does not need; a field
of the wrong type or an impossible value is a `BadRequest` that the server answers with status 400 and an OpenAI error
body. Streaming is left out and refused.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from harness.core.messages import Message
from simulator.scripted.tokens import label_of, pieces

MODEL = "scripted-world"
CONTEXT = 32_768
"""Longest prompt plus reply, in tokens."""
_MAX_N = 64
_LABEL_MASS = 0.985
"""Probability that a judge's first token is a label at all; real models put a little elsewhere."""
_ELSEWHERE = -18.0
"""Log-probability of a token that the model would hardly say."""


class BadRequest(Exception):
    """A request that no retry would mend; ``status`` is 400 or 404."""

    def __init__(self, message: str, status: int = 400, code: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _Part(msgspec.Struct):
    text: str = ""
    type: str = "text"


class _ChatMessage(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _Choice(msgspec.Struct):
    choice: list[str] | None = None


class _ResponseFormat(msgspec.Struct):
    type: str
    json_schema: dict[str, Any] | None = None


class ChatBody(msgspec.Struct):
    """The body of ``POST /v1/chat/completions``."""

    model: str
    messages: list[_ChatMessage]
    n: int = 1
    seed: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    structured_outputs: _Choice | None = None
    guided_choice: list[str] | None = None
    response_format: _ResponseFormat | None = None
    stream: bool | None = None

    @property
    def heat(self) -> float:
        return 1.0 if self.temperature is None else self.temperature

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def choices(self) -> list[str]:
        return (self.structured_outputs.choice if self.structured_outputs else None) or self.guided_choice or []

    def chat(self) -> tuple[Message, ...]:
        return tuple(_message(message) for message in self.messages)


class TokenizeBody(msgspec.Struct):
    """The body of vLLM's ``POST /tokenize``."""

    prompt: str
    model: str = MODEL
    add_special_tokens: bool = True


_CHAT = msgspec.json.Decoder(ChatBody)
_TOKENIZE = msgspec.json.Decoder(TokenizeBody)


def decode_chat(body: bytes) -> ChatBody:
    """A checked request, or `BadRequest`."""
    try:
        request = _CHAT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the request body is invalid: {error}") from error
    if request.model != MODEL:
        raise BadRequest(f"The model `{request.model}` does not exist.", status=404, code="model_not_found")
    if not request.messages:
        raise BadRequest("messages must not be empty")
    if request.stream:
        raise BadRequest("stream is not supported")
    if not 1 <= request.n <= _MAX_N:
        raise BadRequest(f"n must be between 1 and {_MAX_N}, not {request.n}")
    if not (math.isfinite(request.heat) and 0.0 <= request.heat <= 2.0):
        raise BadRequest(f"temperature must be between 0 and 2, not {request.heat}")
    if request.limit is not None and request.limit < 1:
        raise BadRequest(f"max_tokens must be at least 1, not {request.limit}")
    if request.response_format and request.response_format.type == "json_schema":
        schema = (request.response_format.json_schema or {}).get("schema")
        if not isinstance(schema, dict):
            raise BadRequest("response_format.json_schema.schema must be an object")
    return request


def decode_tokenize(body: bytes) -> TokenizeBody:
    """A checked request, or `BadRequest`."""
    try:
        return _TOKENIZE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the request body is invalid: {error}") from error


def error_body(message: str, code: str, status: int) -> dict[str, Any]:
    """An OpenAI error object."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def constrain(text: str, choices: list[str]) -> str:
    """The choice that a text amounts to: itself, the first choice that it holds, or the first of all."""
    if text in choices:
        return text
    held = [(text.find(choice), choice) for choice in choices if choice in text]
    return min(held)[1] if held else choices[0]


def cut(text: str, stops: list[str], limit: int | None) -> tuple[str, str, int]:
    """Text up to the first stop string and the token limit: (text, finish reason, tokens)."""
    for stop in stops:
        if stop and stop in text:
            text = text[: text.index(stop)]
    tokens = pieces(text)
    if limit is not None and len(tokens) > limit:
        return "".join(tokens[:limit]), "length", limit
    return text, "stop", len(tokens) + (limit is None or len(tokens) < limit)


def first_token_logprobs(request: ChatBody, text: str, labels: dict[str, float]) -> dict[str, Any] | None:
    """The choice's ``logprobs``: the said token and, beside it, the tokens asked for by id or the top k."""
    if not request.logprobs:
        return None
    said = next(iter(pieces(text)), "")
    table = {label: math.log(p * _LABEL_MASS) for label, p in labels.items()} or {said: -0.05}
    if request.logprob_token_ids is not None:
        named = [label_of(token) or f"token_id:{token}" for token in request.logprob_token_ids]
    else:
        named = sorted(table, key=lambda label: -table[label])[: request.top_logprobs or 0]
    top = [_entry(token, table.get(token, _ELSEWHERE)) for token in named]
    return {"content": [{**_entry(said, table.get(said, _ELSEWHERE)), "top_logprobs": top}]}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "surrogatepass"))}


def _message(message: _ChatMessage) -> Message:
    if message.role not in ("system", "user", "assistant"):
        raise BadRequest(f"unknown message role {message.role!r}")
    content = message.content
    text = content if isinstance(content, str) else "".join(part.text for part in content or ())
    return Message(role=message.role, content=text)  # type: ignore[arg-type]  # checked above
