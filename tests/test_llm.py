"""The model client: what it sends, what it repeats, what it gives up on. No network and no real time but where said."""

from __future__ import annotations

import json
import math
import traceback
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from support.experts import a_client
from support.http_server import Answer, Asked, Fault, http_server

from harness.core.errors import CallError, HarnessError, InputError, RunStopped
from harness.core.messages import ChatRequest, Message, Usage
from harness.core.model.limit import InFlightLimit
from harness.core.model.llm import OpenAIChat, TooFewReplies
from harness.core.model.retry import RetryPolicy
from harness.core.model.wire import UnreadableReply, decode_chat, encode_chat
from harness.core.seams import Capabilities

KEY = "quite-secret-0123456789"  # of a shape that no pattern knows
Answering = Callable[[httpx2.Request], Coroutine[None, None, httpx2.Response]]


def run(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def _request(**changes: Any) -> ChatRequest:
    request = ChatRequest(
        role="actor",
        episode="e",
        turn=1,
        messages=(Message(role="system", content="be kind"), Message(role="user", content="hello")),
        max_tokens=64,
        temperature=0.5,
        seed=128,
    )
    return msgspec.structs.replace(request, **changes)


def _completion(*texts: str | None, finish: str = "stop", **usage: Any) -> dict[str, Any]:
    return {
        "id": "x",
        "object": "chat.completion",
        "choices": [
            {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
            for i, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15} | usage,
    }


def _chat(answer: Answering, **options: Any) -> OpenAIChat:
    return a_client("http://127.0.0.1:1/v1", "small", api_key=KEY, transport=httpx2.MockTransport(answer), **options)


class Server:
    """Answers in order: a status with a body, an exception to raise, or seconds to sleep first; then always well."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[httpx2.Headers] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        await trio.lowlevel.checkpoint()
        self.bodies.append(json.loads(request.content))
        self.headers.append(request.headers)
        answer = self.answers.pop(0) if self.answers else _completion("well")
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx2.Response):
            return answer
        if isinstance(answer, int):
            return httpx2.Response(answer, json={"error": {"message": f"said {answer}"}})
        return httpx2.Response(200, json=answer)


class VllmLike:
    """Knows ``/tokenize``, constrained choices and label reads, as vLLM 0.32 answers them."""

    def __init__(self, *, labels: bool = True, choices: bool = True, tokenize: bool = True) -> None:
        self.labels, self.choices, self.tokenize = labels, choices, tokenize
        self.paths: list[str] = []
        self.bodies: list[dict[str, Any]] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        await trio.lowlevel.checkpoint()
        body = json.loads(request.content)
        self.paths.append(request.url.path)
        self.bodies.append(body)
        if request.url.path == "/tokenize":
            if not self.tokenize:
                return httpx2.Response(404, json={"detail": "Not Found"})
            tokens = [1000 + ord(c) for c in body["prompt"]]
            return httpx2.Response(200, json={"count": len(tokens), "max_model_len": 99, "tokens": tokens})
        if "structured_outputs" in body:
            if not self.choices:
                return httpx2.Response(400, json={"error": {"message": "Unknown parameter: structured_outputs"}})
            return httpx2.Response(200, json=_completion(body["structured_outputs"].get("choice", ["text"])[-1]))
        answer = _completion("3", finish="length")
        if body.get("logprob_token_ids") and self.labels:
            top = [{"token": f"token_id:{i}", "logprob": -(i - 1048) / 10} for i in body["logprob_token_ids"]]
            answer["choices"][0]["logprobs"] = {
                "content": [{"token": "token_id:7", "logprob": -9, "top_logprobs": top}]
            }
        return httpx2.Response(200, json=answer)


# What is sent, what is read


def test_a_request_becomes_the_plain_chat_api_with_only_what_is_asked() -> None:
    async def main() -> None:
        server = Server()
        async with _chat(server) as chat:
            await chat.complete(_request())
            server.answers = [_completion(*["well"] * 10)]
            await chat.complete(_request(n=10, stop=("[END]", "\n"), json_schema=msgspec.Raw(b'{"type":"object"}')))
        plain = {
            "model": "small",
            "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}],
            "max_tokens": 64,
            "temperature": 0.5,
            "seed": 128,
        }
        assert server.bodies[0] == plain
        assert server.bodies[1] == plain | {
            "n": 10,
            "stop": ["[END]", "\n"],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "reply", "schema": {"type": "object"}, "strict": True},
            },
        }
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
        assert server.headers[0]["content-type"] == "application/json"

    run(main)


def test_a_reply_gives_its_texts_in_order_and_what_it_cost() -> None:
    body = _completion("a", "b", None, finish="length", prompt_tokens_details={"cached_tokens": 8})
    body["choices"].reverse()

    async def main() -> None:
        async with _chat(Server(body)) as chat:
            reply = await chat.complete(_request(n=3))
        assert reply.texts == ("a", "b", "")
        assert reply.usage == Usage(calls=1, prompt_tokens=12, cached_tokens=8, completion_tokens=3, truncated=3)
        assert reply.timing["retries"] == 0

    run(main)


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 5, "completion_tokens": None}])
def test_a_server_that_counts_no_tokens_is_understood(usage: dict[str, Any] | None) -> None:
    body = json.dumps(_completion("a") | {"usage": usage}).encode()
    reply = decode_chat(body, _request(), label_ids={})
    assert reply.usage.completion_tokens == 0


def test_thoughts_are_taken_out_of_every_reply_and_counted() -> None:
    body = _completion("<think>secret</think>a", "secret</think>", "c", None, None, None)
    body["choices"][3]["message"] |= {"reasoning_content": "secret"}
    body["choices"][4]["message"] |= {"reasoning": {"text": "secret"}}
    body["choices"][5]["message"]["content"] = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "secret"}]},
        {"type": "text", "text": "f"},
    ]
    reply = decode_chat(json.dumps(body).encode(), _request(n=6), label_ids={})
    assert reply.texts == ("a", "", "c", "", "", "f")
    assert reply.usage.thoughts == 5


def test_fields_for_thoughts_that_are_empty_are_no_thoughts() -> None:
    body = _completion("a", "b")
    body["choices"][0]["message"] |= {"reasoning_content": None, "reasoning": ""}
    body["choices"][1]["message"] |= {"reasoning": []}
    assert decode_chat(json.dumps(body).encode(), _request(n=2), label_ids={}).usage.thoughts == 0


def test_fewer_replies_than_asked_stop_the_run_and_more_are_left_out() -> None:
    async def main() -> None:
        async with _chat(Server(_completion("4"), _completion("4", "5", "3"))) as chat:
            with pytest.raises(TooFewReplies, match=r"gave 1 of the 10 replies .* reward\.mode = .*multinomial"):
                await chat.complete(_request(n=10))
            assert (await chat.complete(_request(n=2))).texts == ("4", "5")

    run(main)


@given(st.text(st.characters(exclude_categories=[])), st.sampled_from(["system", "user"]))
def test_every_text_can_be_sent_and_ordinary_ones_arrive_as_they_are(text: str, role: Any) -> None:
    request = _request(messages=(Message(role=role, content=text),))
    body = json.loads(encode_chat(request, model="m", label_ids={}, constrain=False))
    arrived = body["messages"][0]["content"]
    arrived.encode("utf-8")
    assert "\0" not in arrived
    if "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert arrived == text
    assert len(arrived) <= len(text)


def test_lone_surrogates_and_nul_become_replacement_characters() -> None:
    request = _request(messages=(Message(role="user", content="a\ud800b\0c\ud83d\ude00"),))
    body = json.loads(encode_chat(request, model="m", label_ids={}, constrain=False))
    assert body["messages"][0]["content"] == "a\ufffdb\ufffdc\U0001f600"


# What the server offers


def test_a_vllm_like_server_is_asked_once_and_constrained() -> None:
    async def main() -> None:
        server = VllmLike()
        async with _chat(server) as chat:
            assert await chat.capabilities() == Capabilities(label_logprobs=True, choices=True)
            asked = len(server.paths)
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(chat.complete, _request(choices=("yes", "no")))
            assert len(server.paths) == asked + 5
            assert server.bodies[-1]["structured_outputs"] == {"choice": ["yes", "no"]}
            await chat.complete(_request(pattern="Wants: .+"))
            assert server.bodies[-1]["structured_outputs"] == {"regex": "Wants: .+"}

    run(main)


def test_a_label_read_asks_for_token_ids_looked_up_once_and_returns_their_log_probabilities() -> None:
    async def main() -> None:
        server = VllmLike()
        async with _chat(server) as chat:
            labels = ("1", "2", "3", "4", "5", "9")
            reply = await chat.complete(_request(label_logprobs=labels, choices=labels, temperature=0.7, max_tokens=5))
            await chat.complete(_request(label_logprobs=labels))
        assert reply.label_logprobs == pytest.approx({k: -int(k) / 10 for k in labels} | {"1": -0.1, "9": -0.9})
        assert reply.usage.truncated == 0
        assert server.paths.count("/tokenize") == len(labels)
        body = server.bodies[-1]
        assert body["logprob_token_ids"] == [1000 + ord(label) for label in labels]
        assert (body["max_tokens"], body["logprobs"], body["temperature"]) == (1, True, 0.0)
        assert "structured_outputs" not in body

    run(main)


@pytest.mark.parametrize(
    ("server", "offers"),
    [
        (VllmLike(tokenize=False), Capabilities(label_logprobs=False, choices=True)),
        (VllmLike(labels=False), Capabilities(label_logprobs=False, choices=True)),
        (VllmLike(choices=False), Capabilities(label_logprobs=True, choices=False)),
    ],
)
def test_what_a_plain_server_lacks_is_found_out(server: VllmLike, offers: Capabilities) -> None:
    async def main() -> None:
        async with _chat(server) as chat:
            assert await chat.capabilities() == offers
            if not offers.label_logprobs:
                with pytest.raises(CallError, match="log-probabilities of labels"):
                    await chat.complete(_request(label_logprobs=("1", "2")))
            if not offers.choices:
                await chat.complete(_request(choices=("yes", "no")))
                assert "structured_outputs" not in server.bodies[-1]
                await chat.complete(_request(pattern="Wants: .+"))
                assert "structured_outputs" not in server.bodies[-1]

    run(main)


def test_a_label_of_two_tokens_is_refused_by_name() -> None:
    async def main() -> None:
        async with _chat(VllmLike()) as chat:
            with pytest.raises(CallError, match="'10' is 2 tokens"):
                await chat.complete(_request(label_logprobs=("1", "10")))

    run(main)


def test_labels_that_are_one_token_are_refused() -> None:
    class Blind(VllmLike):
        async def __call__(self, request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/tokenize":
                return httpx2.Response(200, json={"tokens": [0]})  # "unknown", whatever the text
            return await super().__call__(request)

    async def main() -> None:
        async with _chat(Blind()) as chat:
            assert not (await chat.capabilities()).label_logprobs

    run(main)


@pytest.mark.parametrize(("again", "read"), [(-0.1, True), (-3.0, False)])
def test_a_token_with_two_log_probabilities_is_unreadable(again: float, read: bool) -> None:
    top = [{"token": "1", "logprob": -0.1}, {"token": "2", "logprob": -4.0}, {"token": "1", "logprob": again}]
    body = _completion("1")
    body["choices"][0]["logprobs"] = {"content": [{"token": "1", "logprob": -0.1, "top_logprobs": top}]}
    request, ids = _request(label_logprobs=("1", "2")), {"1": 11, "2": 12}
    if read:
        assert decode_chat(json.dumps(body).encode(), request, label_ids=ids).label_logprobs == {"1": -0.1, "2": -4.0}
    else:
        with pytest.raises(UnreadableReply, match="two log-probabilities of one token"):
            decode_chat(json.dumps(body).encode(), request, label_ids=ids)


@pytest.mark.parametrize("well_answers", [0, 1, 3])
@pytest.mark.parametrize(("status", "kind"), [(500, CallError), (503, RunStopped)])
def test_an_ailing_server_is_not_taken_for_one_that_cannot(
    well_answers: int, status: int, kind: type[HarnessError]
) -> None:
    server = VllmLike()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if len(server.paths) < well_answers:
            return await server(request)
        return httpx2.Response(status, json={})

    async def main() -> None:
        async with _chat(answer) as chat:
            with pytest.raises(kind, match=str(status)):
                await chat.capabilities()

    run(main)


# What is repeated


@pytest.mark.parametrize(
    "failure",
    [
        429,
        500,
        502,
        503,
        httpx2.ConnectError("refused"),
        httpx2.ReadError("reset"),
        httpx2.RemoteProtocolError("half a body"),
        httpx2.Response(200, text="<html>a proxy's page</html>"),
        httpx2.Response(200, content=b'{"choices": [{"mess'),
        httpx2.Response(200, content=b"\xff\xfe"),
    ],
    ids=str,
)
def test_what_may_pass_is_repeated(failure: Any) -> None:
    async def main() -> None:
        server = Server(failure)
        async with _chat(server) as chat:
            start = trio.current_time()
            reply = await chat.complete(_request())
            assert reply.texts == ("well",)
            assert reply.timing["retries"] == 1
            assert 0.4 < trio.current_time() - start < 1.1
            assert reply.timing["seconds"] == pytest.approx(trio.current_time() - start)
            assert server.bodies[0] == server.bodies[1]

    run(main)


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, CallError), (413, CallError), (422, CallError), (401, RunStopped), (403, RunStopped), (404, RunStopped)],
)
def test_what_will_not_pass_is_not_repeated(status: int, error: type[Exception]) -> None:
    async def main() -> None:
        server = Server(status)
        async with _chat(server) as chat:
            with pytest.raises(error, match=f"said {status}") as caught:
                await chat.complete(_request())
        assert len(server.bodies) == 1
        assert type(caught.value) is error or issubclass(type(caught.value), error)
        assert "small at http://127.0.0.1:1/v1" in str(caught.value)

    run(main)


@pytest.mark.parametrize(("header", "least", "most"), [("7", 7, 8.8), ("100000", 60, 75.1), ("-3", 0, 0.01)])
def test_retry_after_is_honoured_and_capped(header: str, least: float, most: float) -> None:
    async def main() -> None:
        async with _chat(Server(httpx2.Response(429, headers={"retry-after": header}, json={}))) as chat:
            start = trio.current_time()
            await chat.complete(_request())
            assert least <= trio.current_time() - start <= most

    run(main)


def test_retry_after_may_be_a_date() -> None:
    async def main() -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
        async with _chat(Server(httpx2.Response(503, headers={"retry-after": date}, json={}))) as chat:
            start = trio.current_time()
            await chat.complete(_request())
            assert 15 <= trio.current_time() - start <= 26

    run(main)


def test_a_server_that_is_back_after_thirty_seconds_is_waited_for() -> None:
    start = 0.0

    async def answer(request: httpx2.Request) -> httpx2.Response:
        await trio.lowlevel.checkpoint()
        if trio.current_time() - start < 30:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(200, json=_completion("back"))

    async def main() -> None:
        nonlocal start
        start = trio.current_time()
        async with _chat(answer) as chat:
            assert (await chat.complete(_request())).texts == ("back",)
            assert trio.current_time() - start < 45

    run(main)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (httpx2.ConnectError("refused"), RunStopped),
        (429, RunStopped),
        (500, CallError),
        (httpx2.ReadError("x"), CallError),
    ],
)
def test_the_time_budget_ends_the_waiting(failure: Any, error: type[Exception]) -> None:
    async def main() -> None:
        async with _chat(Server(*[failure] * 1000), retry=RetryPolicy(budget_s=40)) as chat:
            start = trio.current_time()
            with pytest.raises(error, match="retries are spent"):
                await chat.complete(_request())
            assert 40 <= trio.current_time() - start < 55

    run(main)


def test_an_unreadable_answer_is_repeated_a_few_times_then_fails_this_call() -> None:
    async def main() -> None:
        server = Server(*[httpx2.Response(200, text="<html>") for _ in range(9)])
        async with _chat(server) as chat:
            with pytest.raises(CallError, match="unreadable"):
                await chat.complete(_request())
        assert len(server.bodies) == RetryPolicy(budget_s=60.0).unreadable_tries

    run(main)


def test_no_choice_at_all_fails_this_call_at_once() -> None:
    async def main() -> None:
        server = Server(_completion())
        async with _chat(server) as chat:
            with pytest.raises(CallError, match="without any choice"):
                await chat.complete(_request())
        assert len(server.bodies) == 1

    run(main)


def test_a_hanging_server_meets_the_deadline_and_frees_the_slot() -> None:
    hung = 0

    async def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal hung
        if json.loads(request.content)["seed"] == 0:
            hung += 1
            await trio.sleep(math.inf)
        return httpx2.Response(200, json=_completion("well"))

    async def main() -> None:
        async with _chat(answer, timeout_s=10, max_connections=1) as chat:
            start = trio.current_time()
            with pytest.raises(CallError, match="no answer within 10 s"):
                await chat.complete(_request(seed=0))
            assert hung == RetryPolicy(budget_s=60.0).deadline_tries
            assert 20 <= trio.current_time() - start < 22
            assert (await chat.complete(_request())).texts == ("well",)

    run(main)


def test_waiting_for_a_slot_does_not_count_against_the_deadline() -> None:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        await trio.sleep(8)
        return httpx2.Response(200, json=_completion("well"))

    async def main() -> None:
        async with _chat(answer, timeout_s=10, max_connections=2) as chat:
            start = trio.current_time()
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(chat.complete, _request())
            assert trio.current_time() - start == pytest.approx(40)

    run(main)


def test_cancelling_a_call_cancels_its_request_and_frees_its_slot() -> None:
    cancelled = 0

    async def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal cancelled
        try:
            await trio.sleep(5)
        except trio.Cancelled:
            cancelled += 1
            raise
        return httpx2.Response(200, json=_completion("well"))

    async def main() -> None:
        async with _chat(answer, max_connections=1) as chat:
            with trio.move_on_after(1):
                await chat.complete(_request())
            assert cancelled == 1
            assert (await chat.complete(_request())).texts == ("well",)

    run(main)


def test_a_bug_is_neither_repeated_nor_dressed_up() -> None:
    async def main() -> None:
        server = Server(ZeroDivisionError("a bug"))
        async with _chat(server) as chat:
            with pytest.raises(ZeroDivisionError):
                await chat.complete(_request())
        assert len(server.bodies) == 1

    run(main)


# 429 and concurrency


def test_a_burst_of_429_halves_the_calls_under_way_once_and_good_answers_restore_them() -> None:
    start = 0.0

    async def answer(request: httpx2.Request) -> httpx2.Response:
        await trio.sleep(1)
        if trio.current_time() - start < 1.5:
            return httpx2.Response(429, json={"error": {"message": "slow down"}})
        return httpx2.Response(200, json=_completion("well"))

    async def main() -> None:
        nonlocal start
        start = trio.current_time()
        async with _chat(answer, max_connections=40) as chat:

            async def look() -> None:
                await trio.sleep(1.2)
                assert chat.limit.allowed == 20

            async with trio.open_nursery() as nursery:
                nursery.start_soon(look)
                for _ in range(40):
                    nursery.start_soon(chat.complete, _request())
            assert 20 < chat.limit.allowed < 40
            for _ in range(3):
                async with trio.open_nursery() as nursery:
                    for _ in range(400):
                        nursery.start_soon(chat.complete, _request())
            assert chat.limit.allowed == 40

    run(main)


def test_the_limit_never_falls_below_one_call() -> None:
    async def main() -> None:
        limit = InFlightLimit(3)
        for _ in range(5):
            async with limit.slots:
                await trio.sleep(1)
                limit.pushed_back(trio.current_time())
                await trio.sleep(1)
        assert limit.allowed == 1

    run(main)


# Both ways to the server


@pytest.mark.parametrize("plain", [True, False])
def test_http_and_httpx2_carry_the_same_call_and_mean_the_same_by_its_failures(plain: bool) -> None:
    faults: list[Fault] = ["reset", "half"]

    async def say(asked: Asked) -> Answer | Fault:
        return faults.pop() if faults else Answer(json.dumps(_completion("well")).encode())

    async def main() -> None:
        async with http_server(say) as server:
            url = server.url.replace("//", "//me:pass%20word@")
            transport = None if plain else httpx2.AsyncHTTPTransport()
            policy = RetryPolicy(budget_s=60.0, wait_initial_s=0.001, wait_max_s=0.01)
            async with a_client(url, "small", api_key=KEY, transport=transport, retry=policy) as chat:
                reply = await chat.complete(_request())
        assert (reply.texts, reply.timing["retries"]) == (("well",), 2.0)
        async with a_client(server.url, "small", transport=transport, retry=RetryPolicy(budget_s=0.0)) as chat:
            with pytest.raises(RunStopped, match="no connection"):
                await chat.complete(_request())
        first = server.asked[0]
        assert (first.method, first.path) == ("POST", "/v1/chat/completions")
        assert {name: first.headers[name] for name in ("host", "content-type", "user-agent", "content-length")} == {
            "host": f"127.0.0.1:{server.port}",
            "content-type": "application/json",
            "user-agent": "rso-harness",
            "content-length": str(len(first.body)),
        }
        assert first.headers["authorization"] == f"Basic {b64encode(b'me:pass word').decode()}"
        assert json.loads(first.body)["messages"][1] == {"role": "user", "content": "hello"}
        assert [asked.body for asked in server.asked] == [first.body] * 3

    trio.run(main)


# Secrets and bad input


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 200])
@pytest.mark.parametrize("as_json", [True, False])
def test_no_message_holds_a_key_or_more_than_one_bounded_line(status: int, as_json: bool) -> None:
    said = f"bad key {KEY}\nAuthorization: Bearer {KEY} sk-another-one-123456 \x1b[31m" + "blah " * 500
    body = {"json": {"error": {"message": said}}} if as_json else {"text": f"<html>{said}</html>"}

    async def main() -> None:
        async with _chat(Server(*[httpx2.Response(status, **body) for _ in range(500)])) as chat:
            with pytest.raises((CallError, RunStopped)) as caught:
                await chat.complete(_request())
        message = str(caught.value)
        assert "\n" not in message
        assert "\x1b" not in message
        assert len(message) < 600
        assert "another-one" not in message
        assert KEY not in "".join(traceback.format_exception(caught.value))

    run(main)


def test_user_password_and_query_of_the_url_are_never_shown() -> None:
    async def main() -> None:
        url = f"http://user:{KEY}@127.0.0.1:1/v1?api_key={KEY}"
        async with a_client(url, "small", transport=httpx2.MockTransport(Server(400))) as chat:
            assert chat.shown_url == "http://127.0.0.1:1/v1"
            with pytest.raises(CallError) as caught:
                await chat.complete(_request())
        assert KEY not in str(caught.value)

    run(main)


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://host/v1", "http://", "", "http://host:port/v1"])
def test_a_url_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(InputError, match="base_url"):
        a_client(url, "small")


@pytest.mark.parametrize("key", ["", "  ", "with\nnewline", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(InputError, match="API key") as caught:
        a_client("http://host/v1", "small", api_key=key)
    assert "schl" not in str(caught.value)


# The real network path


def test_over_real_sockets_faults_are_repeated_and_connections_reused() -> None:
    faults: list[Answer | Fault] = ["reset", "half", Answer(b"{}", status=500), "hang"]

    async def say(asked: Asked) -> Answer | Fault:
        if faults:
            return faults.pop(0)
        assert asked.path == "/v1/chat/completions"
        return Answer(json.dumps(_completion("well")).encode())

    async def main() -> None:
        policy = RetryPolicy(budget_s=60.0, wait_initial_s=0.01, wait_max_s=0.02, deadline_tries=9)
        async with (
            http_server(say) as server,
            a_client(server.url, "small", timeout_s=0.5, retry=policy) as chat,
        ):
            reply = await chat.complete(_request())
            assert reply.texts == ("well",)
            assert reply.timing["retries"] >= 4  # more where this machine is too busy to answer within the deadline
            for _ in range(10):
                await chat.complete(_request())
            assert server.connections < 10
            assert server.asked[-1].headers["content-length"] == str(len(server.asked[-1].body))

    trio.run(main)


def test_over_real_sockets_a_dead_server_stops_the_run() -> None:
    async def say(asked: Asked) -> Answer | Fault:
        return "reset"

    async def main() -> None:
        async with http_server(say) as server:
            pass
        policy = RetryPolicy(budget_s=0.1, wait_initial_s=0.02, wait_max_s=0.02)
        async with a_client(server.url, "small", retry=policy) as chat:
            with pytest.raises(RunStopped, match="no connection"):
                await chat.complete(_request())

    trio.run(main)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {}),
        (402, {"error": {"message": "credit used up", "code": 402}}),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
        (429, {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}),
        (403, {"error": {"message": "Your credits have expired"}}),
        (403, {"error": {"message": "Your account is not active, please check your billing details"}}),
        (400, {"error": {"message": "Your credit balance is too low to access the API"}}),
        (400, {"code": "insufficient_balance", "message": "no"}),
        (200, {"choices": None, "error": {"message": "Insufficient credits", "code": 402}}),
    ],
)
def test_nothing_left_to_pay_with_stops_the_run_at_once(status: int, body: dict[str, Any]) -> None:
    asked = 0

    async def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal asked
        asked += 1
        return httpx2.Response(status, json=body)

    async def main() -> None:
        async with _chat(answer) as chat:
            with pytest.raises(RunStopped, match="the account has no credit left"):
                await chat.complete(_request())

    trio.run(main)
    assert asked == 1


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "the prompt is too long; you get no credit for trying", CallError),
        (403, "this key may not use this model", RunStopped),
        (429, "You exceeded your current quota, please check your plan", None),
        (429, "Rate limit reached for requests per minute", None),
        (503, "insufficient_quota of workers", None),
    ],
)
def test_other_refusals_are_not_taken_for_it(status: int, text: str, kind: type[HarnessError] | None) -> None:
    """A quota may be one for each minute: it is waited for."""

    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, json={"error": {"message": text}})

    async def main() -> None:
        async with _chat(answer) as chat:
            with pytest.raises(kind or RunStopped) as caught:
                await chat.complete(_request())
            assert "no credit left" not in str(caught.value)
            assert kind is not None or "the retries are spent" in str(caught.value)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_no_credit_for_tokenize_is_no_missing_route() -> None:
    server = VllmLike()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(402, json={}) if request.url.path.endswith("/tokenize") else await server(request)

    async def main() -> None:
        async with _chat(answer) as chat:
            with pytest.raises(RunStopped, match="the account has no credit left"):
                await chat.capabilities()

    trio.run(main)
