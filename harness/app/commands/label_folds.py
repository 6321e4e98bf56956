"""`label-folds`: how well a config's planner predicts human strategy labels, by cross-validation within one file.

For data of one file only, such as INSPIRED's dev split. Beside the planner stand the majority, TF-IDF with logistic
regression, and a plain fine-tuned encoder (all layers trained, no other setting of ours), on the same folds. With a
second file of dialogues that nobody has looked at, `label-eval` is the better measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.app.console.progress import Progress
from harness.app.settings.config import Config
from harness.app.settings.configfile import load_config
from harness.app.setup.sources import Readings, label_source
from harness.app.setup.wiring import planner_of
from harness.core.errors import ConfigError
from harness.core.messages import Dialogue
from harness.domain.strategies import strategy_set
from learner.label_baselines import majority, tfidf_logreg
from learner.label_folds import Comparison, Predictor, cross_validate
from learner.labels import LabelledStates, Matrix, labelled_states
from learner.warmup import predict, warm_up

PLANNER, FINE_TUNED = "planner", "fine-tuned"
_FINE_TUNED = {"planner.trainable_layers": 6, "warmup.epochs": 3, "warmup.encoder_learning_rate": 1e-4}
"""The usual settings for a sentence encoder of six layers: 1e-4, three epochs."""


def label_folds(
    file: Path,
    overrides: list[str],
    console: Console,
    *,
    folds: int,
    repeats: int,
    fine_tuned: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print NLL and any-label accuracy of all predictors, and the planner's paired differences from each."""
    config = load_config(file, overrides)
    source, files = label_source(config), Readings(config)
    if config.planner.kind not in ("encoder", "tabular"):
        raise ConfigError(f"planner.kind: a planner of kind {config.planner.kind!r} learns nothing")
    dialogues, notes = files.of(source), files.notes
    strategies = tuple(strategy.key for strategy in strategy_set(config.data.labels))
    predictors: dict[str, tuple[Predictor, int]] = {
        PLANNER: (_planner(config), repeats),
        "majority": (_fitted(majority, strategies), repeats),
        "TF-IDF": (_fitted(tfidf_logreg, strategies), repeats),
    }
    if fine_tuned:
        layers = [f"{key}={value}" for key, value in _FINE_TUNED.items()]
        predictors[FINE_TUNED] = (_planner(load_config(file, [*overrides, *layers])), fine_tuned)
    progress = Progress(console, quiet=quiet or as_json)
    total = folds * sum(count for _, count in predictors.values())
    progress.begin("cross-validation", total, unit="folds")
    found = cross_validate(
        dialogues,
        strategies,
        predictors,
        reference=PLANNER,
        folds=folds,
        seed=config.run.seed,
        done=lambda name: progress.say(f"{name}: a fold is done") if name == FINE_TUNED else None,
    )
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    for note in notes:
        console.print(Text(note), soft_wrap=True)
    console.print(_table(found))
    turns = sum(len(dialogue.labelled_turns) for dialogue in dialogues)
    console.print(
        Text(
            f"{turns} labelled turns of {len(dialogues)} dialogues of {source.path}; {folds} folds by "
            "dialogue, every fit inside the other folds. Differences: the planner minus the row, on the repeats that "
            "both have, 95% intervals by dialogue. No world: the figures are of human labels. They are optimistic: the "
            "planner's inputs were chosen on INSPIRED's dev split."
        ),
        soft_wrap=True,
    )


def _planner(config: Config) -> Predictor:
    strategies = strategy_set(config.data.labels)

    def fitted(learning: Sequence[Dialogue], asked: LabelledStates) -> Matrix:
        policy = planner_of(config, strategies)
        assert policy is not None  # checked above
        warm_up(
            policy,
            learning,
            seed=config.run.seed,
            epochs=config.warmup.epochs,
            learning_rate=config.warmup.learning_rate,
            encoder_learning_rate=config.warmup.encoder_learning_rate,
        )
        return predict(policy, [policy.prepare(state) for state in asked.states])

    return fitted


def _fitted(baseline: object, strategies: tuple[str, ...]) -> Predictor:
    assert callable(baseline)
    return lambda learning, asked: baseline(labelled_states(learning, strategies), asked)


def _table(found: dict[str, Comparison]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "repeats", "NLL", "difference", "any label", "difference"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, one in found.items():
        table.add_row(
            name,
            str(one.repeats),
            f"{one.nll:.3f}",
            _signed(one.nll_difference),
            f"{one.any_label:.3f}",
            _signed(one.any_label_difference),
        )
    return table


def _signed(value: tuple[float, float, float] | None) -> str:
    return "" if value is None else f"{value[0]:+.3f} [{value[1]:+.3f}, {value[2]:+.3f}]"
