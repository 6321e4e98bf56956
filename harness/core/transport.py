"""Plain HTTP/1.1 for httpx2 on trio: one connection a request under way, idle ones on a stack.

The stock pool looks through all of its connections on every request, so its cost grows with their number: at 64 / 256
requests in flight one call through it took 0.48 / 0.76 ms of CPU, through this transport 0.22 / 0.19 ms (same client
above, 2-core x86 machine). The caller bounds how many requests are under way (`harness.core.limit`), so the pool needs
no bound and no queue of its own. A connection whose request failed or was cancelled is closed, never reused.

Built on h11 and trio, in the manner of httpcore's connections. Left out: TLS, HTTP/2, proxies (`llm.py` uses httpx2's
own transport for https), time limits (callers hold a cancel scope) and retries (`retry.py`).
"""

from __future__ import annotations

import select
import socket
from collections import deque

import h11
import httpx2
import trio

_READ_BYTES = 65536
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only
_MOST_BYTES = 64 * 2**20
"""A body beyond this is no model's reply; reading on would only fill the memory."""
_IDLE_S = 60.0
"""Idle connections above this age are closed when the next request passes by; fewer open files, no timer."""


class _Connection:
    __slots__ = ("_parser", "_poll", "_stream", "idle_since")

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._parser = h11.Connection(h11.CLIENT)
        self._poll = select.poll()
        self._poll.register(stream.socket.fileno(), select.POLLIN)
        self.idle_since = 0.0

    def stale(self) -> bool:
        """Whether the server closed (or wrote to) an idle connection: either way it is readable."""
        return bool(self._poll.poll(0))

    async def exchange(self, request: httpx2.Request) -> httpx2.Response:
        parser = self._parser
        body = await request.aread()
        head = h11.Request(
            method=request.method.encode("ascii"), target=request.url.raw_path, headers=request.headers.raw
        )
        # One write a request: head and body in one segment where they fit.
        parts = [parser.send(head), parser.send(h11.Data(data=body)) if body else b"", parser.send(h11.EndOfMessage())]
        await self._stream.send_all(b"".join(part for part in parts if part))
        if _QUICKACK is not None:
            # asyncio leaves Nagle's algorithm on for listeners that it is handed (vLLM hands uvicorn one), and uvicorn
            # writes head and body apart: the body then waits for our delayed acknowledgement, 40 ms a call (measured:
            # median 48 ms, with this 0.5 ms). The kernel forgets the option, so it is set for each answer.
            self._stream.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        response: h11.Response | None = None
        chunks: list[bytes] = []
        size = 0
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(await self._stream.receive_some(_READ_BYTES))
            elif isinstance(event, h11.Data):
                chunks.append(bytes(event.data))
                size += len(event.data)
                if size > _MOST_BYTES:
                    raise httpx2.ReadError(f"a response body above {_MOST_BYTES} bytes", request=request)
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise httpx2.RemoteProtocolError("the server closed the connection without an answer", request=request)
        assert response is not None  # h11 gives no EndOfMessage before a Response
        return httpx2.Response(
            response.status_code, headers=list(response.headers.raw_items()), content=b"".join(chunks), request=request
        )

    def reusable(self) -> bool:
        """Ready for the next request, if both sides finished this one and want to go on."""
        if self._parser.our_state is not h11.DONE or self._parser.their_state is not h11.DONE:
            return False
        self._parser.start_next_cycle()
        return True

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)


class PlainTransport(httpx2.AsyncBaseTransport):
    """An httpx2 transport for ``http://`` URLs; `statistics` tells how many connections were opened and lie idle."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], deque[_Connection]] = {}
        self._opened = 0

    def statistics(self) -> tuple[int, int]:
        """(connections opened so far, connections idle now)."""
        return self._opened, sum(len(idle) for idle in self._idle.values())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One exchange; raises `httpx2.TransportError`."""
        origin = (request.url.host, request.url.port or 80)
        idle = self._idle.setdefault(origin, deque())
        connection = await self._reuse(idle) or await self._connect(origin, request)
        try:
            response = await connection.exchange(request)
            if connection.reusable():
                connection.idle_since = trio.current_time()
                idle.append(connection)
            else:
                await connection.close()
        except (trio.BrokenResourceError, OSError) as error:
            await connection.close()
            raise httpx2.ReadError(f"the connection broke: {error.__cause__ or error}", request=request) from error
        except h11.RemoteProtocolError as error:
            await connection.close()
            raise httpx2.RemoteProtocolError(str(error), request=request) from error
        except BaseException:
            await connection.close()
            raise
        return response

    async def aclose(self) -> None:
        """Close the idle connections; those of requests under way end with their requests."""
        for idle in self._idle.values():
            while idle:
                await idle.pop().close()

    async def _reuse(self, idle: deque[_Connection]) -> _Connection | None:
        # The oldest lie on the left; the newest is taken, so that few stay warm and the rest can go.
        while idle and trio.current_time() - idle[0].idle_since > _IDLE_S:
            await idle.popleft().close()
        while idle:
            connection = idle.pop()
            if not connection.stale():
                return connection
            await connection.close()
        return None

    async def _connect(self, origin: tuple[str, int], request: httpx2.Request) -> _Connection:
        try:
            stream = await trio.open_tcp_stream(*origin)
        except OSError as error:
            raise httpx2.ConnectError(error.strerror or str(error), request=request) from error
        self._opened += 1
        return _Connection(stream)
