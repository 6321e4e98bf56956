"""The scripted world behind HTTP: an ASGI app with the OpenAI routes, and `serve`, which runs it on loopback.

Routes: ``/v1/chat/completions``, ``/v1/models``, ``/tokenize``, ``/health``, ``/metrics`` (Prometheus text with vLLM's
names), ``/faults`` where faults are allowed. The server remembers no conversation; it counts tokens and models a prefix
cache. It binds 127.0.0.1 only and ends when the inherited ``parent_fd`` reaches end of file, so it never outlives the
process that started it, kill -9 included. It imports no torch.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from harness.core.errors import InputError
from harness.domain.knowledge_graph import KnowledgeGraph
from simulator.scripted import faults as faulty
from simulator.scripted import protocol
from simulator.scripted.protocol import MODEL, BadRequest, ChatBody
from simulator.scripted.roles import NotOfThisWorld, Prompt, World, read
from simulator.scripted.tokens import PrefixCache, ids, prompt_ids

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_JSON = b"application/json"
_MAX_BODY = 8 * 1024 * 1024
_ENCODER = msgspec.json.Encoder()


class App:
    """The ASGI application."""

    def __init__(self, graph: KnowledgeGraph, *, latency_s: float = 0.0, faults: bool = False) -> None:
        self._world = World(graph)
        self._latency_s = latency_s
        self._faults = faulty.Faults() if faults else None
        self._cache = PrefixCache()
        self._running = 0
        self._requests = 0
        self._prompt_tokens = 0
        self._completion_tokens = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = (scope["method"], scope["path"])
        try:
            match route:
                case ("POST", "/v1/chat/completions"):
                    await self._chat(scope, receive, send)
                case ("POST", "/tokenize"):
                    request = protocol.decode_tokenize(await _body(receive))
                    tokens = ids(request.prompt)
                    found = {"count": len(tokens), "max_model_len": protocol.CONTEXT, "tokens": tokens}
                    await _send(send, 200, _ENCODER.encode(found))
                case ("GET", "/v1/models"):
                    card = {"id": MODEL, "object": "model", "created": 0, "owned_by": "scripted"}
                    card["max_model_len"] = protocol.CONTEXT
                    await _send(send, 200, _ENCODER.encode({"object": "list", "data": [card]}))
                case ("GET", "/health"):
                    await _send(send, 200, b"")
                case ("GET", "/metrics"):
                    await _send(send, 200, self._metrics().encode(), b"text/plain; version=0.0.4")
                case (("GET" | "POST"), "/faults") if self._faults is not None:
                    if route[0] == "POST":
                        self._faults.replace(await _body(receive))
                    await _send(send, 200, _ENCODER.encode(self._faults.rules))
                case _:
                    raise BadRequest(f"no route {route[0]} {route[1]}", status=404, code="not_found")
        except BadRequest as error:
            content = protocol.error_body(str(error), error.code, error.status)
            await _send(send, error.status, _ENCODER.encode(content))
        except msgspec.DecodeError as error:
            content = protocol.error_body(f"invalid body: {error}", "invalid_request_error", 400)
            await _send(send, 400, _ENCODER.encode(content))

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = protocol.decode_chat(await _body(receive))
        try:
            prompt = read(request.chat())
        except NotOfThisWorld as error:
            raise BadRequest(str(error)) from error
        rule = self._faults.take(prompt.role, prompt.text) if self._faults else None
        self._running += 1
        try:
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            if rule is not None and rule.kind != "text" and await _suffer(rule, scope, receive, send):
                return
            content = self._complete(request, prompt, rule)
        finally:
            self._running -= 1
        if rule is not None and rule.kind == "half_body":
            await _send(send, 200, content[: len(content) // 2], length=len(content))
            faulty.hang_up(scope)
            await receive()
        else:
            await _send(send, 200, content)

    def _complete(self, request: ChatBody, prompt: Prompt, rule: faulty.Rule | None) -> bytes:
        fixed = (rule.texts or (rule.text,)) if rule and rule.kind == "text" else None
        tokens = prompt_ids([message.content for message in request.chat()])
        if len(tokens) + (request.limit or 0) > protocol.CONTEXT:
            raise BadRequest(
                f"This model's maximum context length is {protocol.CONTEXT} tokens, the request has {len(tokens)}.",
                code="context_length_exceeded",
            )
        cached = self._cache.look_up(tokens)
        if fixed is None:
            texts = self._world.replies(prompt, n=request.n, seed=request.seed, temperature=request.heat)
            if request.choices:
                texts = [protocol.constrain(text, request.choices) for text in texts]
        else:
            texts = [fixed[index % len(fixed)] for index in range(request.n)]
        labels = self._world.label_probabilities(prompt) if request.logprobs else {}
        choices, said = [], 0
        for index, text in enumerate(texts):
            shown, reason, count = protocol.cut(text, request.stops, request.limit)
            said += count
            choices.append(
                {
                    "index": index,
                    "message": {"role": "assistant", "content": shown},
                    "finish_reason": reason,
                    "logprobs": protocol.first_token_logprobs(request, text, labels),
                }
            )
        if rule is not None:
            choices = faulty.spoilt(choices, rule)
        self._requests += 1
        self._prompt_tokens += len(tokens)
        self._completion_tokens += said
        usage = {
            "prompt_tokens": len(tokens),
            "completion_tokens": said,
            "total_tokens": len(tokens) + said,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        reply = {
            "id": f"chatcmpl-{self._requests}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": MODEL,
            "choices": choices,
            "usage": usage,
        }
        return _ENCODER.encode(reply)

    def _metrics(self) -> str:
        values = {
            "vllm:num_requests_running": ("gauge", self._running),
            "vllm:num_requests_waiting": ("gauge", 0),
            "vllm:prompt_tokens_total": ("counter", self._prompt_tokens),
            "vllm:generation_tokens_total": ("counter", self._completion_tokens),
            "vllm:prefix_cache_queries_total": ("counter", self._cache.queries),
            "vllm:prefix_cache_hits_total": ("counter", self._cache.hits),
            "vllm:request_success_total": ("counter", self._requests),
        }
        return "".join(
            f'# TYPE {name} {kind}\n{name}{{model_name="{MODEL}"}} {value}\n' for name, (kind, value) in values.items()
        )


def serve(
    graph: Path,
    *,
    port: int = 0,
    latency_s: float = 0.0,
    parent_fd: int | None = None,
    faults: bool = False,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve until a signal comes or the parent ends.

    Args:
        graph: the file of the knowledge graph.
        port: 0 takes a free one.
        latency_s: seconds that each reply waits.
        parent_fd: a pipe; its end of file ends the server.
        faults: whether ``/faults`` is allowed.
        announce: gets the ready line ``{"event": "listening", "url": "http://127.0.0.1:PORT", "pid": ...}``; by
            default it is printed.

    Raises:
        InputError: the graph is unusable, or the port is in use.
    """
    app = App(KnowledgeGraph.load(graph), latency_s=latency_s, faults=faults)
    # With the protocol TCP named: otherwise asyncio leaves Nagle's algorithm on, which delays each body by 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(f"cannot listen on 127.0.0.1:{port}: {error}") from error
    if parent_fd is not None:
        threading.Thread(target=_end_with_parent, args=(parent_fd,), daemon=True).start()
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=faulty.TrackedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=2048,
        timeout_keep_alive=600,
        timeout_graceful_shutdown=1,
    )
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    ready = json.dumps({"event": "listening", "url": url, "pid": os.getpid()})
    asyncio.run(_run(uvicorn.Server(config), listener, lambda: (announce or _print)(ready)))


