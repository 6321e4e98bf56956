"""Little's law: turns a second over what C conversations could do if only the server's latency counted.

Bound = C / (critical path of a conversation's calls x latency) turns; a conversation of T turns has 4 T + 1 calls, one
after the other (the opening is the one). The server is `fixed_server`. Beside the harness the same bodies by its
transport alone (what this machine and this server allow at all), by the OpenAI SDK in three ways (`clients`) and, where
it is installed, by inspect_ai (`with_inspect`). Those play one turn only and up to 256 at once, since they take
their time.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from benchmarks import clients, with_inspect
from benchmarks.fixed_server import fixed_server
from benchmarks.measure import Bench, Cell, Goal, Result, main, median, spread
from benchmarks.pipeline import CALLS, Chains, bare, play

_SDK: dict[str, Callable[[str, Chains], float]] = {
    "SDK, threads": clients.threads,
    "SDK, asyncio + semaphore": clients.asynchronous,
}
Found = dict[tuple[float, int, str], list[float]]


def run(bench: Bench) -> Result:
    """Latencies 0.1 s and 1 s."""
    began = time.perf_counter()
    found: Found = defaultdict(list)
    if bench.tiny:
        _at(found, 0.02, (4,), turns=1, rounds=1, sdk=(4,))
    else:
        _at(found, 0.1, (16, 64, 256, 1000), turns=2, rounds=bench.rounds(), sdk=(16, 64, 256))
        _at(found, 1.0, (256, 1000), turns=2, rounds=1, sdk=(256,))
    rows: list[tuple[Cell, ...]] = [
        (f"{latency:g}", conversations, who, spread(values))
        for (latency, conversations, who), values in sorted(found.items(), key=lambda one: one[0][:2])
    ]
    wanted = {(1.0, 256): 0.95, (1.0, 1000): 0.85, (0.1, 256): 0.5}
    goals = tuple(
        Goal(
            what=f"efficiency at {latency:g} s, C = {conversations}",
            figure=median(found[latency, conversations, "harness"]),
            bound=bound,
            kind="at least",
        )
        for (latency, conversations), bound in wanted.items()
        if (latency, conversations, "harness") in found
    )
    return Result(
        name="little",
        title="Little efficiency: turns/s over C / (critical path x latency)",
        columns=("latency s", "C", "who", "efficiency"),
        rows=tuple(rows),
        goals=goals,
        notes=() if with_inspect.installed() else (with_inspect.MISSING,),
        limit=(
            "all conversations start together and wait for the same latency, so calls come in waves; the server shares "
            "the two cores, and the retriever's query is always the same (a new one costs the encoder's time in a "
            "worker thread)."
        ),
        seconds=time.perf_counter() - began,
    )


def _at(
    found: Found, latency: float, conversations: tuple[int, ...], *, turns: int, rounds: int, sdk: tuple[int, ...]
) -> None:
    with fixed_server(latency) as url:
        chains: dict[int, Chains] = {}
        for _ in range(rounds):
            for count in conversations:
                # A second's latency makes a warm-up expensive and what it warms cheap.
                played, chains[count] = play(url, count, turns, warm=latency < 0.5)
                ideal = (CALLS * turns + 1) * latency
                found[latency, count, "harness"].append(ideal / played.wall_s)
                if latency < 0.5:
                    bound = bare(url, chains[count], played.turns)
                    found[latency, count, "its transport alone"].append(ideal / bound.wall_s)
        ways = _SDK | ({"inspect_ai": with_inspect.inspect_ai} if with_inspect.installed() else {})
        one_turn = (CALLS + 1) * latency
        for count in sdk:
            short = [bodies[: CALLS + 1] for bodies in chains[count]]
            for name, talk in ways.items():
                found[latency, count, name].append(one_turn / talk(url, short))
        if latency < 0.5 and conversations[0] < 256:
            loop = clients.sequential(url, [bodies[: CALLS + 1] for bodies in chains[conversations[0]][:2]])
            found[latency, 1, "SDK, sequential loop"].append(2 * one_turn / loop)


if __name__ == "__main__":
    main(run)
