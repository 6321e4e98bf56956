"""`recommend-eval`: recall at human recommendation turns, of floors that need no model.

Popularity is counted on the training part alone: on files of their own, on the training part of a split by dialogue, or
on the other folds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.evaluation.recommendation import BY_DIALOGUE, Ranking, measured
from harness.app.evaluation.statistics import estimate_text
from harness.app.settings.config import Config
from harness.app.settings.configfile import load_config
from harness.app.setup.corpora import graph_at, read_corpora
from harness.app.setup.trained import COPY, TRAINED, Corpus, title_of, train
from harness.core.errors import InputError
from harness.domain.entities import Entities
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.ranking import Placed, floors, joined, placed, placed_over
from harness.domain.splits import SHARES, Part, in_folds, in_parts, with_tuning

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
    crs: Path | None = None,
    systems: list[str] | None = None,
    overrides: list[str] | None = None,
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
    where = {name: placed_over(fit, parts) for name, fit in floors(entities).items()}
    if crs is not None:
        where |= _trained(load_config(crs, overrides or []), systems or list(TRAINED), parts, films, entities)
    rankings = {name: measured(one) for name, one in where.items()}
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
        console.print((floors_table if crs is None else rankers_table)(rankings, new))
    console.print(Text(f"Among equals every order is as likely. {BY_DIALOGUE}"), soft_wrap=True)


def _trained(
    config: Config, kinds: list[str], parts: Sequence[Part], films: KnowledgeGraph, entities: Entities
) -> dict[str, Placed]:
    """What the systems of a config reach, trained anew on each part and kept nowhere."""
    from learner.crs.copying import WithCopy, count_copies

    strange = [kind for kind in kinds if kind not in TRAINED]
    if strange:
        raise InputError(f"--system {strange[0]}: known are {', '.join(TRAINED)}")
    found: dict[str, Placed] = {}
    for base in dict.fromkeys(kind.removesuffix(COPY) for kind in kinds):
        pieces: dict[str, list[Placed]] = {kind: [] for kind in (base, base + COPY) if kind in kinds}
        for part in parts:
            part = with_tuning(part, config.run.seed)
            with tempfile.TemporaryDirectory(prefix="rso-crs-") as folder:
                system = train(config, base, Corpus(films, entities, part, ()), Path(folder))
            for kind, own in pieces.items():
                counted = count_copies(part.training, len(entities.item_ids))
                own.append(placed(WithCopy(system, counted) if kind.endswith(COPY) else system, part.test))
        found |= {title_of(config, kind): joined(own) for kind, own in pieces.items()}
    return found


SHORT = ("recall_1", "recall_10", "recall_50")
"""Measures that are shown where many rankers stand in rows."""


def rankers_table(rankings: Mapping[str, Ranking], new: bool) -> Table:
    """The main measures, a ranker a row, on all targets or on new ones."""
    shown = {name: found.new if new else found.all for name, found in rankings.items()}
    count = next(iter(shown.values()))["recall_1"].n
    table = Table(title=f"{'new' if new else 'all'} targets ({count})", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("", min_width=23)
    for measure in SHORT:
        table.add_column(TITLES[measure], justify="right", no_wrap=True)
    for name, values in shown.items():
        table.add_row(name, *(Text(estimate_text(values[measure], 3, between="\n")) for measure in SHORT))
    return table


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
