"""Cross-validation of planners on human labels, by dialogue, beside the two baselines.

Predictions of all folds are pooled before they are measured, so n is the number of labelled turns. Each fold's planner
finds its early-stopping point inside its own training dialogues; the held-out fold is seen once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from harness.core import seeds
from harness.core.errors import InputError
from harness.core.messages import Dialogue
from learner.label_baselines import majority, tfidf_logreg
from learner.labels import LabelMeasures, Matrix, labelled_states, measure
from learner.policy import TrainablePolicy
from learner.warmup import predict


def cross_validate(
    dialogues: Sequence[Dialogue],
    strategies: tuple[str, ...],
    train: Callable[[Sequence[Dialogue]], TrainablePolicy],
    *,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, LabelMeasures]:
    """``model`` (what ``train`` makes of the other folds), ``majority``, ``tfidf_logreg``, all on unseen dialogues."""
    labelled = [dialogue for dialogue in dialogues if dialogue.labelled_turns]
    if len(labelled) < folds:
        raise InputError(f"{folds}-fold cross-validation needs {folds} labelled dialogues, found {len(labelled)}")
    order = np.random.default_rng(seeds.derive(seed, "folds")).permutation(len(labelled))
    tested: list[Dialogue] = []
    predicted: dict[str, list[Matrix]] = {"model": [], "majority": [], "tfidf_logreg": []}
    for fold in range(folds):
        held = set(order[fold::folds].tolist())
        learning = [dialogue for i, dialogue in enumerate(labelled) if i not in held]
        unseen = [labelled[i] for i in sorted(held)]
        seen_labels, unseen_labels = (labelled_states(part, strategies) for part in (learning, unseen))
        policy = train(learning)
        predicted["model"].append(predict(policy, [policy.prepare(state) for state in unseen_labels.states]))
        predicted["majority"].append(majority(seen_labels, unseen_labels))
        predicted["tfidf_logreg"].append(tfidf_logreg(seen_labels, unseen_labels))
        tested.extend(unseen)
    labels = labelled_states(tested, strategies)
    return {name: measure(np.concatenate(parts), labels) for name, parts in predicted.items()}
