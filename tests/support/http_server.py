"""A tiny HTTP/1.1 server on trio and h11 for tests of the real network path, with faults on request.

``async with http_server(answer) as server`` listens on a free loopback port. ``answer`` gets each request and says
what to send: an `Answer`, or ``"reset"`` / ``"half"`` / ``"hang"``.
"""

from __future__ import annotations

import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import h11
import trio


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """One response; ``chunked`` leaves the length out, ``close`` ends the connection after it, ``apart`` sends head and
    body in two writes under Nagle's algorithm."""

    body: bytes
    status: int = 200
    chunked: bool = False
    close: bool = False
    apart: bool = False


Fault = Literal["reset", "half", "hang"]


@dataclass
class Server:
    """Where the server listens and what it has seen."""

    port: int = 0
    connections: int = 0
    open_now: int = 0
    asked: list[Asked] = field(default_factory=list)
    _streams: set[trio.SocketStream] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def drop_all(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for stream in list(self._streams):
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def http_server(answer: Callable[[Asked], Awaitable[Answer | Fault]]) -> AsyncIterator[Server]:
    server = Server()

    async def serve(stream: trio.SocketStream) -> None:
        server.connections += 1
        server.open_now += 1
        server._streams.add(stream)
        try:
            async with stream:
                await _serve_connection(stream, server, answer)
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass
        finally:
            server.open_now -= 1
            server._streams.discard(stream)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=4096)
        server.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield server
        nursery.cancel_scope.cancel()


async def _serve_connection(
    stream: trio.SocketStream, server: Server, answer: Callable[[Asked], Awaitable[Answer | Fault]]
) -> None:
    while True:
        parser = h11.Connection(h11.SERVER)
        asked = await _read(stream, parser)
        if asked is None:
            return
        server.asked.append(asked)
        said = await answer(asked)
        if said == "hang":
            await trio.sleep(math.inf)
        if said == "reset":
            return
        if said == "half":
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 500)
            return
        assert isinstance(said, Answer)
        headers = [("content-type", "application/json")]
        headers.append(("transfer-encoding", "chunked") if said.chunked else ("content-length", str(len(said.body))))
        if said.close:
            headers.append(("connection", "close"))
        out = parser.send(h11.Response(status_code=said.status, headers=headers))
        if said.apart:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
            await stream.send_all(out or b"")
            out = b""
        for start in range(0, len(said.body), 7 if said.chunked else max(1, len(said.body))):
            size = 7 if said.chunked else len(said.body)
            out = (out or b"") + (parser.send(h11.Data(data=said.body[start : start + size])) or b"")
        await stream.send_all((out or b"") + (parser.send(h11.EndOfMessage()) or b""))
        if said.close:
            return


async def _read(stream: trio.SocketStream, parser: h11.Connection) -> Asked | None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            parser.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            headers = {name.decode(): value.decode() for name, value in head.headers}
            return Asked(head.method.decode(), head.target.decode(), headers, body)
        else:
            return None
