"""The client of an OpenAI-compatible server: one `ChatModel` for vLLM, the scripted world and any other base URL.

Every call takes one path: `wire` encodes the bytes, `limit` bounds the calls under way, `retry` repeats failed ones,
and each attempt has a deadline. Only the last step differs: http goes through `PlainTransport`, https (and a test's
transport) through httpx2. The SDK gives base URL and authorisation. Its request and response models are not used: they
cost more CPU than all the rest (a request with 64 / 256 in flight: 1.3 / 1.7 ms by ``chat.completions.create``,
0.5 / 0.8 ms by httpx2 with bytes, 0.05 / 0.07 ms by `PlainTransport`; benchmarks/LEVERS.md).

Foreign errors end here: callers see `CallError` (this call failed for good) or `RunStopped` (no call can succeed).
Left out: streaming, tools, and the reading of a reply's text, which is the experts' part.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import unquote_to_bytes

import httpx2
import msgspec
import openai
import trio

from harness.core.errors import CallError, InputError, RunStopped
from harness.core.messages import ChatReply, ChatRequest
from harness.core.model import wire
from harness.core.model.limit import InFlightLimit
from harness.core.model.retry import FailureKind, RetryPolicy, TransientFailure, retrying
from harness.core.model.transport import PlainTransport, Post, Reply, post
from harness.core.seams import Capabilities
from harness.core.sections import prompt

T = TypeVar("T")

_PROBE_LABELS = ("1", "2", "3", "4", "5")
_KINDS: dict[int, FailureKind] = {429: "busy", 502: "gateway", 503: "gateway", 504: "gateway"}
"""502 to 504 say that the server behind a proxy is away; a 500 may be one poisonous request's doing."""
_STOPS_THE_RUN = {
    401: "check the API key",
    402: "the account has no credit left",
    403: "check the API key's rights",
    404: "check base_url and the model's name",
}


class _NoCredit(RunStopped):
    """The account has no credit left: none of its calls can succeed."""


class _Refused(CallError):
    """The server understood the request and will not serve it (4xx)."""


class TooFewReplies(RunStopped):
    """The server does not give as many replies to one request as were asked for."""


