"""`label-eval`: how well a planner predicts human strategy labels, beside two baselines.

The planner is measured on every labelled turn of the file. Beside it stand the majority class and TF-IDF with logistic
regression, both trained on the dialogues that the planner was warmed up on (all of them; the planner itself kept some
for early stopping). The checkpoint's run directory says which dialogues these are.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.evaluation.decisions import decisions_of
from harness.app.identity.manifest import config_of, read_manifest, refuse_other_files
from harness.app.setup.sources import Readings, Source, digests, label_source
from harness.app.setup.wiring import loaded_encoder
from harness.core.errors import InputError
from harness.domain.strategies import strategy_set
from learner.checkpoint import load_checkpoint
from learner.label_baselines import majority, tfidf_logreg
from learner.labels import LabelMeasures, confusion, labelled_states, measure
from learner.warmup import predict

TITLES = {"model": "planner", "majority": "majority", "tfidf_logreg": "TF-IDF + log. regression"}


def label_eval(checkpoint: Path, inspired: Path, skip_bad: int | None, console: Console, *, as_json: bool) -> None:
    """Print NLL, accuracies, macro-F1 and the confusion matrix; with ``as_json`` the measures alone, as one object."""
    found = load_checkpoint(checkpoint)
    folder = checkpoint.resolve().parent.parent
    manifest = read_manifest(folder)
    config = config_of(manifest, folder)
    refuse_other_files(manifest, digests(config))
    source = label_source(config)
    trained_on = Readings(config).of(source)
    reading = config
    if skip_bad is not None:
        reading = msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, skip_bad=skip_bad))
    files = Readings(reading)
    dialogues, notes = files.of(Source("INSPIRED", inspired, "inspired")), files.notes
    if hashlib.sha256(inspired.read_bytes()).hexdigest() == manifest.files.get(source.key):
        notes.append(
            "these are the dialogues that planner and baselines were trained on: the figures flatter all three"
        )
    strategies = tuple(strategy.key for strategy in strategy_set(config.data.labels))
    train, test = labelled_states(trained_on, strategies), labelled_states(dialogues, strategies)
    if not len(test):
        raise InputError(f"{inspired} holds no labelled recommender turn that follows a seeker's message")
    policy = found.policy(partial(loaded_encoder, device=config.planner.device))
    predicted = predict(policy, [policy.prepare(state) for state in test.states])
    measures: dict[str, LabelMeasures] = {
        "model": measure(predicted, test),
        "majority": measure(majority(train, test), test),
        "tfidf_logreg": measure(tfidf_logreg(train, test), test),
    }
    if as_json:
        print(msgspec.json.encode(measures).decode())
        return
    for note in notes:
        console.print(Text(note), soft_wrap=True)
    console.print(Text(f"{checkpoint} on {inspired}, {len(test)} labelled turns of {len(dialogues)} dialogues"))
    console.print(_measures(measures))
    console.print(
        Text(
            f"No world: the figures are of human labels. Seed {config.run.seed}. Planner of a run with these "
            f"decisions: {decisions_of(config)}."
        ),
        soft_wrap=True,
    )
    console.print(_confusion(confusion(predicted, test).tolist(), strategies))


def _measures(measures: dict[str, LabelMeasures]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "NLL", "first label", "any label", "macro-F1", "n"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, values in measures.items():
        rates = (values.nll, values.first_label_accuracy, values.any_label_accuracy, values.macro_f1)
        table.add_row(TITLES[name], *(f"{rate:.3f}" for rate in rates), str(values.n))
    return table


def _confusion(counts: list[list[int]], strategies: tuple[str, ...]) -> Table:
    table = Table(title="rows: first label; columns: the planner's choice, in the same order", box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for number in range(1, len(strategies) + 1):
        table.add_column(str(number), justify="right")
    for number, (strategy, row) in enumerate(zip(strategies, counts, strict=True), start=1):
        table.add_row(f"{number} {strategy}", *(str(count) if count else "·" for count in row))
    return table
