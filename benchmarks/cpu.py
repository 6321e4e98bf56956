"""CPU a turn: the harness over the same HTTP calls made bare, and whether it grows with the number of conversations.

CPU seconds are this process's, all threads. Bare are the same bodies by stock httpx2 (the goal's measure: what the
calls cost without this project) and by the harness's own transport (stricter: what lanes, log, tape, prompts, planner
and retriever add to bytes on a socket). Pairs are interleaved; sizes take turns.
"""

from __future__ import annotations

import time
from collections import defaultdict

from benchmarks.fixed_server import fixed_server
from benchmarks.measure import Bench, Cell, Goal, Result, main, median, spread
from benchmarks.pipeline import Played, bare, play

_LATENCY_S = 0.05


def run(bench: Bench) -> Result:
    """C = 64, 256 and 1000; stock httpx2 at the first two, as it takes minutes at the third."""
    began = time.perf_counter()
    sizes, turns = ((2, 3, 4), 1) if bench.tiny else ((64, 256, 1000), 2)
    found: dict[tuple[int, str], list[float]] = defaultdict(list)
    with fixed_server(0.01 if bench.tiny else _LATENCY_S) as url:
        for number in range(bench.rounds()):
            for size in sizes if number % 2 == 0 else sizes[::-1]:
                played, chains = play(url, size, turns)
                found[size, "harness"].append(played.cpu_ms)
                found[size, "transport"].append(bare(url, chains, played.turns).cpu_ms)
                if size < sizes[-1] and number < 2:
                    stock: Played = bare(url, chains, played.turns, stock=True)
                    found[size, "stock"].append(stock.cpu_ms)
                    found[size, "over stock"].append(played.cpu_ms / stock.cpu_ms)
                found[size, "over transport"].append(played.cpu_ms / found[size, "transport"][-1])
            found[0, "flat"].append(found[sizes[-1], "harness"][-1] / found[sizes[0], "harness"][-1])
    rows: list[tuple[Cell, ...]] = [
        (
            size,
            spread(found[size, "harness"]),
            spread(found[size, "stock"]) if found[size, "stock"] else None,
            spread(found[size, "transport"]),
            spread(found[size, "over stock"]) if found[size, "over stock"] else None,
            spread(found[size, "over transport"]),
        )
        for size in sizes
    ]
    return Result(
        name="cpu",
        title="CPU a turn over the same calls made bare; flatness",
        columns=("C", "harness ms", "stock httpx2 ms", "own transport ms", "over stock", "over transport"),
        rows=tuple(rows),
        goals=(
            Goal(
                what=f"CPU a turn over stock httpx2, C = {sizes[1]}",
                figure=median(found[sizes[1], "over stock"]),
                bound=2.5,
                kind="at most",
            ),
            Goal(
                what=f"flatness: CPU a turn at C = {sizes[-1]} over C = {sizes[0]}",
                figure=median(found[0, "flat"]),
                bound=1.15,
                kind="at most",
            ),
        ),
        limit=(
            "CPU time on a shared virtual machine moves by a tenth from minute to minute; the log's fsyncs wait for a "
            "disk, which costs no CPU here."
        ),
        seconds=time.perf_counter() - began,
    )


if __name__ == "__main__":
    main(run)
