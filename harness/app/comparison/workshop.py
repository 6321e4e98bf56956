"""What cells of one process may share because it is a pure function of their config: inputs, encoder, index, texts.

A cell works without it (it makes its own); sharing saves loading, never changes a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from experts.entity_index import EntityIndex
from harness.app.settings.config import Config
from harness.app.setup.inputs import Inputs, read_inputs
from harness.app.setup.wiring import index_of, planner_of
from harness.core.errors import InputError
from learner.policy import TrainablePolicy

K = TypeVar("K")
V = TypeVar("V")


class Workshop:
    """Memories of pure functions; not for threads that run at the same time."""

    def __init__(self) -> None:
        self._inputs: dict[bytes, Inputs] = {}
        self._indices: dict[str, EntityIndex] = {}
        self.intentions: dict[str, float] = {}
        """The examiner's memory: pre and true intentions by prompt and model."""

    def inputs(self, config: Config) -> Inputs:
        """What `read_inputs` gives; blocks."""
        of = (config.run.seed, config.data, config.evaluation, config.rl, config.conversation, config.planner)
        return _remembered(self._inputs, msgspec.json.encode(of), lambda: read_inputs(config))

    def index(self, config: Config, inputs: Inputs, progress: Callable[[int, int], None]) -> EntityIndex:
        """Blocks; for many minutes where a large graph is read for the first time."""
        return _remembered(self._indices, inputs.graph.sha256, lambda: index_of(inputs, progress))

    def planner(self, config: Config, inputs: Inputs) -> TrainablePolicy:
        """A fresh planner; `InputError` if it cannot learn."""
        planner = planner_of(config, inputs.strategies)
        if planner is None:
            raise InputError(f"planner.kind = {config.planner.kind!r} does not learn, so it cannot be trained")
        return planner


def _remembered(known: dict[K, V], key: K, make: Callable[[], V]) -> V:
    if key not in known:
        known[key] = make()
    return known[key]
