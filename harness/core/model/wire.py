"""The bytes sent to an OpenAI-compatible server and the bytes it answers: pure functions.

Requests follow the OpenAI chat API; three fields are vLLM's (0.32, ``entrypoints/openai/chat_completion/protocol.py``):
``structured_outputs`` with a list of choices or a pattern, ``logprob_token_ids`` and ``return_tokens_as_token_ids``.
Only the fields that the harness uses are decoded; msgspec skips the rest without building it. A model's thoughts are
taken out here, before anything else sees a reply: no role, log or tape holds them (``harness.core.model.thoughts``).

A label read asks for one token and the log-probabilities of given token ids. vLLM gives them *before* temperature, and
a grammar's mask is applied before that, so a label read is sent without ``choices``: the labels' mass stays visible.
The sampled token is thrown away, hence temperature 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from harness.core.messages import ChatReply, ChatRequest, Message, Usage
from harness.core.model.thoughts import without_thoughts
from harness.core.sections import one_line

_LONGEST_SHOWN = 300
_NOTHING = (b"", b"null", b'""', b"[]")
_SECRET = re.compile(r"(?i)bearer\s+[^\s\"',]+|\bsk-[A-Za-z0-9_\-]{6,}|(?<=api_key=)[^\s&\"']+")

_NO_CREDIT_CODES = frozenset(
    {
        *("402", "payment_required", "insufficient_quota", "insufficient_balance", "insufficient_credits"),
        *("insufficient_funds", "billing_hard_limit_reached", "billing_not_active", "billing_error"),
    }
)
_NO_CREDIT = re.compile(
    r"insufficient[ _](quota|balance|credits?|funds)|payment required|billing hard limit"
    r"|(credits?|credit balance|account balance|prepaid balance|free trial)\b.{0,20}?"
    r"\b(used up|exhausted|expired|depleted|too low|run out)|(out of|not enough|no more|no remaining) credits?\b"
    r"|account (is not active|is inactive|has been (suspended|deactivated)).{0,40}?(billing|payment)",
    re.IGNORECASE,
)
"""How servers word that nothing is left to pay with. A quota alone is none of these: it may be one for each minute."""


class UnreadableReply(ValueError):
    """A body that is not the JSON that was asked for."""


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _WireUsage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None


class _TopLogprob(msgspec.Struct):
    token: str
    logprob: float


class _Position(msgspec.Struct):
    top_logprobs: list[_TopLogprob] = []


class _Logprobs(msgspec.Struct):
    content: list[_Position] | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _WireMessage(msgspec.Struct):
    content: str | list[_Part] | None = None
    # Thoughts that the server takes out itself. Any type will do: only their presence is read.
    reasoning_content: msgspec.Raw = msgspec.Raw(b"")
    reasoning: msgspec.Raw = msgspec.Raw(b"")


class _Choice(msgspec.Struct):
    message: _WireMessage
    index: int = 0
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _WireUsage | None = None


class _Tokens(msgspec.Struct):
    tokens: list[int]


class _ErrorDetail(msgspec.Struct):
    message: str
    code: Any = None
    type: Any = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail | str | None = None
    message: str | None = None
    detail: str | None = None
    code: Any = None
    type: Any = None


_encoder = msgspec.json.Encoder()
_completion = msgspec.json.Decoder(_Completion)
_tokens = msgspec.json.Decoder(_Tokens)
_error = msgspec.json.Decoder(_ErrorBody)


def encode_chat(request: ChatRequest, *, model: str, label_ids: Mapping[str, int], constrain: bool) -> bytes:
    """The body of one chat request; ``label_ids`` holds the token id of every label of a label read.

    ``constrain`` False leaves ``choices`` and ``pattern`` out, for servers that do not know the field; the prompt asks
    for them anyway.
    Lone surrogates, which JSON cannot carry, and NUL become U+FFFD.
    """
    body: dict[str, object] = {"model": model, "messages": request.messages, "seed": request.seed}
    if request.label_logprobs:
        body |= {
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": True,
            "logprob_token_ids": [label_ids[label] for label in request.label_logprobs],
            "return_tokens_as_token_ids": True,
        }
    else:
        body |= {"max_tokens": request.max_tokens, "temperature": request.temperature}
        if request.n != 1:
            body["n"] = request.n
        if request.choices and constrain:
            body["structured_outputs"] = {"choice": request.choices}
        elif request.pattern and constrain:
            body["structured_outputs"] = {"regex": request.pattern}
        if bytes(request.json_schema):
            schema = {"name": "reply", "schema": request.json_schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.stop:
        body["stop"] = request.stop
    if any("\0" in message.content for message in request.messages):
        body["messages"] = _speakable(request.messages)
    try:
        return _encoder.encode(body)
    except UnicodeEncodeError:
        body["messages"] = _speakable(request.messages)
        return _encoder.encode(body)


def _speakable(messages: tuple[Message, ...]) -> list[Message]:
    def text(content: str) -> str:
        whole = content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\0", "\ufffd")

    return [Message(role=message.role, content=text(message.content)) for message in messages]


def decode_chat(body: bytes, request: ChatRequest, *, label_ids: Mapping[str, int]) -> ChatReply:
    """The reply in a body; raises `UnreadableReply`. A body without choices gives ``texts == ()``."""
    try:
        completion = _completion.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableReply(f"not a chat completion: {error}") from None
    choices = sorted(completion.choices, key=lambda choice: choice.index)[: request.n]
    used = completion.usage or _WireUsage()
    details = used.prompt_tokens_details
    # The one token of a label read is thrown away: it is neither cut nor a thought.
    truncated = 0 if request.label_logprobs else sum(choice.finish_reason == "length" for choice in choices)
    read = [_said(choice.message) for choice in choices]
    usage = Usage(
        calls=1,
        prompt_tokens=used.prompt_tokens,
        cached_tokens=(details.cached_tokens or 0) if details is not None else 0,
        completion_tokens=used.completion_tokens or 0,
        truncated=truncated,
        thoughts=0 if request.label_logprobs else sum(thought for _, thought in read),
    )
    labels = _labels(choices[0], request.label_logprobs, label_ids) if request.label_logprobs and choices else {}
    return ChatReply(texts=tuple(said for said, _ in read), usage=usage, label_logprobs=labels)


def _said(message: _WireMessage) -> tuple[str, bool]:
    """What a choice says, without the model's thoughts, and whether it had any."""
    content = message.content
    apart = any(bytes(field) not in _NOTHING for field in (message.reasoning_content, message.reasoning))
    if isinstance(content, list):
        apart = apart or any(part.type in ("thinking", "reasoning") for part in content)
        content = "".join(part.text or "" for part in content if part.type == "text")
    said, thought = without_thoughts(content or "")
    return said, thought or apart


