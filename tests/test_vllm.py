"""A real vLLM server with a real small model on the CPU: ``RSO_VLLM_PYTHON=.venv-vllm/bin/python pytest -m vllm``.

One server for the whole file, kept by a harness in a process of its own (``benchmarks/vllm_host.py``) with the settings
of ``experiments/smollm2_cpu.toml``. The last two tests take it down: first vLLM is killed and comes back, then the
harness is killed and vLLM must go (so the file is run as a whole). Minutes, not seconds: the server's start is most of
it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest
import trio
from support.experts import a_client
from support.fakes import FILMS, state_of

from benchmarks.reward import Readings, human_states, read_three_ways
from benchmarks.vllm_host import EXPERIMENT, smollm2
from experts import preference_reasoner
from experts.actor import Actor, reply_schema
from experts.preference_reasoner import PreferenceReasoner
from experts.prompts import actor_messages, judge_messages
from experts.reward import LABELS
from harness.app.evaluation.serving import read_server_metrics
from harness.app.setup.server_check import running
from harness.app.setup.wiring import client_of
from harness.core.messages import ChatReply, ChatRequest, Message
from harness.core.model.llm import OpenAIChat
from harness.core.model.retry import RetryPolicy
from harness.domain.strategies import strategy_set
from simulator import seeker

PYTHON = os.environ.get("RSO_VLLM_PYTHON", "")
START_S = 600.0
STATES = 60

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON, reason="RSO_VLLM_PYTHON names no Python that has vLLM (docs/vllm.md)"),
    pytest.mark.skipif(bool(PYTHON) and shutil.which(PYTHON) is None, reason=f"there is no Python {PYTHON}"),
]


class Host:
    """The harness process that keeps the server."""

    def __init__(self, process: subprocess.Popen[str], base_url: str) -> None:
        self.process = process
        self.base_url = base_url
        self.port = base_url.split(":")[2].split("/")[0]

    def client(self) -> OpenAIChat:
        return a_client(self.base_url, "smollm2", retry=RetryPolicy(budget_s=START_S), max_connections=64)

    def api_server(self) -> int:
        """The process that listens; the guard in front of it has the same words behind its own."""
        own = ["-m", "vllm.entrypoints.openai.api_server"]
        (found,) = [pid for pid, words in _processes() if words[1:3] == own and self.port in words]
        return found


def _processes() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue


def alive_in_group(group: int) -> list[int]:
    """Processes of a group that are not yet buried: vLLM's engine and workers belong to the API server's."""
    found = []
    for pid, words in _processes():
        try:
            if words[0] and os.getpgid(pid) == group:
                found.append(pid)
        except ProcessLookupError:
            continue
    return found


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float) -> None:
    with trio.fail_after(within_s):
        while not await holds():  # noqa: ASYNC110  # what is waited for happens in another process
            await trio.sleep(0.1)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("vllm") / "run"
    log = folder.with_suffix(".err")
    with open(log, "w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.vllm_host", str(folder)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=Path(__file__).parents[1],
        )
    assert process.stdout is not None
    line = process.stdout.readline()  # the host ends by itself when the server does not start in time
    if not line:
        pytest.fail(f"the vLLM server did not start: {log.read_text()[-3000:]}")
    try:
        yield Host(process, json.loads(line)["base_url"])
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
        process.stdout.close()


def request(text: str = "Tell me about films.", **fields: object) -> ChatRequest:
    plain: dict[str, object] = {
        "role": "actor",
        "episode": "e",
        "turn": 1,
        "messages": (Message(role="user", content=text),),
        "max_tokens": 16,
        "temperature": 1.0,
        "seed": 64,
    }
    return ChatRequest(**(plain | fields))  # type: ignore[arg-type]


def ask(host: Host, *requests: ChatRequest) -> list[ChatReply]:
    """One after the other, so that no reply depends on what it was batched with."""

    async def main() -> list[ChatReply]:
        async with host.client() as chat:
            return [await chat.complete(each) for each in requests]

    return trio.run(main)


def test_doctor_finds_everything(host: Host) -> None:
    model = msgspec.structs.replace(smollm2(), base_url=host.base_url)

    async def main() -> list[tuple[str, str]]:
        async with client_of("default", model, host.base_url) as client:
            return [(state, text) for state, text in await running("default", model, client, None)]

    said = trio.run(main)
    # So small a model is no judge that can be read from its first token, and is told so.
    (unfit,) = [text for state, text in said if state != "ok"]
    assert unfit.startswith("label mass:")
    assert 'set reward.mode = "samples"' in unfit
    assert any("one decode step" in text for _, text in said)


def test_ten_replies_of_one_request_are_constrained_and_differ(host: Host) -> None:
    state = human_states(1)[0]
    (reply,) = ask(host, request(messages=judge_messages("reward", state), n=10, choices=LABELS, max_tokens=4))
    assert len(reply.texts) == 10
    assert set(reply.texts) <= set(LABELS)
    assert len(set(reply.texts)) > 1


def test_each_request_has_its_own_seed(host: Host) -> None:
    # Once before: whether a prompt is computed or found in the prefix cache changes its last bits, and so may a sample.
    _, one, again, other = ask(host, *(request(seed=seed) for seed in (0, 64, 64, 128)))
    assert one.texts == again.texts
    assert one.texts != other.texts


def test_seeded_requests_side_by_side_with_long_prompts_leave_the_server_alive(host: Host) -> None:
    """What ends vLLM 0.32 on a CPU with chunked prefill: more prompt tokens at once than one step takes."""

    async def main() -> None:
        async with host.client() as chat, trio.open_nursery() as nursery:
            for number in range(24):
                text = f"{number} " + "the film was good and long " * 120
                nursery.start_soon(chat.complete, request(text, seed=64 * number, max_tokens=4))

    trio.run(main)


def test_stop_sequences_and_truncation(host: Host) -> None:
    stopped, cut = ask(
        host, request("Count: 1, 2, 3, 4", temperature=0.0, stop=(",", ".", "\n"), max_tokens=64), request(max_tokens=4)
    )
    assert not re.search(r"[,.\n]", stopped.texts[0])
    assert stopped.usage.truncated == 0
    assert (cut.usage.truncated, cut.usage.completion_tokens) == (1, 4)


def test_the_schema_bounds_the_actors_object(host: Host) -> None:
    """Also where a hot small model would go on for ever: at most as many numbers as candidates, all of them known."""
    strategy = strategy_set("rso13")[0]
    messages = actor_messages(state_of("I want a crime film"), strategy=strategy, preferences="", candidates=FILMS[:3])
    asked = [
        request(messages=messages, json_schema=reply_schema(3), max_tokens=400, temperature=1.2, seed=64 * seed)
        for seed in range(6)
    ]
    whole = [reply.texts[0] for reply in ask(host, *asked) if not reply.usage.truncated]
    assert len(whole) >= 3
    for text in whole:
        found = msgspec.json.decode(text, type=dict[str, object])
        assert list(found) == ["text", "items"]
        assert isinstance(found["items"], list)
        assert len(found["items"]) <= 3
        assert set(found["items"]) <= {1, 2, 3}


def test_patterns_give_replies_that_can_be_read(host: Host) -> None:
    state = state_of("Hello, I like crime films of the 1990s")

    async def main() -> str:
        async with host.client() as chat:
            return await PreferenceReasoner(chat, temperature=0.2, max_tokens=200).infer(state)

    assert trio.run(main).startswith("Wants: ")
    (reply,) = ask(host, request("Greet me.", pattern=seeker.PATTERN, max_tokens=200))
    assert re.fullmatch(seeker.PATTERN, reply.texts[0])
    (reply,) = ask(host, request("What do you want?", pattern=preference_reasoner.PATTERN, max_tokens=200))
    assert re.fullmatch(preference_reasoner.PATTERN, reply.texts[0])


def test_the_actor_speaks(host: Host) -> None:
    async def main() -> str:
        async with host.client() as chat:
            actor = Actor(chat, strategy_set("rso13"), temperature=0.7, max_tokens=80)
            state = state_of("I want a crime film")
            return (await actor.speak(state, strategy=strategy_set("rso13")[0].key, candidates=FILMS)).text

    assert trio.run(main)


def test_three_ways_to_read_the_judge_agree(host: Host) -> None:
    """Decision 7: one law, three prices. In mean over states within three standard errors; ``expected`` at most 0.55
    of the time of ten samples, both warm, in interleaved pairs."""
    states = human_states(STATES)
    assert len(states) >= 50

    async def main() -> Readings:
        async with host.client() as chat:
            return await read_three_ways(chat, states)

    found = trio.run(main)
    for mode in ("samples", "multinomial"):
        gap, error = found.gap(mode)
        print(f"{mode} - expected: {gap:+.4f}, standard error {error:.4f}, n {len(states)}")
        assert abs(gap) <= 3 * error
    print(f"expected / samples: {found.ratio:.2f}; mass {min(found.masses):.2f}..")
    assert found.ratio <= 0.55


async def running_requests(host: Host) -> float:
    async with httpx2.AsyncClient(timeout=30.0) as http:
        page = (await http.get(host.base_url.removesuffix("/v1") + "/metrics")).text
    lines = [line for line in page.splitlines() if line.startswith("vllm:num_requests_running{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_a_cancelled_call_frees_the_server(host: Host) -> None:
    async def busy() -> bool:
        return await running_requests(host) >= 8

    async def idle() -> bool:
        return await running_requests(host) == 0

    async def main() -> None:
        async with host.client() as chat:
            async with trio.open_nursery() as nursery:
                for number in range(16):
                    long = request(f"Count to {number + 900}.", max_tokens=1500, seed=64 * number)
                    nursery.start_soon(chat.complete, long)
                await until(busy, within_s=60)
                nursery.cancel_scope.cancel()
            await until(idle, within_s=10)
            assert (await chat.complete(request())).texts

    trio.run(main)


def test_the_main_job_runs_on_it(host: Host, tmp_path: Path) -> None:
    small = {
        "models.default.base_url": host.base_url,
        "conversation.max_turns": "2",
        "warmup.epochs": "1",
        "planner.max_tokens": "48",
        "rl.epochs": "1",
        "rl.dialogues_per_epoch": "2",
        "rl.batch_episodes": "2",
        "evaluation.dialogues": "2",
    }
    overrides = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "harness", "run", str(EXPERIMENT), "--run-dir", str(tmp_path / "run"), *overrides]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["complete"]
    assert [phase["name"] for phase in summary["phases"]] == ["before", "warmup", "rl"]
    assert sum(phase["errors"] for phase in summary["phases"]) <= 3
    assert summary["tokens"]["actor"]["cached_tokens"] > 0
    served = summary["serving"]["default"]
    assert 0.0 < served["server"]["cache_hit_rate"] < 1.0
    assert served["roles"]["seeker"]["p95_s"] > 0.0


def test_a_killed_server_comes_back_and_no_reply_is_lost(host: Host) -> None:
    """A dying server's last words are never taken for a reply: every call is answered, by one life or the other."""
    replies: list[ChatReply] = []

    async def busy() -> bool:
        return await running_requests(host) >= 6

    async def main() -> None:
        async with host.client() as chat, trio.open_nursery() as nursery:

            async def ask_one(number: int) -> None:
                # A pattern, since a small model left alone often stops after five tokens: all done before one looks.
                long = request("Count.", pattern="([1-9][0-9], ){80}", max_tokens=400, seed=64 * number)
                replies.append(await chat.complete(long))

            for number in range(12):
                nursery.start_soon(ask_one, number)
            await until(busy, within_s=60)
            os.kill(host.api_server(), signal.SIGKILL)

    trio.run(main)
    assert len(replies) == 12
    assert all(reply.texts[0] and reply.usage.completion_tokens for reply in replies)
    assert any(reply.timing["retries"] for reply in replies)
    assert trio.run(read_server_metrics, host.base_url) is not None


def test_a_killed_harness_takes_its_server_with_it(host: Host) -> None:
    group = os.getpgid(host.api_server())
    assert len(alive_in_group(group)) >= 3  # the guard, the API server, its engine
    host.process.kill()
    deadline = time.monotonic() + 30.0
    while alive_in_group(group) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert alive_in_group(group) == []
