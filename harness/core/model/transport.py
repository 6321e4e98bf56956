"""Plain HTTP/1.1 for httpx2 on trio: one connection for each request under way; idle connections wait on a stack.

The stock pool looks through all of its connections on every request, so its cost grows with their number. The caller
bounds how many requests are under way (`harness.core.model.limit`), so the pool needs no bound and no queue of its own.
A connection whose request failed or was cancelled is closed, never reused.

httptools (C) parses the responses. Each response has a new parser, so no state of one reaches the next. trio waits
until the socket is readable, and the read itself is a plain ``recv``: trio's own streams would cost a second round of
the event loop. Figures: ``benchmarks/RESULTS.md``.

Left out: TLS, HTTP/2, proxies (`llm.py` uses httpx2's own transport for https), time limits (callers hold a cancel
scope) and retries (`retry.py`).
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import httptools
import httpx2
import trio

_READ_BYTES = 16384
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only
_MOST_BYTES = 64 * 2**20
"""A body beyond this is no model's reply; reading on would only fill the memory."""
_IDLE_S = 60.0
"""Idle connections above this age are closed when the next request passes by; fewer open files, no timer."""


class Post(NamedTuple):
    """The address of requests and the bytes in front of each body; made once, used for every call."""

    origin: tuple[str, int]
    head: bytes
    """Up to the value of ``content-length``."""


class Reply(NamedTuple):
    """A response as bytes."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class _Answer:
    """One response, filled by the callbacks of httptools."""

    __slots__ = ("_interim", "_parser", "complete", "headers", "keep_alive", "parts", "size", "status", "surplus")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.size = 0
        self.complete = self.keep_alive = self.surplus = False
        self._interim = False

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def release(self) -> None:
        """Drop the parser: it and this object refer to each other, and only the garbage collector would free them."""
        del self._parser

    def on_message_begin(self) -> None:
        self.surplus = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._interim = status < 200
        if self._interim:
            self.headers.clear()
        else:
            self.status = status
            self.keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)
        self.size += len(body)

    def on_message_complete(self) -> None:
        self.complete = not self._interim

    def ended_by_close(self) -> bool:
        """Whether the body ends where the connection ends, because no header gives its length."""
        return self.status > 0 and not any(
            name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers
        )


class _Connection:
    __slots__ = ("_poll", "_reusable", "_socket", "idle_since")

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._poll = select.poll()
        self._poll.register(connected.fileno(), select.POLLIN)
        self._reusable = False
        self.idle_since = 0.0

    def stale(self) -> bool:
        """Whether the server closed (or wrote to) an idle connection: either way it is readable."""
        return bool(self._poll.poll(0))

    async def exchange(self, head: bytes, body: bytes) -> Reply:
        self._reusable = False
        await self._send(head, body)
        if _QUICKACK is not None:
            # asyncio leaves Nagle's algorithm on for a listener made by somebody else (vLLM makes uvicorn's). uvicorn
            # writes head and body apart, so the body waits for our delayed acknowledgement: 40 ms a call. Measured
            # median: 48 ms without this option, 0.5 ms with it. The kernel forgets it, so it is set for each answer.
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        data = await self._receive()
        answer = _Answer()  # made late: hundreds of waiting parsers would take megabytes
        try:
            while True:
                if not data:
                    if answer.ended_by_close():
                        break
                    raise httpx2.RemoteProtocolError("the server closed the connection without an answer")
                answer.feed(data)
                if answer.size > _MOST_BYTES:
                    raise httpx2.ReadError(f"a response body above {_MOST_BYTES} bytes")
                if answer.complete:
                    break
                data = await self._receive()
        finally:
            answer.release()
        self._reusable = answer.complete and answer.keep_alive and not answer.surplus
        return Reply(answer.status, answer.headers, b"".join(answer.parts))

    async def _send(self, head: bytes, body: bytes) -> None:
        sent = 0
        with suppress(BlockingIOError):
            # One write for each request, so one segment if it fits. The body is not kept after it is sent.
            sent = self._socket.sendmsg((head, body))
        if sent == len(head) + len(body):
            return
        rest = memoryview(head + body)[sent:]
        while rest:
            await trio.lowlevel.wait_writable(self._socket)
            with suppress(BlockingIOError):
                rest = rest[self._socket.send(rest) :]

    async def _receive(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                continue

    def reusable(self) -> bool:
        """Ready for the next request, if both sides finished this one and want to go on."""
        return self._reusable

    def close(self) -> None:
        self._socket.close()


def post(url: httpx2.URL, headers: httpx2.Headers) -> Post:
    """A prepared POST to ``url``; values that no header can carry must not be in ``headers``."""
    lines = [b"POST %s HTTP/1.1" % url.raw_path, b"host: %s" % url.netloc]
    lines += [b"%s: %s" % header for header in headers.raw]
    return Post(_origin(url), b"\r\n".join([*lines, b"content-length: "]))


def _origin(url: httpx2.URL) -> tuple[str, int]:
    return url.host, url.port or 80


class PlainTransport(httpx2.AsyncBaseTransport):
    """An httpx2 transport for ``http://`` URLs; `statistics` counts the connections opened and those idle."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], deque[_Connection]] = {}
        self._opened = 0

    def statistics(self) -> tuple[int, int]:
        """(connections opened so far, connections idle now)."""
        return self._opened, sum(len(idle) for idle in self._idle.values())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One exchange; raises `httpx2.TransportError`."""
        body = await request.aread()
        lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
        lines += [b"%s: %s" % header for header in request.headers.raw]
        status, headers, content = await self._exchange(_origin(request.url), b"\r\n".join([*lines, b"", b""]), body)
        return httpx2.Response(status, headers=list(headers), content=content, request=request)

    async def send(self, to: Post, body: bytes) -> Reply:
        """One POST without httpx2's objects, which cost as much time as the exchange itself.

        Args:
            to: the prepared address and head (`post`).
            body: the bytes of the body.

        Raises:
            httpx2.TransportError: the exchange failed.
        """
        return await self._exchange(to.origin, b"%b%d\r\n\r\n" % (to.head, len(body)), body)

    async def _exchange(self, origin: tuple[str, int], head: bytes, body: bytes) -> Reply:
        idle = self._idle.get(origin)
        if idle is None:
            idle = self._idle[origin] = deque()
        connection = self._reuse(idle) or await self._connect(origin)
        try:
            reply = await connection.exchange(head, body)
            if connection.reusable():
                connection.idle_since = trio.current_time()
                idle.append(connection)
            else:
                connection.close()
        except OSError as error:
            connection.close()
            raise httpx2.ReadError(f"the connection broke: {error}") from error
        except httptools.HttpParserError as error:
            connection.close()
            raise httpx2.RemoteProtocolError(str(error)) from error
        except BaseException:
            connection.close()
            raise
        return reply

    async def aclose(self) -> None:
        """Close the idle connections; a connection in use is closed when its request ends."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _reuse(self, idle: deque[_Connection]) -> _Connection | None:
        # The oldest is on the left. The newest is taken, so few connections stay in use and the others can be closed.
        while idle and trio.current_time() - idle[0].idle_since > _IDLE_S:
            idle.popleft().close()
        while idle:
            connection = idle.pop()
            if not connection.stale():
                return connection
            connection.close()
        return None

    async def _connect(self, origin: tuple[str, int]) -> _Connection:
        try:
            stream = await trio.open_tcp_stream(*origin)
        except OSError as error:
            raise httpx2.ConnectError(error.strerror or str(error)) from error
        self._opened += 1
        connected = socket.socket(fileno=stream.socket.detach())
        connected.setblocking(False)
        return _Connection(connected)
