"""`recommend-eval`: recall at human recommendation turns, of floors that need no model.

Popularity is counted on the training part alone: on files of their own, on the training part of a split by dialogue, or
on the other folds.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.evaluation.recommendation import BY_DIALOGUE, Ranking, measured
from harness.app.evaluation.statistics import estimate_text
from harness.app.setup.corpora import graph_at, read_corpora
from harness.core.errors import InputError
from harness.domain.entities import Entities
from harness.domain.ranking import floors, placed_over
from harness.domain.splits import SHARES, Part, in_folds, in_parts

TITLES = {
    "recall_1": "R@1", "recall_5": "R@5", "recall_10": "R@10", "recall_50": "R@50", "mrr": "MRR@50", "ndcg": "NDCG@50",
}  # fmt: skip


def recommend_eval(
    files: list[Path],
    console: Console,
    *,
    graph: Path | None,
    train: list[Path],
    folds: int | None,
    seed: int,
    skip_bad: int,
    as_json: bool,
) -> None:
    """Print the floors with their intervals; with ``as_json`` the measures alone, as one object."""
    if train and folds is not None:
        raise InputError("--train and --folds exclude each other: folds are made of the files to measure on")
    films = graph_at(graph, files, skip_bad)
    entities = Entities(films)
    corpora = read_corpora([files, train] if train else [files], films, entities, skip_bad)
    turns = corpora[0].turns
    if train:
        parts: tuple[Part, ...] = (Part(corpora[1].turns, (), turns),)
        split = f"trained on {', '.join(map(str, train))}"
    elif folds is not None:
        parts = in_folds(turns, folds, seed)
        split = f"{folds} folds by dialogue, seed {seed}: each is measured, and the others are trained on"
    else:
        parts = (in_parts(turns, seed),)
        split = (
            f"split by dialogue, seed {seed}: {SHARES[0]:.0%} trained on, {SHARES[1]:.0%} left for tuning, "
            f"{SHARES[2]:.0%} measured"
        )
    rankings = {name: measured(placed_over(fit, parts)) for name, fit in floors(entities).items()}
    if as_json:
        print(msgspec.json.encode(rankings).decode())
        return
    for note in (*(note for corpus in corpora for note in corpus.notes), *films.notes):
        console.print(Text(note), soft_wrap=True)
    test = [turn for part in parts for turn in part.test]
    console.print(
        Text(
            f"{split}; {len(test)} turns of {len({turn.dialogue for turn in test})} dialogues, "
            f"{sum(len(turn.targets) for turn in test)} targets among {len(entities.item_ids)} films"
        ),
        soft_wrap=True,
    )
    for new in (False, True):
        console.print(floors_table(rankings, new))
    console.print(Text(f"Among equals every order is as likely. {BY_DIALOGUE}"), soft_wrap=True)


def floors_table(rankings: dict[str, Ranking], new: bool) -> Table:
    """The measures of all rankers on all targets, or on new ones."""
    shown = {name: found.new if new else found.all for name, found in rankings.items()}
    count = next(iter(shown.values()))["recall_1"].n
    table = Table(title=f"{'new' if new else 'all'} targets ({count})", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for measure, title in TITLES.items():
        # Text, since markup would take the brackets of "[all alike]" for a tag.
        table.add_row(title, *(Text(estimate_text(values[measure], 3, between="\n")) for values in shown.values()))
    return table
