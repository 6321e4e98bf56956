"""How the model servers served a run: `/metrics` of each at its start and end, beside the client's own ledger.

The client's ledger tells calls, tokens, latencies, retries and truncations by role. What only the server knows
(queue time, prefix cache, computed prompt tokens) it tells for all roles together; cached prompt tokens are by role
where the server reports them a call (vLLM's ``--enable-prompt-tokens-details``). A server that was restarted in between
has new counters: its part is then left out, never guessed.

Metric names are vLLM's (0.32, ``v1/metrics/loggers.py``); the scripted world uses the same.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx2
import trio
from rich import box
from rich.table import Table

from harness.core.messages import Struct
from harness.core.model.ledger import Ledger, RoleTotals
from harness.core.model.transport import PlainTransport

_LINE = re.compile(r"(vllm:\w+)(?:\{[^}]*\})?\s+([0-9.eE+\-]+|NaN|[+-]Inf)\s*$")
_DEADLINE_S = 5.0


class ServerMetrics(Struct, frozen=True, kw_only=True):
    """A server's counters at one moment, summed over its engines."""

    prompt_tokens: float
    cached_tokens: float
    generated_tokens: float
    queue_seconds: float | None
    """Summed over requests; None where the server does not tell."""
    queued_requests: float
    preemptions: float


class ServerServing(Struct, frozen=True, kw_only=True):
    """What one server did between two readings."""

    prompt_tokens: int
    computed_prompt_tokens: int
    """Prompt tokens that the prefix cache did not hold."""
    computed_prompt_tokens_per_turn: float | None
    generated_tokens: int
    cache_hit_rate: float | None
    """Share of prompt tokens found in the prefix cache."""
    queue_mean_s: float | None
    """Mean wait of a request inside the server before it was first scheduled."""
    preemptions: int


class RoleServing(Struct, frozen=True, kw_only=True):
    """One role's calls as the client saw them."""

    calls: int
    failed: int
    cancelled: int
    retries: int
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    truncated: int
    p50_s: float | None
    p95_s: float | None


class ServingReport(Struct, frozen=True, kw_only=True):
    """Both views."""

    turns: int
    roles: dict[str, RoleServing]
    server: ServerServing | None
    """None where there were no two readings of one life of the server."""


async def read_server_metrics(base_url: str) -> ServerMetrics | None:
    """The counters of the server at ``http://.../v1``; None where it has none or does not answer in time."""
    url = f"{base_url.rstrip('/').removesuffix('/v1')}/metrics"
    if not url.startswith("http://"):
        return None  # a hosted API has no such page
    with trio.move_on_after(_DEADLINE_S):
        try:
            async with PlainTransport() as transport:
                response = await transport.handle_async_request(httpx2.Request("GET", url))
        except (httpx2.TransportError, httpx2.InvalidURL):
            return None
        return metrics_in(response.text) if response.status_code == 200 else None
    return None


@asynccontextmanager
async def serving_watched(
    servers: Mapping[str, str],
    roles: Mapping[str, Sequence[str]],
    ledger: Ledger,
    turns: Callable[[], int],
    into: dict[str, ServingReport],
) -> AsyncIterator[None]:
    """Reads every server (name -> base URL) when the block begins and ends, and puts one report each into ``into``.

    ``roles``: name -> the roles that it plays. ``turns``: turns played since the block began. Also where the block is
    left by an error or a cancellation, but a server that no longer answers has no figures.
    """
    before = {name: await read_server_metrics(url) for name, url in servers.items()}
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            after = {name: await read_server_metrics(url) for name, url in servers.items()}
        totals = ledger.totals()
        for name in servers:
            own = {role: totals[role] for role in roles[name] if role in totals}
            into[name] = serving_report(before[name], after[name], own, turns())