def _labels(choice: _Choice, labels: tuple[str, ...], label_ids: Mapping[str, int]) -> dict[str, float]:
    positions = choice.logprobs.content if choice.logprobs is not None else None
    if not positions:
        raise UnreadableReply("no log-probabilities in the answer")
    found: dict[str, float] = {}
    for entry in positions[0].top_logprobs:
        if found.setdefault(entry.token, entry.logprob) != entry.logprob:
            raise UnreadableReply(f"two log-probabilities of one token, {entry.token!r}, in the answer")
    read: dict[str, float] = {}
    for label in labels:
        # vLLM names tokens by id when asked; a server that gives their texts is understood too.
        value = found.get(f"token_id:{label_ids[label]}", found.get(label))
        if value is None:
            raise UnreadableReply(f"no log-probability of {label!r} in the answer")
        read[label] = value
    return read


def encode_tokenize(text: str, *, model: str) -> bytes:
    """The body of a ``/tokenize`` request (vLLM's route), without special tokens."""
    return _encoder.encode({"model": model, "prompt": text, "add_special_tokens": False})


def decode_tokenize(body: bytes) -> list[int]:
    """The token ids; raises `UnreadableReply`."""
    try:
        return _tokens.decode(body).tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableReply(f"not a list of tokens: {error}") from None


def error_text(body: bytes, secrets: tuple[str, ...]) -> str:
    """What a server says in an error body: one bounded line without keys."""
    try:
        said = _error.decode(body)
        detail = said.error.message if isinstance(said.error, _ErrorDetail) else said.error
        text = detail or said.message or said.detail or ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[: 20 * _LONGEST_SHOWN].decode("utf-8", "replace")
    return redact(text, secrets)


def says_no_credit(body: bytes) -> bool:
    """Whether an error body says that the account has nothing left to pay with, by its code or in words."""
    try:
        said = _error.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    inner = said.error if isinstance(said.error, _ErrorDetail) else None
    codes = (said.code, said.type, *((inner.code, inner.type) if inner is not None else ()))
    if any(str(code).lower() in _NO_CREDIT_CODES for code in codes):
        return True
    return _NO_CREDIT.search(error_text(body, ())) is not None


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """One line of at most 300 characters; the given secrets and whatever looks like a key are replaced."""
    for secret in secrets:
        text = text.replace(secret, "[redacted]")
    line = one_line(_SECRET.sub("[redacted]", text))
    return line if len(line) <= _LONGEST_SHOWN else line[: _LONGEST_SHOWN - 1] + "…"
