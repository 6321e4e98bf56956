"""`train-crs`: UniCRS and BARCOR from human dialogues, and what they reach on dialogues that they did not see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio
from rich.console import Console
from rich.text import Text

from harness.app.commands.recommend_eval import rankers_table
from harness.app.console.progress import Progress
from harness.app.console.show import show_progress
from harness.app.evaluation.recommendation import measured
from harness.app.settings.configfile import load_config
from harness.app.setup.sources import read_graph
from harness.app.setup.trained import COPY, TRAINED, corpus_of, folder_of, title_of, train
from harness.core.errors import InputError
from harness.domain.ranking import floors, placed
from learner.crs.copying import WithCopy, count_copies
from learner.crs.store import is_saved, read_meta

SYSTEMS = tuple(kind for kind in TRAINED if not kind.endswith(COPY))


def train_crs(file: Path, systems: list[str], overrides: list[str], console: Console, *, quiet: bool) -> list[Path]:
    """Train what is not trained yet, measure it on the test part, and return the folders."""
    config = load_config(file, overrides)
    strange = [name for name in systems if name not in SYSTEMS]
    if strange:
        raise InputError(f"--system {strange[0]}: known are {', '.join(SYSTEMS)}")
    corpus = corpus_of(config, read_graph(config))
    part = corpus.part
    for note in corpus.notes:
        console.print(Text(note), soft_wrap=True)
    console.print(
        Text(
            f"{len(part.training)} turns to train on, {len(part.tuning)} to choose epochs by, {len(part.test)} to "
            f"measure, split by dialogue with seed {config.run.seed}; {len(corpus.entities.item_ids)} films"
        ),
        soft_wrap=True,
    )
    progress = Progress(console, quiet=quiet)
    rankings = {
        name: measured(placed(fit(part), part.test))
        for name, fit in floors(corpus.entities).items()
        if name != "chance"
    }
    counted = count_copies(part.training, len(corpus.entities.item_ids))
    folders: list[Path] = []

    def work() -> None:
        for kind in systems or SYSTEMS:
            folder = folder_of(config, kind, corpus)
            name = title_of(config, kind)
            if is_saved(folder):
                progress.say(f"{name} is trained already: {folder}")
            system = train(config, kind, corpus, folder, _shown(progress, name))
            for epoch in read_meta(folder).curve:
                judged = "" if epoch.tuning is None else f", tuning {epoch.tuning:.3f}"
                progress.say(f"{name}, {epoch.stage} {epoch.epoch}: loss {epoch.training:.3f}{judged}")
            folders.append(folder)
            progress.begin(f"{name}: measuring", 0, unit="turns")
            rankings[name] = measured(placed(system, part.test))
            rankings[title_of(config, kind + COPY)] = measured(placed(WithCopy(system, counted), part.test))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show_progress, progress)
            await trio.to_thread.run_sync(work, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()

    trio.run(main)
    for new in (False, True):
        console.print(rankers_table(rankings, new))
    for folder in folders:
        console.print(Text(f"{folder}: weights {read_meta(folder).digest}"), soft_wrap=True)
    return folders


def _shown(progress: Progress, name: str) -> Callable[[str, int, int], None]:
    at = ""

    def show(stage: str, done: int, total: int) -> None:
        nonlocal at
        if stage != at:
            at = stage
            progress.begin(f"{name}: {stage}", total, done - 1, unit="steps")
        progress.advance(done, total)

    return show
