"""The same calls by what people would otherwise write: the OpenAI SDK in a loop, in threads, and under asyncio.

Each takes request bodies in chains (a conversation's calls, one after the other) and returns the seconds that they all
took. Clients and connections are made before the clock starts. The SDK gets its messages as keyword arguments, as its
documentation shows it; what vLLM adds to the API goes in ``extra_body``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import msgspec
import openai

from benchmarks.pipeline import Chains

_EXTRA = ("structured_outputs", "logprob_token_ids", "return_tokens_as_token_ids")
Call = dict[str, Any]


def calls_of(chains: Chains) -> list[list[Call]]:
    """Bodies -> keyword arguments of ``chat.completions.create``."""
    return [[_call(body) for body in bodies] for bodies in chains]


def _call(body: bytes) -> Call:
    fields: Call = msgspec.json.decode(body)
    extra = {name: fields.pop(name) for name in _EXTRA if name in fields}
    return fields | ({"extra_body": extra} if extra else {})


def sequential(base_url: str, chains: Chains) -> float:
    """One call after the other."""
    calls = calls_of(chains)
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        client.chat.completions.create(**calls[0][0])
        began = time.perf_counter()
        for chain in calls:
            _talk(client, chain)
        return time.perf_counter() - began


def threads(base_url: str, chains: Chains) -> float:
    """One thread a conversation."""
    calls = calls_of(chains)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=len(calls))
    with (
        httpx2.Client(limits=limits, timeout=None) as http,
        openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=http) as client,
        ThreadPoolExecutor(len(calls)) as pool,
    ):
        list(pool.map(lambda chain: _talk(client, chain[:1]), calls))
        began = time.perf_counter()
        list(pool.map(lambda chain: _talk(client, chain), calls))
        return time.perf_counter() - began


def _talk(client: openai.OpenAI, chain: Sequence[Call]) -> None:
    for call in chain:
        client.chat.completions.create(**call)


def asynchronous(base_url: str, chains: Chains) -> float:
    """asyncio, a semaphore of as many places as there are conversations, and the SDK's asynchronous client."""
    calls = calls_of(chains)

    async def main() -> float:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=len(calls))
        places = asyncio.Semaphore(len(calls))
        async with (
            httpx2.AsyncClient(limits=limits, timeout=None) as http,
            openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=http) as client,
        ):

            async def talk(chain: Sequence[Call]) -> None:
                for call in chain:
                    async with places:
                        await client.chat.completions.create(**call)

            await asyncio.gather(*(talk(chain[:1]) for chain in calls))
            began = time.perf_counter()
            await asyncio.gather(*map(talk, calls))
            return time.perf_counter() - began

    return asyncio.run(main())
