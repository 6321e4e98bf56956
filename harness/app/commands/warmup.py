"""`warmup`: the supervised stage alone (Eq. 6). No model server, no conversation; the result is a checkpoint.

The run directory is like any other, with version 0 as its only checkpoint: `planner.init = DIR/checkpoints/v000000`
starts an RL run from it, and `label-eval` measures it on other dialogues.
"""

from __future__ import annotations

from pathlib import Path

import trio
from rich.console import Console
from rich.text import Text

from harness.app.console.logs import logging_to
from harness.app.console.progress import Progress
from harness.app.console.show import show_progress
from harness.app.identity.manifest import encode, manifest_of
from harness.app.job.metricsfile import MetricsFile
from harness.app.job.training import WARMED_UP, learn_labels
from harness.app.settings.configfile import load_config
from harness.app.setup.inputs import read_labels
from harness.app.setup.sources import digests
from harness.app.setup.wiring import planner_of
from harness.core.errors import ConfigError
from harness.core.log import rundir
from harness.domain.strategies import strategy_set
from learner.checkpoint import save_checkpoint


def warmup(file: Path, run_dir: Path | None, overrides: list[str], console: Console, *, quiet: bool) -> Path:
    """Train and save; returns the checkpoint. `ConfigError` where there is nothing to train or to train on."""
    config = load_config(file, overrides)
    folder = run_dir or Path(config.run.directory) / rundir.default_name(f"{config.run.name}-warmup")
    rundir.refuse_existing(folder)
    dialogues, validation, notes = read_labels(config)
    planner = planner_of(config, strategy_set(config.data.labels))
    if planner is None:
        raise ConfigError(f"planner.kind: a planner of kind {config.planner.kind!r} learns nothing")
    rundir.create(folder, encode(manifest_of(config, digests(config))))
    progress = Progress(console, quiet=quiet)
    with (
        rundir.locked(folder),
        logging_to(folder / rundir.LOGS / "harness.jsonl", ()),
        MetricsFile(folder) as metrics,
    ):
        for note in notes:
            progress.say(note)

        async def train() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(show_progress, progress)
                await trio.to_thread.run_sync(learn_labels, planner, dialogues, validation, config, progress, metrics)
                nursery.cancel_scope.cancel()

        trio.run(train)
        saved = save_checkpoint(
            folder / rundir.CHECKPOINTS, planner, version=WARMED_UP, config_digest=config.digest, log_position=0
        )
    console.print(Text(f"checkpoint {saved}"), soft_wrap=True)
    return saved
