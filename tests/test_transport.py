"""The plain transport over real loopback sockets: reuse, staleness, broken answers, cancellation."""

from __future__ import annotations

import socket

import httpx2
import pytest
import trio
from support.http_server import Answer, Asked, Fault, http_server

from harness.core.model.transport import PlainTransport, post


async def _echo(asked: Asked) -> Answer | Fault:
    return Answer(b"echo " + asked.body)


def _request(url: str, body: bytes = b"hello") -> httpx2.Request:
    return httpx2.Request("POST", url, content=body, headers={"x-test": "1"})


def test_one_connection_serves_many_requests_in_a_row() -> None:
    async def main() -> None:
        async with http_server(_echo) as server, PlainTransport() as transport:
            for i in range(20):
                response = await transport.handle_async_request(_request(server.url, b"%d" % i))
                assert (response.status_code, response.content) == (200, b"echo %d" % i)
                assert response.headers["content-type"] == "application/json"
            assert transport.statistics() == (1, 1)
        assert server.asked[0].headers["x-test"] == "1"

    trio.run(main)


def test_requests_at_once_get_a_connection_each_and_their_own_answer() -> None:
    async def main() -> None:
        async with http_server(_echo) as server, PlainTransport() as transport:

            async def one(i: int) -> None:
                response = await transport.handle_async_request(_request(server.url, b"%d" % i * 50_000))
                assert response.content == b"echo " + b"%d" % i * 50_000

            async with trio.open_nursery() as nursery:
                for i in range(30):
                    nursery.start_soon(one, i)
            opened, idle = transport.statistics()
            assert idle == opened <= 30

    trio.run(main)


def test_a_body_that_no_socket_takes_at_once_arrives_whole() -> None:
    body = b"0123456789abcdef" * 2**20

    async def same(asked: Asked) -> Answer | Fault:
        return Answer(b"%d %r" % (len(asked.body), asked.body == body))

    async def main() -> None:
        async with http_server(same) as server, PlainTransport() as transport:
            assert (await transport.handle_async_request(_request(server.url, body))).content == b"16777216 True"

    trio.run(main)


def test_an_idle_connection_that_the_server_closed_is_not_used_again() -> None:
    async def main() -> None:
        async with http_server(_echo) as server, PlainTransport() as transport:
            await transport.handle_async_request(_request(server.url))
            await server.drop_all()
            await trio.sleep(0.01)
            assert (await transport.handle_async_request(_request(server.url))).content == b"echo hello"
            assert transport.statistics() == (2, 1)

    trio.run(main)


@pytest.mark.parametrize("answer", [Answer(b"x" * 1000, chunked=True), Answer(b"", chunked=False)])
def test_bodies_of_every_framing_are_read_whole(answer: Answer) -> None:
    async def say(asked: Asked) -> Answer | Fault:
        return answer

    async def main() -> None:
        async with http_server(say) as server, PlainTransport() as transport:
            for _ in range(2):
                assert (await transport.handle_async_request(_request(server.url))).content == answer.body
            assert transport.statistics() == (1, 1)

    trio.run(main)


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux lets a client acknowledge at once")
def test_a_server_that_sends_head_and_body_apart_costs_no_delayed_acknowledgement() -> None:
    async def say(asked: Asked) -> Answer | Fault:
        return Answer(b"well", apart=True)

    async def main() -> None:
        async with http_server(say) as server, PlainTransport() as transport:
            took: list[float] = []
            for _ in range(20):
                start = trio.current_time()
                await transport.handle_async_request(_request(server.url))
                took.append(trio.current_time() - start)
            # The kernel's delayed acknowledgement is 40 ms in every call but the first few; without it, under 1 ms.
            assert sorted(took)[5] < 0.03

    trio.run(main)


def test_a_server_that_closes_after_its_answer_is_believed() -> None:
    async def say(asked: Asked) -> Answer | Fault:
        return Answer(b"bye", close=True)

    async def main() -> None:
        async with http_server(say) as server, PlainTransport() as transport:
            for _ in range(3):
                assert (await transport.handle_async_request(_request(server.url))).content == b"bye"
            assert transport.statistics() == (3, 0)

    trio.run(main)


@pytest.mark.parametrize("fault", ["reset", "half"])
def test_a_broken_answer_is_a_transport_error_and_its_connection_is_gone(fault: Fault) -> None:
    faults: list[Fault] = [fault]

    async def say(asked: Asked) -> Answer | Fault:
        return faults.pop() if faults else Answer(b"well")

    async def main() -> None:
        async with http_server(say) as server, PlainTransport() as transport:
            with pytest.raises(httpx2.TransportError):
                await transport.handle_async_request(_request(server.url))
            assert transport.statistics()[1] == 0
            assert (await transport.handle_async_request(_request(server.url))).content == b"well"

    trio.run(main)


@pytest.mark.parametrize(
    ("raw", "body", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell", b"well", True),
        (b"HTTP/1.1 100 Continue\r\nx: 1\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell", b"well", True),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nwell", b"well", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwellHTTP/1.1 200 OK\r\n", b"well", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut", None, False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ncut\r\n", None, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None, False),
        (b"SSH-2.0-OpenSSH_9.6\r\n", None, False),
        (b"", None, False),
    ],
)
def test_what_a_server_writes_is_read_to_the_byte_or_refused(raw: bytes, body: bytes | None, kept: bool) -> None:
    """Each answer comes in pieces of one byte, then the server closes unless the connection is to be kept."""

    async def serve(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await stream.receive_some()
        if b"wellHTTP" in raw:
            await stream.send_all(raw)
        else:
            for place in range(len(raw)):
                await stream.send_all(raw[place : place + 1])
        if not kept:
            await stream.aclose()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            port = listeners[0].socket.getsockname()[1]
            async with PlainTransport() as transport:
                prepared = post(httpx2.URL(f"http://127.0.0.1:{port}/v1"), httpx2.Headers())
                if body is None:
                    with pytest.raises(httpx2.RemoteProtocolError):
                        await transport.send(prepared, b"hello")
                else:
                    reply = await transport.send(prepared, b"hello")
                    assert (reply.status, reply.body) == (200, body)
                    assert all(name != b"x" for name, _ in reply.headers)
                assert transport.statistics()[1] == kept
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_nobody_listening_is_a_connect_error() -> None:
    async def main() -> None:
        async with http_server(_echo) as server:
            pass
        async with PlainTransport() as transport:
            with pytest.raises(httpx2.ConnectError):
                await transport.handle_async_request(_request(server.url))

    trio.run(main)


def test_after_two_thousand_cancelled_calls_the_next_hundred_succeed_and_no_socket_leaks() -> None:
    hang = True

    async def say(asked: Asked) -> Answer | Fault:
        return "hang" if hang else Answer(b"well")

    async def main() -> None:
        nonlocal hang
        async with http_server(say) as server, PlainTransport() as transport:
            limiter = trio.CapacityLimiter(50)

            async def cancelled() -> None:
                async with limiter:
                    with trio.move_on_after(0.002):
                        await transport.handle_async_request(_request(server.url))

            async with trio.open_nursery() as nursery:
                for _ in range(2000):
                    nursery.start_soon(cancelled)
            assert transport.statistics()[1] == 0
            hang = False
            answers = 0

            async def call() -> None:
                nonlocal answers
                async with limiter:
                    response = await transport.handle_async_request(_request(server.url))
                answers += response.content == b"well"

            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    for _ in range(100):
                        nursery.start_soon(call)
            assert answers == 100
            assert transport.statistics()[1] <= 50

    trio.run(main)
