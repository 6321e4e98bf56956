"""The server as clients meet it: a process on loopback with the OpenAI routes, faults, and an end with its parent."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.sections import prompt
from simulator.personas import PERSONAS

FIXTURE = Path(__file__).parent.parent / "fixtures" / "films.json"
COMMAND = [sys.executable, "-m", "simulator.scripted", "--graph", str(FIXTURE)]
DIALOGUE = "Seeker: Hi.\nRecommender: Hello?\nSeeker: Okay, go on. I want some crime."
DIGITS = [ord(digit) for digit in "12345"]


@contextmanager
def running(*options):
    """A server with a parent pipe; yields (address, process, the parent's end of the pipe)."""
    reader, writer = os.pipe()
    parent = os.fdopen(writer, "wb")
    process = subprocess.Popen(
        [*COMMAND, "--parent-fd", str(reader), *options], pass_fds=[reader], stdout=subprocess.PIPE, text=True
    )
    os.close(reader)
    assert process.stdout is not None
    try:
        line = json.loads(process.stdout.readline())
        assert line["event"] == "listening"
        yield line["url"].removeprefix("http://"), process, parent
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        parent.close()


@pytest.fixture(scope="module")
def server():
    with running("--faults") as (address, _, _):
        yield address


def call(address, method, path, body=None):
    """(status, headers, bytes) over a fresh connection."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, content, {"content-type": "application/json"})
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


def request(role="reward", user=None, **fields):
    messages = [{"role": m.role, "content": m.content} for m in prompt(role, "Do it.", user or {"DIALOGUE": DIALOGUE})]
    return {"model": "scripted-world", "messages": messages, **fields}


def chat(address, role="reward", user=None, **fields):
    status, _, content = call(address, "POST", "/v1/chat/completions", request(role, user, **fields))
    assert status == 200, content
    return json.loads(content)


def texts(reply):
    return [choice["message"]["content"] for choice in reply["choices"]]


def test_all_roles_answer(server):
    seeker = {"PERSONA": PERSONAS[0].text, "GOAL": "Wish:\n- genre: crime"}
    assert "Reply: " in texts(chat(server, "seeker", seeker))[0]
    assert texts(chat(server, "preference_reasoner")) == ["Wants: crime"]
    actor = {"DIALOGUE": DIALOGUE, "STRATEGY": "OFFER HELP: x"}
    assert json.loads(texts(chat(server, "actor", actor))[0])["items"] == []
    for judge in ("reward", "evaluator"):
        assert set(texts(chat(server, judge, n=10, max_tokens=1))) <= set("12345")


def test_seeds_make_replies_reproducible(server):
    first, again, other = (texts(chat(server, n=10, seed=seed)) for seed in (64, 64, 128))
    assert first == again != other


def test_one_decode_step_gives_the_log_probabilities_of_the_asked_tokens(server):
    reply = chat(server, max_tokens=1, logprobs=True, logprob_token_ids=[*DIGITS, 120])
    top = {e["token"]: e["logprob"] for e in reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]}
    assert list(top) == ["1", "2", "3", "4", "5", "x"]
    mass = sum(2.718281828459045 ** top[digit] for digit in "12345")
    assert 0.95 < mass < 1.0
    assert top["x"] < -10
    assert reply["usage"]["completion_tokens"] == 1


def test_choices_constrain_and_extras_are_ignored(server):
    reply = chat(server, structured_outputs={"choice": ["2", "5"]}, priority=3, cache_salt="x", n=10, seed=0)
    assert set(texts(reply)) <= {"2", "5"}
    schema = {"type": "json_schema", "json_schema": {"name": "r", "schema": {"type": "object"}}}
    assert chat(server, response_format=schema)["choices"]


def test_max_tokens_and_stop_cut_the_text(server):
    seeker = {"PERSONA": PERSONAS[0].text, "GOAL": "Wish:\n- genre: crime"}
    whole = texts(chat(server, "seeker", seeker, seed=1))[0]
    short = chat(server, "seeker", seeker, seed=1, max_tokens=4)
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 4
    assert whole.startswith(texts(short)[0])
    assert len(texts(short)[0]) < len(whole)
    assert texts(chat(server, "seeker", seeker, seed=1, stop=["\nReply"]))[0] == whole.split("\nReply")[0]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "invalid"),
        ({"model": "scripted-world"}, 400, "messages"),
        ({"model": "other", "messages": [{"role": "user", "content": "x"}]}, 404, "other"),
        ({"model": "scripted-world", "messages": [{"role": "user", "content": "x"}]}, 400, "ROLE"),
        ({"model": "scripted-world", "messages": []}, 400, "empty"),
        (request(n=0), 400, "n must"),
        (request(temperature=-1), 400, "temperature"),
        (request(max_tokens=0), 400, "max_tokens"),
        (request(stream=True), 400, "stream"),
        (request(response_format={"type": "json_schema"}), 400, "schema"),
        (request(user={"DIALOGUE": "Seeker: " + "word " * 40_000}), 400, "context length"),
    ],
)
def test_bad_requests_are_refused_with_an_openai_error(server, body, status, words):
    found, _, content = call(server, "POST", "/v1/chat/completions", body)
    assert found == status
    error = json.loads(content)["error"]
    assert words in error["message"]
    assert {"type", "code", "param"} <= set(error)


def test_the_other_routes(server):
    assert call(server, "GET", "/health")[0] == 200
    assert json.loads(call(server, "GET", "/v1/models")[2])["data"][0]["id"] == "scripted-world"
    found = json.loads(call(server, "POST", "/tokenize", {"model": "scripted-world", "prompt": "4"})[2])
    assert (found["tokens"], found["count"]) == ([ord("4")], 1)
    assert call(server, "GET", "/nowhere")[0] == 404


def test_metrics_count_what_was_served_and_the_prefix_cache(server):
    def metrics():
        lines = call(server, "GET", "/metrics")[2].decode().splitlines()
        return {line.split("{")[0]: float(line.split()[-1]) for line in lines if not line.startswith("#")}

    before = metrics()
    user = {"DIALOGUE": DIALOGUE + " One more of its own."}
    first, second = chat(server, user=user), chat(server, user=user)
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= second["usage"]["prompt_tokens"] - 16
    after = metrics()
    spent = first["usage"]["prompt_tokens"] + second["usage"]["prompt_tokens"]
    assert after["vllm:prompt_tokens_total"] - before["vllm:prompt_tokens_total"] == spent
    assert after["vllm:generation_tokens_total"] > before["vllm:generation_tokens_total"]
    assert after["vllm:prefix_cache_hits_total"] > before["vllm:prefix_cache_hits_total"]
    assert after["vllm:num_requests_running"] == after["vllm:num_requests_waiting"] == 0


def inject(address, *rules):
    assert call(address, "POST", "/faults", list(rules))[0] == 200


def test_faults_are_acted_out_as_often_as_asked(server):
    inject(server, {"kind": "status", "status": 429, "retry_after": 2, "times": 1, "role": "reward", "skip": 1})
    post = ("POST", "/v1/chat/completions")
    assert call(server, *post, request("preference_reasoner"))[0] == 200
    assert call(server, *post, request())[0] == 200
    status, headers, _ = call(server, *post, request())
    assert (status, headers["retry-after"]) == (429, "2")
    assert call(server, *post, request())[0] == 200
    inject(server, {"kind": "text", "text": "4.5", "match": "Okay, go on"})
    assert texts(chat(server, n=3)) == ["4.5"] * 3
    inject(server, {"kind": "html", "times": 1})
    assert call(server, *post, request())[2].startswith(b"<html>")
    inject(server, {"kind": "half_body", "times": 1})
    with pytest.raises(http.client.IncompleteRead):
        call(server, *post, request())
    inject(server, {"kind": "reset", "times": 1})
    with pytest.raises(ConnectionError):
        call(server, *post, request())
    inject(server)
    assert call(server, *post, request())[0] == 200
    assert call(server, "POST", "/faults", [{"kind": "nonsense"}])[0] == 400


def test_a_hang_holds_its_own_caller_only(server):
    inject(server, {"kind": "hang", "times": 1})
    connection = http.client.HTTPConnection(server, timeout=0.2)
    connection.request("POST", "/v1/chat/completions", json.dumps(request()))
    with pytest.raises(TimeoutError):
        connection.getresponse()
    assert chat(server)["choices"]
    connection.close()
    inject(server)


def test_it_ends_with_its_parents_pipe_and_can_be_told_to_die():
    with running() as (address, process, parent):
        assert call(address, "GET", "/faults")[0] == 404
        parent.close()
        assert process.wait(timeout=10) == 0
    with running("--faults") as (address, process, _):
        inject(address, {"kind": "die"})
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            call(address, "POST", "/v1/chat/completions", request())
        assert process.wait(timeout=10) == -signal.SIGKILL


def test_latency_is_added():
    with running("--latency-ms", "150") as (address, _, _):
        start = time.monotonic()
        chat(address)
        assert time.monotonic() - start >= 0.15


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--graph", "nowhere.json"], "nowhere.json"), (["--graph", str(FIXTURE), "--port", "70000"], "70000")],
)
def test_unusable_input_is_one_sentence_and_exit_code_2(arguments, words):
    ended = subprocess.run(
        [sys.executable, "-m", "simulator.scripted", *arguments], capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 2
    assert words in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_an_occupied_port_is_named(server):
    port = server.rpartition(":")[2]
    ended = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert port in ended.stderr


def test_no_torch_is_imported():
    code = "import sys, simulator.scripted.server as _; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert ended.stdout.strip() == "[]"


def test_replies_are_not_held_back_by_nagles_algorithm(server):
    connection = http.client.HTTPConnection(server, timeout=10)
    body = json.dumps(request())
    waits = []
    for _ in range(20):
        start = time.monotonic()
        connection.request("POST", "/v1/chat/completions", body)
        connection.getresponse().read()
        waits.append(time.monotonic() - start)
    connection.close()
    assert min(waits[5:]) < 0.03  # a delayed acknowledgement alone takes 40 ms
