"""Is a real server kept as busy by the harness as by the bare calls? vLLM on the CPU with SmolLM2 (docs/vllm.md).

The harness plays conversations; the bodies that it sent are then sent again as they were, each conversation's one after
the other, as many conversations at once, by nothing but the transport. Before each of the two the server forgets its
prefix cache. Compared are output tokens a second, in pairs of alternating order.

Also: the prompt tokens that the server computed over the least that a cache of its block size, with room for
everything, would leave of these prompts in this order. What is above 1 is what requests side by side cost (two that
share a prefix and start together both compute it) and what a full cache drops.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Sequence
from typing import Any

import msgspec
import trio

from benchmarks.measure import Bench, Cell, Goal, Result, median, spread
from benchmarks.pipeline import Chains, Played, bare, play
from benchmarks.vllm_host import forget_prefixes
from harness.app.evaluation.serving import ServerMetrics, read_server_metrics

MODEL = "smollm2"
BLOCK = 32
"""As experiments/smollm2_cpu.toml sets it."""
_SHORT_REPLIES = {
    "decoding": {
        "preference_reasoner": {"temperature": 0.0, "max_tokens": 48},
        "actor": {"temperature": 0.7, "max_tokens": 80},
        "seeker": {"temperature": 0.7, "max_tokens": 96},
    }
}


def run(bench: Bench, base_url: str) -> Result:
    """Pairs on a server that runs."""
    began = time.perf_counter()
    conversations, turns, pairs = (2, 1, 1) if bench.tiny else (16, 2, 5)
    rates: dict[str, list[float]] = {"harness": [], "bare": []}
    cpu_ms: list[float] = []
    computed: list[float] = []
    least: list[float] = []

    def by_harness() -> tuple[Played, Chains]:
        forget_prefixes(base_url)
        before = _metrics(base_url)
        played, chains = play(base_url, conversations, turns, model=MODEL, warm=False, changes=_SHORT_REPLIES)
        after = _metrics(base_url)
        cached = after.cached_tokens - before.cached_tokens
        computed.append((after.prompt_tokens - before.prompt_tokens - cached) / played.turns)
        rates["harness"].append(played.output_tokens / played.wall_s)
        cpu_ms.append(played.cpu_ms)
        return played, chains

    def by_transport(chains: Chains, turns_played: int) -> None:
        forget_prefixes(base_url)
        again = bare(base_url, chains, turns_played, warm=False)
        rates["bare"].append(again.output_tokens / again.wall_s)

    played, chains = by_harness()  # warms the server up; its rate does not count
    rates["harness"].clear()
    for pair in range(pairs):
        if pair % 2:
            by_transport(chains, played.turns)
            played, chains = by_harness()
        else:
            played, chains = by_harness()
            by_transport(chains, played.turns)
        least.append(least_computed(_prompts(base_url, chains)) / played.turns)
    ratios = [ours / theirs for ours, theirs in zip(rates["harness"], rates["bare"], strict=True)]
    over_least = [ours / fewest for ours, fewest in zip(computed[1:], least, strict=True)]
    rows: tuple[tuple[Cell, ...], ...] = (
        ("output tokens/s, harness", spread(rates["harness"], 1)),
        ("output tokens/s, bare", spread(rates["bare"], 1)),
        ("harness / bare", spread(ratios)),
        ("computed prompt tokens a turn", spread(computed[1:], 0)),
        ("least by the block model", spread(least, 0)),
        ("computed / least", spread(over_least)),
        ("harness CPU ms a turn", spread(cpu_ms)),
    )
    return Result(
        name="saturation",
        title=f"A real server kept busy: vLLM, SmolLM2-135M, {conversations} conversations of {turns} turns",
        columns=("what", "figure"),
        rows=rows,
        goals=(
            Goal(what="output tokens/s, harness over bare", figure=median(ratios), bound=0.95, kind="at least"),
            Goal(what="computed prompt tokens over the least", figure=median(over_least), bound=1.15, kind="at most"),
        ),
        limit=(
            "two cores shared by server and harness, a model of 135 M parameters: a GPU serves faster, and there the "
            "harness's own limit is that of `little` and `cpu`."
        ),
        seconds=time.perf_counter() - began,
    )


def _metrics(base_url: str) -> ServerMetrics:
    found = trio.run(read_server_metrics, base_url)
    if found is None:
        raise RuntimeError(f"{base_url} tells no metrics")
    return found


def _prompts(base_url: str, chains: Chains) -> list[list[int]]:
    """Token ids of every prompt, by the server's own tokenizer and chat template; by position in the chains."""
    longest = max(map(len, chains))
    bodies = [chain[place] for place in range(longest) for chain in chains if place < len(chain)]
    return [_tokens(base_url, msgspec.json.decode(body)) for body in bodies]


def _tokens(base_url: str, body: dict[str, Any]) -> list[int]:
    asked = json.dumps({"model": body["model"], "messages": body["messages"], "add_generation_prompt": True}).encode()
    url = f"{base_url.removesuffix('/v1')}/tokenize"
    request = urllib.request.Request(url, data=asked, headers={"content-type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        tokens: list[int] = json.load(answer)["tokens"]
    return tokens


def least_computed(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens outside of full blocks that an earlier prompt has begun with; the last token is always computed."""
    known: set[tuple[int, ...]] = set()
    computed = 0
    for prompt in prompts:
        cached = 0
        for end in range(BLOCK, len(prompt), BLOCK):
            if tuple(prompt[:end]) not in known:
                break
            cached = end
        known.update(tuple(prompt[:end]) for end in range(BLOCK, len(prompt) + 1, BLOCK))
        computed += len(prompt) - cached
    return computed
