"""Nearest items: hnswlib as the harness sets it up against a scan of all, at three sizes.

Vectors are synthetic: unit vectors of 384 numbers around 200 centres, as titles of one genre lie together; queries are
items moved a little. The ten nearest are compared. The harness scans up to `EXACT_UP_TO` items and searches the graph
beyond.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Bench, Cell, Goal, Result, main
from experts.entity_index import EXACT_UP_TO, EntityIndex, link

_WIDTH, _CENTRES, _NOISE, _MOVED = 384, 200, 1.0, 0.5
_NEAREST, _QUERIES = 10, 200
Vectors = NDArray[np.float32]


def run(bench: Bench) -> Result:
    """1,800 items (this project's films), 6,600 (ReDial's) and 52,000 (a large graph)."""
    began = time.perf_counter()
    sizes = (300, 600) if bench.tiny else (1_800, 6_600, 52_000)
    rows: list[tuple[Cell, ...]] = []
    goals: list[Goal] = []
    for size in sizes:
        vectors, queries = _drawn(size)
        started = time.perf_counter()
        graph = link(vectors)
        built_s = time.perf_counter() - started
        names = [str(row) for row in range(size)]
        exact, searched = EntityIndex(names, vectors), EntityIndex(names, vectors, graph=graph)
        recall = np.mean(
            [
                len({*exact.nearest(query, _NEAREST)} & {*searched.nearest(query, _NEAREST)}) / _NEAREST
                for query in queries
            ]
        )
        scan_ms, search_ms = _in_turns(exact.nearest, searched.nearest, queries)
        used = "scan" if size <= EXACT_UP_TO else "graph"
        rows.append((size, scan_ms, search_ms, float(recall), built_s, used))
        if used == "graph":
            goals.append(Goal(what=f"recall@10 at {size:,}", figure=float(recall), bound=0.99, kind="at least"))
            what = f"graph / scan time at {size:,}"
            goals.append(Goal(what=what, figure=search_ms / scan_ms, bound=1.0, kind="at most"))
    return Result(
        name="retrieval",
        title="Retrieval: graph search against a scan",
        columns=("items", "scan ms", "graph ms", "recall@10", "built in s", "the harness uses"),
        rows=tuple(rows),
        goals=tuple(goals),
        limit="synthetic vectors on one thread; a query's embedding, some milliseconds on a CPU, comes before either.",
        seconds=time.perf_counter() - began,
    )


def _drawn(size: int) -> tuple[Vectors, Vectors]:
    """(N, 384) items and (200, 384) queries, unit vectors."""
    dice = np.random.default_rng(size)
    centres = dice.standard_normal((_CENTRES, _WIDTH))
    items = centres[dice.integers(0, _CENTRES, size)] + _NOISE * dice.standard_normal((size, _WIDTH))
    queries = items[dice.integers(0, size, _QUERIES)] + _MOVED * dice.standard_normal((_QUERIES, _WIDTH))
    return _unit(items), _unit(queries)


def _unit(rows: NDArray[np.float64]) -> Vectors:
    unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _in_turns(
    scan: Callable[[Vectors, int], object], search: Callable[[Vectors, int], object], queries: Vectors
) -> tuple[float, float]:
    """Median milliseconds a query of both, one query each in turn."""
    took: tuple[list[float], list[float]] = ([], [])
    for query in queries:
        for way, into in zip((scan, search), took, strict=True):
            began = time.perf_counter()
            way(query, _NEAREST)
            into.append(time.perf_counter() - began)
    return 1e3 * float(np.median(took[0])), 1e3 * float(np.median(took[1]))


if __name__ == "__main__":
    main(run)
