"""Supervised warm-up of a planner on human strategy labels (paper, Eq. 6), with early stopping.

Dialogues, not turns, are split into training and validation: turns of one dialogue share their text. The epoch with the
best validation NLL is kept, the untrained planner being epoch 0. A frozen encoder reads every state once, before the
first epoch. Left out: dropout, so that the planner that is trained is the planner that acts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from harness.core import seeds
from harness.core.errors import InputError
from harness.core.messages import Dialogue, Struct
from learner.encoder_policy import EncoderPolicy
from learner.label_baselines import majority
from learner.labels import LabelledStates, LabelMeasures, Matrix, labelled_states, measure
from learner.objective import soft_cross_entropy
from learner.optimizer import Optimizer, linear_decay
from learner.policy import TrainablePolicy

VALIDATION_SHARE = 0.15
BATCH_TURNS = 16
PATIENCE = 5
"""Epochs without a better validation NLL after which training ends."""
HEAD_PENALTY = 1e-3
"""Weight of |W|^2 / 2 in a head's loss: it has more weights than there are labelled turns. In 5-fold cross-validation
on INSPIRED's dev split, two repeats: NLL 2.173, 2.136, 2.111, 2.106, 2.105 for 2e-2, 1e-2, 3e-3, 1e-3 and 3e-4."""
_ENCODER_WEIGHT_DECAY = 0.01

OnStep = Callable[[str, int, int], None]
"""Called with what is done (``states read`` or ``epochs``), how many, of how many."""


class EpochReport(Struct, frozen=True, kw_only=True):
    """After one epoch; ``train_nll`` is the mean of the taken steps' losses without the penalty."""

    epoch: int
    train_nll: float | None
    validation_nll: float


class WarmupReport(Struct, frozen=True, kw_only=True):
    """What the warm-up did, and how the kept planner does beside the majority, on the validation dialogues."""

    epochs: tuple[EpochReport, ...]
    best_epoch: int
    """0: no epoch was better than the untrained planner."""
    train: LabelMeasures
    validation: LabelMeasures
    majority: LabelMeasures
    train_dialogues: int
    validation_dialogues: int
    refused_steps: int
    """Steps not taken because the loss or a gradient was not finite."""


def split_dialogues(
    dialogues: Sequence[Dialogue], *, seed: int, share: float = VALIDATION_SHARE
) -> tuple[list[Dialogue], list[Dialogue]]:
    """(training, validation) dialogues; those without a labelled turn are left out. Depends on seed and order only."""
    labelled = [dialogue for dialogue in dialogues if dialogue.labelled_turns]
    if len(labelled) < 2:
        raise InputError(f"warm-up needs at least 2 dialogues with labelled turns, found {len(labelled)}")
    drawn = np.random.default_rng(seeds.derive(seed, "warmup", "split")).permutation(len(labelled))
    held = set(drawn[: min(max(1, round(share * len(labelled))), len(labelled) - 1)].tolist())
    return (
        [dialogue for i, dialogue in enumerate(labelled) if i not in held],
        [dialogue for i, dialogue in enumerate(labelled) if i in held],
    )


def warm_up(
    policy: TrainablePolicy,
    dialogues: Sequence[Dialogue],
    *,
    validation: Sequence[Dialogue] = (),
    seed: int,
    epochs: int,
    learning_rate: float,
    encoder_learning_rate: float | None = None,
    progress: OnStep | None = None,
) -> WarmupReport:
    """Train ``policy`` in place on the labelled turns of ``dialogues``; blocks, so run it in a worker thread.

    With ``validation``, all ``dialogues`` teach and it chooses the epoch; without, a share of ``dialogues`` does.
    A rate of 5e-3 suits a linear head; a trainable encoder wants about 1e-4 of its own and 3 epochs. Raises
    `InputError` where there are not two labelled dialogues, `DataError` for a label outside of the policy's strategies.
    """
    if validation:
        learning, held_out = ([d for d in part if d.labelled_turns] for part in (dialogues, validation))
    else:
        learning, held_out = split_dialogues(dialogues, seed=seed)
    train, held = (labelled_states(part, policy.strategies) for part in (learning, held_out))
    inputs, held_inputs = _prepared(policy, train, held, progress)
    if isinstance(policy, EncoderPolicy):
        policy.fit_inputs(inputs)
    optimizer = Optimizer(
        policy,
        learning_rate=learning_rate,
        encoder_learning_rate=encoder_learning_rate,
        encoder_weight_decay=_ENCODER_WEIGHT_DECAY,
    )
    targets_NK = torch.from_numpy(train.targets_NK)
    shuffle = torch.Generator().manual_seed(seeds.derive(seed, "warmup", "order"))
    steps_an_epoch = -(-len(train) // BATCH_TURNS)

    best_nll, best_epoch = measure(predict(policy, held_inputs), held).nll, 0
    best_weights = _copied(policy)
    reports: list[EpochReport] = []
    refused = step = 0
    for epoch in range(1, epochs + 1):
        losses = []
        for rows in torch.randperm(len(train), generator=shuffle).split(BATCH_TURNS):  # type: ignore[no-untyped-call]
            log_probs_NK = policy.log_probabilities([inputs[row] for row in rows.tolist()], batched=True)
            nll = soft_cross_entropy(log_probs_NK, targets_NK[rows].to(log_probs_NK.device))
            rate = linear_decay(step, epochs * steps_an_epoch)
            step += 1
            if optimizer.step(nll + _head_penalty(policy), rate=rate) is None:
                refused += 1
            else:
                losses.append(nll.item())
        held_nll = measure(predict(policy, held_inputs), held).nll
        reports.append(
            EpochReport(epoch=epoch, train_nll=float(np.mean(losses)) if losses else None, validation_nll=held_nll)
        )
        if progress:
            progress("epochs", epoch, epochs)
        if held_nll < best_nll:
            best_nll, best_epoch, best_weights = held_nll, epoch, _copied(policy)
        elif epoch - best_epoch >= PATIENCE:
            break
    policy.load_weights(best_weights)

    return WarmupReport(
        epochs=tuple(reports),
        best_epoch=best_epoch,
        train=measure(predict(policy, inputs), train),
        validation=measure(predict(policy, held_inputs), held),
        majority=measure(majority(train, held), held),
        train_dialogues=len(learning),
        validation_dialogues=len(held_out),
        refused_steps=refused,
    )


def predict(policy: TrainablePolicy, prepared: Sequence[Any]) -> Matrix:
    """(N, K) probabilities for prepared states."""
    with torch.no_grad():
        found: Matrix = policy.log_probabilities(prepared, batched=True).exp().cpu().numpy()
    return found


def _prepared(
    policy: TrainablePolicy, train: LabelledStates, validation: LabelledStates, progress: OnStep | None
) -> tuple[list[Any], list[Any]]:
    inputs: list[Any] = []
    total = len(train) + len(validation)
    for state in (*train.states, *validation.states):
        inputs.append(policy.prepare(state))
        if progress:
            progress("states read", len(inputs), total)
    return inputs[: len(train)], inputs[len(train) :]


def _head_penalty(policy: TrainablePolicy) -> torch.Tensor:
    groups = policy.parameter_groups()
    head = [*groups.get("text", []), *groups.get("numbers", [])]
    squares = [parameter.square().sum() for parameter in head if parameter.dim() > 1]  # biases are free
    return HEAD_PENALTY / 2 * torch.stack(squares).sum() if squares else torch.zeros(())


def _copied(policy: TrainablePolicy) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in policy.weights().items()}
