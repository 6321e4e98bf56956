"""Players outside of a run: models and experts at work, nothing logged.

For people who chat (`harness.app.commands.chat`) and for other reinforcement learning code (`harness.gym`). Server logs
go to a folder that is removed at the end.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from harness.app.console.progress import Progress
from harness.app.settings.config import Config
from harness.app.setup.inputs import Inputs
from harness.app.setup.wiring import NetworkPlayers, index_of, open_models, open_players
from harness.core.log import rundir
from harness.core.seams import Policy


@asynccontextmanager
async def open_playground(
    config: Config, inputs: Inputs, policy: Policy, progress: Progress, *, baseline: str = ""
) -> AsyncIterator[NetworkPlayers]:
    """The players of a config with one policy for every version; servers that it starts end with the block."""
    progress.begin("reading the films", len(inputs.graph.items), unit="films")
    index = await trio.to_thread.run_sync(index_of, config, inputs, progress.advance)
    with tempfile.TemporaryDirectory(prefix="rso-play-") as name:
        folder = Path(name)
        (folder / rundir.LOGS).mkdir()
        async with (
            open_models(config, inputs, folder, progress) as models,
            open_players(config, inputs, models, lambda version: policy, index, progress, baseline=baseline) as players,
        ):
            yield players
