"""`run` and `resume`: the main job in a new directory, or in one that holds a part of it; `--dry-run` calls nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from harness.app.evaluation.summary import Summary
from harness.app.identity.manifest import read_manifest, tree_of
from harness.app.job.main_job import begin_or_go_on, go_on
from harness.app.job.workload import workload_of, workload_table, workload_without_data
from harness.app.settings.configfile import config_from_tree, load_config, missing_data, overridden
from harness.app.setup.inputs import read_inputs
from harness.core.log import rundir
from learner.checkpoint import load_checkpoint


def dry_run(file: Path, overrides: list[str], console: Console) -> None:
    """Print the resolved config and what the run would ask of its models; calls none.

    Where files of data are missing it says which, and estimates with made-up films.
    """
    config = load_config(file, overrides)
    missing = missing_data(config)
    expected = workload_without_data(config) if missing else workload_of(config, read_inputs(config))
    if config.planner.init:
        load_checkpoint(Path(config.planner.init))  # the encoder is not loaded: it may be on the machine that will run
    console.print(Text(msgspec.json.format(msgspec.json.encode(config), indent=2).decode()), soft_wrap=True)
    console.print(Text(f"config digest {config.digest}"), soft_wrap=True)
    console.print(Text("episodes: " + ", ".join(f"{name} {count}" for name, count in expected.phases.items())))
    console.print(workload_table(expected))
    if missing:
        console.print(
            Text(
                "These data are not here; the run needs them in these places, or others by --set KEY=PATH. The "
                "estimate is made with films of usual length."
            ),
            soft_wrap=True,
        )
        for key, path in missing:
            console.print(Text(f"  {key}: {path}"), soft_wrap=True)


def run(file: Path, run_dir: Path | None, overrides: list[str], console: Console, *, quiet: bool) -> Summary:
    """The main job in a new run directory."""
    config = load_config(file, overrides)
    folder = run_dir or Path(config.run.directory) / rundir.default_name(config.run.name)
    rundir.refuse_existing(folder)
    return begin_or_go_on(config, folder, console, quiet=quiet)


def resume(
    folder: Path,
    file: Path | None,
    overrides: list[str],
    console: Console,
    *,
    quiet: bool,
    accept_changes: bool = False,
    retry_failed: bool = False,
) -> Summary:
    """Go on with a run; only keys that no result depends on may differ, and texts only with ``accept_changes``."""
    manifest = read_manifest(folder)
    wanted = load_config(file, overrides) if file else config_from_tree(overridden(tree_of(manifest), overrides))
    return go_on(
        wanted,
        manifest,
        folder,
        console,
        quiet=quiet,
        accept_changes=accept_changes,
        retry_failed=retry_failed,
    )
