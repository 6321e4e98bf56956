"""All benchmarks by name: those of the CPU, which `python -m harness bench` runs, and those of a real vLLM server."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import cpu, learner, little, log, memory, retrieval, reward, saturation
from benchmarks.measure import Bench, Goal, Result, spread
from benchmarks.vllm_host import vllm_server
from harness.core.errors import InputError


def _learner(bench: Bench) -> Result:
    began = time.perf_counter()
    found = learner.measure(bench.rounds())
    return Result(
        name="learner",
        title="Learner's step over the plain padded loop",
        columns=("what", "figure"),
        rows=(
            ("batches of similar length / padded", spread(found["ratios"])),
            ("s a step, batches of similar length", found["bucketed_s"]),
            ("s a step, padded", found["padded_s"]),
            ("relative difference of gradients", found["gradient_difference"]),
        ),
        goals=(
            Goal(what="time of a step", figure=found["ratio"], bound=found["goal"], kind="at most"),
            Goal(
                what="difference of gradients",
                figure=found["gradient_difference"],
                bound=learner.TOLERANCE,
                kind="at most",
            ),
        ),
        limit="one CPU thread, the whole of MiniLM trained; a GPU gains in other proportions.",
        seconds=time.perf_counter() - began,
    )


CPU: dict[str, Callable[[Bench], Result]] = {
    "little": little.run,
    "cpu": cpu.run,
    "memory": memory.run,
    "retrieval": retrieval.run,
    "log": log.run,
    "learner": _learner,
}
VLLM: dict[str, Callable[[Bench, str], Result]] = {"saturation": saturation.run, "reward": reward.run}
"""These get the base URL of a server that runs."""
GROUP = "vllm"
"""Stands for all of `VLLM`."""


def run(names: Sequence[str], bench: Bench) -> Iterator[Result]:
    """The named benchmarks, all of the CPU's where none is named; one server for all that need one.

    `InputError` for a name that is not known, and where a server is needed and does not start.
    """
    wanted = [one for name in names for one in (VLLM if name == GROUP else (name,))] or list(CPU)
    unknown = [name for name in wanted if name not in CPU and name not in VLLM]
    if unknown:
        known = ", ".join([*CPU, *VLLM, GROUP])
        raise InputError(f"there is no benchmark {unknown[0]}; known: {known}")
    for name in CPU:
        if name in wanted:
            yield CPU[name](bench)
    if any(name in VLLM for name in wanted):
        with tempfile.TemporaryDirectory() as folder, vllm_server(Path(folder) / "vllm") as base_url:
            for name in VLLM:
                if name in wanted:
                    yield VLLM[name](bench, base_url)
