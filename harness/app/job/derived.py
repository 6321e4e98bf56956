"""Whether what a complete run derived from its log and dialogues is there: the lines of `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.app.job.metricsfile import metrics_lack
from harness.app.job.workload import workload_of
from harness.app.settings.config import Config
from harness.app.setup.inputs import Inputs
from harness.core.messages import TRAIN


def lacking(config: Config, inputs: Inputs, folder: Path) -> str:
    """What is wrong with a complete run's metrics, in one sentence; empty where nothing is."""
    return metrics_lack(folder, _lines(config, inputs))


def _lines(config: Config, inputs: Inputs) -> Iterator[tuple[str, str | None, int | None]]:
    """(type, name, version) of every line."""
    phases = workload_of(config, inputs).phases
    if config.learns and config.warmup.epochs and not config.planner.init:
        yield "warmup", None, None
    for update in range(-(-phases.get(TRAIN, 0) // config.rl.batch_episodes)):
        yield "update", None, update + 1
    for phase in phases:
        if phase != TRAIN:
            yield "evaluation", phase, None