def metrics_in(page: str) -> ServerMetrics | None:
    """The counters on a Prometheus page; None where it is no model server's."""
    found: dict[str, float] = {}
    for line in page.splitlines():
        match = _LINE.match(line)
        if match:
            found[match[1]] = found.get(match[1], 0.0) + float(match[2])
    if "vllm:prompt_tokens_total" not in found:
        return None
    # Queries and hits count tokens; a server without prefix cache has neither.
    return ServerMetrics(
        prompt_tokens=found["vllm:prompt_tokens_total"],
        cached_tokens=found.get("vllm:prefix_cache_hits_total", 0.0),
        generated_tokens=found.get("vllm:generation_tokens_total", 0.0),
        queue_seconds=found.get("vllm:request_queue_time_seconds_sum"),
        queued_requests=found.get("vllm:request_queue_time_seconds_count", 0.0),
        preemptions=found.get("vllm:num_preemptions_total", 0.0),
    )


def serving_report(
    before: ServerMetrics | None, after: ServerMetrics | None, ledger_totals: Mapping[str, RoleTotals], turns: int
) -> ServingReport:
    """The account of a run, or a part of it, that played ``turns`` turns between the two readings."""
    return ServingReport(
        turns=turns,
        roles={role: _role(totals) for role, totals in ledger_totals.items()},
        server=_server(before, after, turns),
    )


def _role(totals: RoleTotals) -> RoleServing:
    usage = totals.usage
    return RoleServing(
        calls=usage.calls,
        failed=totals.failed,
        cancelled=totals.cancelled,
        retries=totals.retries,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        generated_tokens=usage.completion_tokens,
        truncated=usage.truncated,
        p50_s=totals.p50_s,
        p95_s=totals.p95_s,
    )


def _server(before: ServerMetrics | None, after: ServerMetrics | None, turns: int) -> ServerServing | None:
    if before is None or after is None or after.prompt_tokens < before.prompt_tokens:
        return None
    prompt = after.prompt_tokens - before.prompt_tokens
    computed = prompt - (after.cached_tokens - before.cached_tokens)
    requests = after.queued_requests - before.queued_requests
    queued = None
    if after.queue_seconds is not None and before.queue_seconds is not None and requests > 0:
        queued = (after.queue_seconds - before.queue_seconds) / requests
    return ServerServing(
        prompt_tokens=round(prompt),
        computed_prompt_tokens=round(computed),
        computed_prompt_tokens_per_turn=computed / turns if turns else None,
        generated_tokens=round(after.generated_tokens - before.generated_tokens),
        cache_hit_rate=1.0 - computed / prompt if prompt else None,
        queue_mean_s=queued,
        preemptions=round(after.preemptions - before.preemptions),
    )


def serving_table(name: str, report: ServingReport) -> Table:
    """A row a role: calls, failures, retries (again), replies cut, tokens; the server's own figures in the title."""
    shown = Table(
        title=f"Calls of the model {name}{_server_line(report)}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    headings = ("role", "calls", "failed", "again", "cut", "in", "cached", "out", "p50 s", "p95 s")
    for heading in headings:
        # Narrow columns without wrapping, to fit a terminal of 80 columns.
        shown.add_column(heading, justify="left" if heading == "role" else "right", no_wrap=True)
    for role, served in report.roles.items():
        counts = (served.calls, served.failed, served.retries, served.truncated)
        tokens = (served.prompt_tokens, served.cached_tokens, served.generated_tokens)
        cells = (*(f"{n:,}" for n in counts), *map(_short, tokens), _seconds(served.p50_s), _seconds(served.p95_s))
        shown.add_row(role.replace("preference_", ""), *cells)
    return shown


def _server_line(report: ServingReport) -> str:
    server = report.server
    if server is None:
        return ""
    parts = []
    if server.cache_hit_rate is not None:
        parts.append(f"prefix cache {server.cache_hit_rate:.0%}")
    if server.computed_prompt_tokens_per_turn is not None:
        parts.append(f"{server.computed_prompt_tokens_per_turn:.0f} prompt tokens computed a turn")
    if server.queue_mean_s is not None:
        parts.append(f"queue {server.queue_mean_s:.2f} s a request")
    return f"\nserver: {', '.join(parts)}" if parts else ""


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _short(tokens: int) -> str:
    """``2.9M``, ``130k``; in full below ten thousand."""
    if tokens >= 1_000_000:
        return f"{tokens / 1e6:.1f}M"
    return f"{tokens / 1e3:.0f}k" if tokens >= 10_000 else f"{tokens:,}"