class OpenAIChat:
    """A model on an OpenAI-compatible server, as an async context manager; implements `ChatModel`.

    ``base_url`` ends in ``/v1`` by custom. ``timeout_s`` bounds one attempt from the moment it is sent, waiting for a
    slot not included; ``max_connections`` bounds the attempts under way. ``transport`` replaces the network in tests.
    Raises `InputError` for a URL or key that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_s: float,
        max_connections: int,
        retry: RetryPolicy,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        root = _root(base_url)
        if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key.strip()):
            raise InputError(f"the API key for {root} is empty or holds characters that no HTTP header can carry")
        self.model = model
        self.shown_url = root
        """The server's address without user, password or query: what messages may show."""
        self._timeout_s = timeout_s
        self._retry = retry
        self._secrets = (api_key,) if api_key else ()
        self.limit = InFlightLimit(max_connections)
        if transport is None and root.startswith("http://"):
            transport = PlainTransport()
        # https uses httpx2's own pool, with the proxies and certificates that the environment names.
        self._plain = transport if isinstance(transport, PlainTransport) else None
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=max_connections)
        self._http = httpx2.AsyncClient(transport=transport, timeout=None, limits=limits, trust_env=transport is None)
        self._sdk = openai.AsyncOpenAI(
            base_url=base_url, api_key=api_key or "none", max_retries=0, timeout=None, http_client=self._http
        )
        base = str(self._sdk.base_url).rstrip("/")
        headers = httpx2.Headers(
            {**self._sdk.auth_headers, "content-type": "application/json", "user-agent": "rso-harness"}
        )
        if named := httpx2.URL(base_url).userinfo:
            headers["authorization"] = f"Basic {b64encode(unquote_to_bytes(named)).decode()}"
        self._chat_route = _Route(httpx2.URL(f"{base}/chat/completions"), headers)
        self._tokenize_route = _Route(httpx2.URL(f"{base.removesuffix('/v1')}/tokenize"), headers)
        self._label_ids: dict[str, int] = {}
        self._capabilities: Capabilities | None = None
        self._asking = trio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with trio.CancelScope(shield=True):
            await self._sdk.close()

    async def complete(self, request: ChatRequest) -> ChatReply:
        """One call, repeated within bounds; ``timing`` holds seconds in all and the number of retries.

        Raises `CallError` for this call's failure and `RunStopped` where no call can succeed (server gone, no credit,
        401, 404).
        """
        started_at = trio.current_time()
        if request.label_logprobs:
            if not (await self.capabilities()).label_logprobs:
                raise CallError(f"{self.model} at {self.shown_url} does not give the log-probabilities of labels")
            await self._look_up(request.label_logprobs)
        constrain = bool(request.choices or request.pattern) and (await self.capabilities()).choices
        reply, retries = await self._chat(request, constrain=constrain)
        timing = {"seconds": trio.current_time() - started_at, "retries": float(retries)}
        return msgspec.structs.replace(reply, timing=timing)

    async def capabilities(self) -> Capabilities:
        """What the server offers; asks it with two one-token calls the first time. Raises as `complete` does."""
        if self._capabilities is None:
            async with self._asking:
                if self._capabilities is None:
                    self._capabilities = await self._probe()
        return self._capabilities

    async def _probe(self) -> Capabilities:
        # The prompt of a judge, so that the scripted world can answer it as well.
        request = ChatRequest(
            role="reward",
            episode="probe",
            turn=0,
            messages=prompt("reward", "Answer with one number from 1 to 5.", {"DIALOGUE": "Seeker: Hello."}),
            max_tokens=2,
            temperature=0.0,
            seed=0,
        )
        try:
            constrained = msgspec.structs.replace(request, choices=_PROBE_LABELS)
            reply, _ = await self._chat(constrained, constrain=True)
            choices = reply.texts[0] in _PROBE_LABELS
        except _Refused:
            choices = False
        try:
            await self._find_label_ids(_PROBE_LABELS)
            await self._chat(msgspec.structs.replace(request, label_logprobs=_PROBE_LABELS), constrain=False)
        except CallError as error:
            if isinstance(error.__cause__, TransientFailure) and error.__cause__.kind != "unreadable":
                raise  # the server failed, which does not show that it lacks the feature
            return Capabilities(label_logprobs=False, choices=choices)
        return Capabilities(label_logprobs=True, choices=choices)

    async def _look_up(self, labels: tuple[str, ...]) -> None:
        if all(label in self._label_ids for label in labels):
            return
        async with self._asking:
            await self._find_label_ids(labels)

    async def _find_label_ids(self, labels: tuple[str, ...]) -> None:
        for label in labels:
            if label not in self._label_ids:
                body = wire.encode_tokenize(label, model=self.model)
                try:
                    tokens, _ = await self._call(self._tokenize_route, body, wire.decode_tokenize)
                except RunStopped as error:
                    if isinstance(error.__cause__, TransientFailure) or isinstance(error, _NoCredit):
                        raise
                    # The chat route has answered before, so 404 or 403 means that the server lacks this route.
                    raise _Refused(f"{self.shown_url} does not offer /tokenize, which label reads need") from error
                if len(tokens) != 1:
                    raise _Refused(f"the label {label!r} is {len(tokens)} tokens of {self.model}, not one")
                for other, known in self._label_ids.items():
                    if known == tokens[0]:
                        raise _Refused(f"the labels {other!r} and {label!r} are one token of {self.model}: {known}")
                self._label_ids[label] = tokens[0]

    async def _chat(self, request: ChatRequest, *, constrain: bool) -> tuple[ChatReply, int]:
        body = wire.encode_chat(request, model=self.model, label_ids=self._label_ids, constrain=constrain)
        reply, retries = await self._call(
            self._chat_route, body, lambda answer: wire.decode_chat(answer, request, label_ids=self._label_ids)
        )
        if not reply.texts:
            raise CallError(f"{self.model} at {self.shown_url} answered the {request.role} without any choice")
        if len(reply.texts) < request.n:
            raise TooFewReplies(
                f"{self.model} at {self.shown_url} gave {len(reply.texts)} of the {request.n} replies that the "
                f'{request.role} asked for in one request (n): set reward.mode = "multinomial" or "expected", which '
                "read one decode step, where the server gives label log-probabilities; else reward.samples = 1 and "
                "reward.quorum = 1; or name another model for it under roles"
            )
        return reply, retries

    async def _call(self, route: _Route, body: bytes, decode: Callable[[bytes], T]) -> tuple[T, int]:
        """One call with its retries; turns the client's failures into the project's errors."""
        try:
            return await retrying(partial(self._attempt, route, body, decode), self._retry)
        except TransientFailure as failure:
            message = f"{self.model} at {self.shown_url}: {failure}, and the retries are spent"
            # A server that is gone or overloaded fails every call; any other failure may be this request's own fault.
            lost = failure.kind in ("unreachable", "busy", "gateway")
            error = RunStopped(message) if lost else CallError(message)
            raise error from failure

    async def _attempt(self, route: _Route, body: bytes, decode: Callable[[bytes], T]) -> T:
        async with self.limit.slots:
            started_at = trio.current_time()
            reply: Reply | None = None
            with trio.move_on_after(self._timeout_s):
                try:
                    reply = await self._post(route, body)
                except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                    raise TransientFailure("unreachable", f"no connection ({self._said(str(error))})") from error
                except httpx2.RequestError as error:
                    raise TransientFailure("broken", f"broken exchange ({self._said(str(error))})") from error
            if reply is None:
                raise TransientFailure("deadline", f"no answer within {self._timeout_s:g} s")
            status = reply.status
            if status == 429:
                self.limit.pushed_back(started_at)
            elif status == 200:
                self.limit.went_well()
        if status == 200:
            try:
                return decode(reply.body)
            except wire.UnreadableReply as error:
                self._check_credit(reply)
                raise TransientFailure("unreadable", f"unreadable answer ({self._said(str(error))})") from error
        self._check_credit(reply)
        said = self._answered(reply)
        if status in (408, 425, 429) or status >= 500:
            wait_s = _retry_after(_header(reply, b"retry-after"))
            raise TransientFailure(_KINDS.get(status, "server"), said, retry_after_s=wait_s)
        if status in _STOPS_THE_RUN:
            raise RunStopped(f"{self.model} at {self.shown_url}: {said}: {_STOPS_THE_RUN[status]}")
        raise _Refused(f"{self.model} at {self.shown_url}: {said}")

    def _check_credit(self, reply: Reply) -> None:
        """Servers report missing credit with 402, 429, 403, 400 or even 200; a 5xx says nothing about an account."""
        if reply.status == 402 or (reply.status < 500 and wire.says_no_credit(reply.body)):
            raise _NoCredit(f"{self.model} at {self.shown_url}: {self._answered(reply)}: {_STOPS_THE_RUN[402]}")

    def _answered(self, reply: Reply) -> str:
        return f"status {reply.status} ({wire.error_text(reply.body, self._secrets)})"

    async def _post(self, route: _Route, body: bytes) -> Reply:
        if self._plain is not None:
            return await self._plain.send(route.prepared, body)
        response = await self._http.send(httpx2.Request("POST", route.url, headers=route.headers, content=body))
        return Reply(response.status_code, response.headers.raw, response.content)

    def _said(self, text: str) -> str:
        return wire.redact(text, self._secrets)


class _Route:
    """A URL of the server with the headers of every call to it."""

    __slots__ = ("headers", "prepared", "url")

    def __init__(self, url: httpx2.URL, headers: httpx2.Headers) -> None:
        self.url = url
        self.headers = headers
        self.prepared: Post = post(url, headers)


def _header(reply: Reply, name: bytes) -> str | None:
    for key, value in reply.headers:
        if key.lower() == name:
            return value.decode("latin-1")
    return None


def _root(base_url: str) -> str:
    try:
        url = httpx2.URL(base_url)
    except (httpx2.InvalidURL, TypeError) as error:
        raise InputError(f"base_url is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise InputError(f"base_url must start with http:// or https:// and name a host, not {base_url!r}")
    return str(url.copy_with(username=None, password=None, query=None, fragment=None)).rstrip("/")


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, a number or an HTTP date; None where absent or unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return seconds if 0.0 <= seconds < float("inf") else (0.0 if seconds < 0 else None)
