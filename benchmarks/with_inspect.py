"""The same calls as a task of inspect_ai, a public evaluation harness; an optional comparison, no dependency.

One sample a conversation; its solver makes the conversation's calls one after the other through inspect's model (its
OpenAI-compatible provider), as many samples and connections at once as there are conversations. The clock runs from the
first sample's first call to the last one's last, so that inspect's start and its report are not counted.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from typing import Any

from benchmarks.clients import Call, calls_of
from benchmarks.pipeline import Chains

MISSING = "inspect_ai is not installed (pip install inspect_ai), so it is not compared."


def installed() -> bool:
    return importlib.util.find_spec("inspect_ai") is not None


def inspect_ai(base_url: str, chains: Chains) -> float:
    """Seconds that all chains took."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model
    from inspect_ai.solver import solver

    calls = calls_of(chains)
    moments: list[float] = []

    def messages(call: Call) -> list[Any]:
        return [
            (ChatMessageSystem if message["role"] == "system" else ChatMessageUser)(content=message["content"])
            for message in call["messages"]
        ]

    @solver  # type: ignore[untyped-decorator, unused-ignore]
    def talk() -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            moments.append(time.perf_counter())
            model = get_model()
            for call in calls[int(state.sample_id) - 1]:
                config = GenerateConfig(
                    max_tokens=call["max_tokens"], temperature=call["temperature"], seed=call["seed"]
                )
                await model.generate(messages(call), config=config)
            moments.append(time.perf_counter())
            return state

        return solve

    count = len(calls)
    dataset = MemoryDataset([Sample(input="talk", id=number) for number in range(1, count + 1)])
    with tempfile.TemporaryDirectory() as folder:
        logs = eval(
            Task(dataset=dataset, solver=talk()),
            model=get_model("openai-api/fixed/fixed", base_url=base_url, api_key="none", memoize=False),
            display="none",
            log_dir=folder,
            max_samples=count,
            max_connections=count,
            score=False,
        )
    if any(log.status != "success" for log in logs):
        raise RuntimeError(f"inspect_ai: {logs[0].status}: {logs[0].error}")
    return max(moments) - min(moments)