async def _run(server: uvicorn.Server, listener: socket.socket, ready: Callable[[], None]) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn offers no event for this
        await asyncio.sleep(0.002)
    if server.started:
        ready()
    await serving


def _print(line: str) -> None:
    print(line, flush=True)


def _end_with_parent(fd: int) -> None:
    while os.read(fd, 1):
        pass
    os._exit(0)


async def _suffer(rule: faulty.Rule, scope: Scope, receive: Receive, send: Send) -> bool:
    """Carry out a fault; True if the request ends with it."""
    match rule.kind:
        case "status":
            headers = [] if rule.retry_after is None else [(b"retry-after", f"{rule.retry_after:g}".encode())]
            content = protocol.error_body(rule.text or f"injected status {rule.status}", "injected", rule.status)
            await _send(send, rule.status, _ENCODER.encode(content), headers=headers)
        case "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        case "reset":
            faulty.reset(scope)
            await receive()  # uvicorn then knows that no response will come
        case "html":
            await _send(send, 200, b"<html><body>gateway</body></html>", b"text/html")
        case "die":
            faulty.die()
        case "delay":
            await asyncio.sleep(rule.seconds)
            return False
        case _:
            return False
    return True


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the client went away")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _MAX_BODY:
            raise BadRequest(f"the body is larger than {_MAX_BODY} bytes", status=413)
        more = message.get("more_body", False)
    return b"".join(parts)


async def _send(
    send: Send,
    status: int,
    content: bytes,
    kind: bytes = _JSON,
    *,
    length: int | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    size = len(content) if length is None else length
    fields = [(b"content-type", kind), (b"content-length", str(size).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": content, "more_body": len(content) < size})
