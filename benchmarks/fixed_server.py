"""A model server that costs nothing and takes its time: every chat reply after a fixed latency, trivial words by role.

``python -m benchmarks.fixed_server --latency-s 0.1 --parent-fd N`` announces itself as the scripted world does and ends
with its parent. Left out is what would load the machine beside the harness that is measured: no HTTP framework, no JSON
decoding, no world. A role is told by its name at the head of the system message; the judge always gives the same label
probabilities, below the stop rule's threshold, so that every conversation has all its turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httptools

_ROOT = Path(__file__).parents[1]
LOGPROBS = (-2.5, -2.0, -1.2, -1.6, -3.5)
"""Of the labels 1 to 5: a mean reward near 0.5, far from the threshold."""
TEXTS: Mapping[str, str] = {
    "preference_reasoner": "Wants: crime; Al Pacino; 1990s",
    "actor": '{"text": "Heat (1995) is a crime drama of the kind that you describe, and Al Pacino is in it. '
    'Would you like to watch it tonight?", "items": [1]}',
    "seeker": "Feelings: I am curious what comes next.\nReply: That sounds good, but tell me a little more about it.",
}


def _reply(text: str, logprobs: object = None, tokens: int = 28) -> bytes:
    message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None, "tool_calls": []}
    body = {
        "id": "chatcmpl-123",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "fixed",
        "choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 512,
            "total_tokens": 512 + tokens,
            "completion_tokens": tokens,
            "prompt_tokens_details": {"cached_tokens": 384},
        },
    }
    return _http(json.dumps(body).encode())


def _http(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _judgement() -> bytes:
    top = [{"token": f"token_id:{48 + k}", "logprob": p} for k, p in enumerate(LOGPROBS, start=1)]
    return _reply("3", {"content": [{"token": "token_id:51", "logprob": LOGPROBS[2], "top_logprobs": top}]}, tokens=1)


class _Connection(asyncio.Protocol):
    """One connection; parsed by httptools, answered by timer."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._replies = {role.encode(): _reply(text) for role, text in TEXTS.items()}
        self._judgement = _judgement()
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._url == b"/tokenize":
            label = json.loads(self._body)["prompt"]
            self._answer(_http(json.dumps({"tokens": [ord(label)]}).encode()))
            return
        reply = self._judgement
        for role, words in self._replies.items():
            if b"ROLE\\n" + role in self._body:
                reply = words
                break
        asyncio.get_running_loop().call_later(self._latency_s, self._answer, reply)

    def _answer(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)


async def _serve(latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency_s), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"event": "listening", "url": f"http://127.0.0.1:{port}"}), flush=True)
    await server.serve_forever()


def _end_with_parent(fd: int) -> None:
    while os.read(fd, 1):
        pass
    os._exit(0)


@contextmanager
def fixed_server(latency_s: float) -> Iterator[str]:
    """The server as a process; its base URL (``.../v1``)."""
    watched, held = os.pipe()
    command = [
        sys.executable,
        "-m",
        "benchmarks.fixed_server",
        "--latency-s",
        str(latency_s),
        "--parent-fd",
        str(watched),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=(watched,), cwd=_ROOT)
    os.close(watched)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"] + "/v1"
    finally:
        os.close(held)
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency-s", type=float, required=True)
    parser.add_argument("--parent-fd", type=int, required=True)
    options = parser.parse_args()
    threading.Thread(target=_end_with_parent, args=(options.parent_fd,), daemon=True).start()
    asyncio.run(_serve(options.latency_s))
