"""The server's counters and the client's ledger as one report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from rich.console import Console
from support.http_server import Answer, Asked, http_server

from harness.app.evaluation.serving import (
    ServerMetrics,
    metrics_in,
    read_server_metrics,
    serving_report,
    serving_table,
)
from harness.core.messages import Usage
from harness.core.model.ledger import RoleTotals

PAGE = """\
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
vllm:prompt_tokens_total{engine="0",model_name="m"} 1000.0
vllm:prompt_tokens_total{engine="1",model_name="m"} 200.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 600.0
vllm:generation_tokens_total{engine="0",model_name="m"} 1.5e+02
vllm:request_queue_time_seconds_sum{engine="0",model_name="m"} 4.0
vllm:request_queue_time_seconds_count{engine="0",model_name="m"} 8.0
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.79e+09
"""


def reading(prompt: float, cached: float, seconds: float | None = None, requests: float = 0.0) -> ServerMetrics:
    return ServerMetrics(
        prompt_tokens=prompt,
        cached_tokens=cached,
        generated_tokens=prompt / 10,
        queue_seconds=seconds,
        queued_requests=requests,
        preemptions=0.0,
    )


def test_engines_are_added_up() -> None:
    metrics = metrics_in(PAGE)
    assert metrics is not None
    assert (metrics.prompt_tokens, metrics.cached_tokens, metrics.generated_tokens) == (1200.0, 600.0, 150.0)
    assert (metrics.queue_seconds, metrics.queued_requests) == (4.0, 8.0)


def test_another_page_is_no_reading() -> None:
    assert metrics_in("process_cpu_seconds_total 3") is None


def page_at(path: str) -> Callable[[Asked], Awaitable[Answer]]:
    async def answer(asked: Asked) -> Answer:
        return Answer(PAGE.encode()) if asked.path == path else Answer(b"", status=404)

    return answer


def test_the_page_is_read_over_http_beside_the_api() -> None:
    async def main() -> ServerMetrics | None:
        async with http_server(page_at("/metrics")) as server:
            return await read_server_metrics(server.url)

    metrics = trio.run(main)
    assert metrics is not None
    assert metrics.prompt_tokens == 1200.0


def test_a_server_without_the_page_or_without_life_gives_none() -> None:
    async def main() -> None:
        async with http_server(page_at("/elsewhere")) as server:
            assert await read_server_metrics(server.url) is None
        assert await read_server_metrics(server.url) is None

    trio.run(main)


def test_shares_and_means_are_of_the_time_between_the_readings() -> None:
    server = serving_report(reading(1000, 900, 50.0, 10.0), reading(3000, 1900, 54.0, 18.0), {}, 20).server
    assert server is not None
    assert (server.prompt_tokens, server.computed_prompt_tokens, server.generated_tokens) == (2000, 1000, 200)
    assert server.cache_hit_rate == 0.5
    assert server.computed_prompt_tokens_per_turn == 50.0
    assert server.queue_mean_s == 0.5


def test_a_server_that_began_anew_or_was_not_read_has_no_figures() -> None:
    assert serving_report(reading(1000, 0), reading(999, 0), {}, 1).server is None
    assert serving_report(None, reading(999, 0), {}, 1).server is None


def test_nothing_played_divides_nothing() -> None:
    server = serving_report(reading(0, 0), reading(0, 0), {}, 0).server
    assert server is not None
    assert (server.cache_hit_rate, server.computed_prompt_tokens_per_turn, server.queue_mean_s) == (None, None, None)


def test_roles_are_told_as_the_ledger_has_them() -> None:
    usage = Usage(calls=3, prompt_tokens=3000, cached_tokens=1200, completion_tokens=90, truncated=2)
    totals = RoleTotals(usage=usage, failed=1, cancelled=0, retries=4, seconds=9.0, p50_s=2.5, p95_s=None)
    report = serving_report(reading(0, 0), reading(100, 25), {"actor": totals}, 2)
    role = report.roles["actor"]
    assert (role.calls, role.failed, role.retries, role.truncated, role.cached_tokens) == (3, 1, 4, 2, 1200)
    console = Console(width=140, record=True)
    console.print(serving_table("default", report))
    shown = console.export_text()
    for piece in ("actor", "3,000", "1,200", "2.50", "–", "prefix cache 25%", "38 prompt tokens computed a turn"):
        assert piece in shown
