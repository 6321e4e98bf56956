"""One loop that trains both systems, stage after stage: AdamW, a linear schedule, the best epoch on the tuning part.

The order of examples and all dropout depend on (seed, stage, step) alone. So a training that was killed goes on from
what a `Keeper` last wrote and ends with the same weights as one that never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from harness.core.errors import RunStopped
from harness.core.messages import Struct
from harness.core.seeds import derive

WARMUP = 0.1
"""Share of a stage's steps in which the rate rises."""
DECAY = 0.01
"""Weight decay of matrices; vectors (biases, norms) have none."""
CLIP = 1.0
KEEP_EVERY_S = 30.0
WINDOW = 8
"""Batches of one window hold texts of like length, which saves padding; windows are in random order."""


class Stage(NamedTuple):
    """One part of a system's training."""

    name: str
    learns: nn.Module
    """Its parameters that require a gradient while `begin` has run."""
    examples: Sequence[Any]
    tuning: Sequence[Any]
    """Examples on which `judge` tells the best epoch; without any the last epoch stays."""
    loss: Callable[[Sequence[Any]], tuple[Tensor, int]]
    """Examples -> their mean loss and what it is the mean over."""
    judge: Callable[[Sequence[Any]], tuple[Tensor, int]]
    """The same of the measure by which epochs are compared, less is better. A ranking is judged by its places: a film
    that the training never recommends makes the mean loss rise while the ranking still improves."""
    size: Callable[[Any], int]
    epochs: int
    rate: float
    batch: int
    begin: Callable[[], None]
    """Called before the stage, also where it is gone on with; it must change no weight that the stage learns."""
    start: Callable[[], None]
    """Called once, before the stage's first step: weights that it takes over from earlier stages."""


class Trainable(Protocol):
    """A system that `train` trains."""

    def stages(self) -> Sequence[Stage]: ...

    def weights(self) -> dict[str, Tensor]:
        """All that is learned, by name."""
        ...

    def load_weights(self, weights: dict[str, Tensor]) -> None: ...


class At(Struct, frozen=True, kw_only=True):
    """How far a training is."""

    stage: int = 0
    step: int = 0
    best: float | None = None
    curve: tuple[Epoch, ...] = ()


class Epoch(Struct, frozen=True, kw_only=True):
    """One epoch of a stage: the mean loss in training, and what the tuning part is judged by."""

    stage: str
    epoch: int
    training: float
    tuning: float | None


class Keeper(Protocol):
    """Keeps a training that is under way."""

    def kept(self) -> tuple[At, dict[str, Tensor]] | None: ...

    def keep(self, at: At, tensors: dict[str, Tensor]) -> None: ...


Show = Callable[[str, int, int], None]
"""What is trained, steps done, steps in all."""


def train(system: Trainable, *, seed: int, keeper: Keeper | None = None, show: Show | None = None) -> tuple[Epoch, ...]:
    """Train all stages that are left, and return the losses of all epochs.

    Raises:
        RunStopped: a loss is not a number.
    """
    at, tensors = (keeper.kept() if keeper else None) or (At(), {})
    stages = system.stages()
    if tensors:
        system.load_weights(_under("weights.", tensors))
    for number, stage in enumerate(stages):
        if number < at.stage or not stage.examples or not stage.epochs:
            continue
        if number > at.stage:
            at, tensors = At(stage=number, curve=at.curve), {}
        at = _stage(system, stage, at, tensors, seed=seed, keeper=keeper, show=show)
        tensors = {}
    return at.curve


def _stage(
    system: Trainable,
    stage: Stage,
    at: At,
    tensors: dict[str, Tensor],
    *,
    seed: int,
    keeper: Keeper | None,
    show: Show | None,
) -> At:
    stage.begin()
    if not at.step:
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, stage.name, "start"))
            stage.start()
    learned = {name: p for name, p in stage.learns.named_parameters() if p.requires_grad}
    optimizer = _optimizer(learned, stage.rate)
    if tensors:
        _restore(optimizer, learned, tensors)
    best = _under("best.", tensors)
    per_epoch = math.ceil(len(stage.examples) / stage.batch)
    steps = per_epoch * stage.epochs
    last_kept = time.monotonic()
    losses: list[float] = []  # of this epoch, as far as this sitting made them; it is shown and nothing rests on it
    batches: list[list[Any]] = []
    for step in range(at.step, steps):
        epoch, place = divmod(step, per_epoch)
        if not batches or not place:
            batches = _batches(stage, seed, epoch)
        batch = batches[place]
        stage.learns.train()
        for group in optimizer.param_groups:
            group["lr"] = stage.rate * _schedule(step, steps)
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, stage.name, step))
            loss, _ = stage.loss(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()
        if not math.isfinite(value):
            raise RunStopped(f"{stage.name}: the loss is no number at step {step + 1} of {steps}; a lower rate helps")
        losses.append(value)
        nn.utils.clip_grad_norm_(learned.values(), CLIP)
        optimizer.step()
        at = At(stage=at.stage, step=step + 1, best=at.best, curve=at.curve)
        if place == per_epoch - 1:
            at, better = _epoch(stage, at, epoch, losses)
            if better:
                best = {name: p.detach().clone() for name, p in learned.items()}
            losses = []
        if show is not None:
            show(stage.name, step + 1, steps)
        if keeper is not None and step + 1 < steps and time.monotonic() - last_kept > KEEP_EVERY_S:
            keeper.keep(at, _kept(system, optimizer, learned, best))
            last_kept = time.monotonic()
    with torch.no_grad():
        for name, values in best.items():
            learned[name].copy_(values)
    stage.learns.eval()
    if keeper is not None:
        # The next stage begins from here, whatever this one's optimizer held.
        keeper.keep(At(stage=at.stage + 1, curve=at.curve), _prefixed("weights.", system.weights()))
    return at


def _epoch(stage: Stage, at: At, epoch: int, losses: list[float]) -> tuple[At, bool]:
    tuning = None
    if stage.tuning:
        stage.learns.eval()
        total = weight = 0.0
        with torch.no_grad():
            for start in range(0, len(stage.tuning), stage.batch):
                value, over = stage.judge(stage.tuning[start : start + stage.batch])
                total, weight = total + value.item() * over, weight + over
        tuning = total / weight
    better = tuning is not None and (at.best is None or tuning < at.best)
    made = Epoch(stage=stage.name, epoch=epoch + 1, training=sum(losses) / len(losses), tuning=tuning)
    return At(stage=at.stage, step=at.step, best=tuning if better else at.best, curve=(*at.curve, made)), better


def _batches(stage: Stage, seed: int, epoch: int) -> list[list[Any]]:
    order = torch.randperm(
        len(stage.examples), generator=torch.Generator().manual_seed(derive(seed, stage.name, "order", epoch))
    ).tolist()
    batches: list[list[Any]] = []
    for start in range(0, len(order), stage.batch * WINDOW):
        window = sorted(order[start : start + stage.batch * WINDOW], key=lambda at: stage.size(stage.examples[at]))
        batches += [
            [stage.examples[at] for at in window[first : first + stage.batch]]
            for first in range(0, len(window), stage.batch)
        ]
    return batches


def _schedule(step: int, steps: int) -> float:
    rising = max(1.0, steps * WARMUP)
    return min((step + 1) / rising, (steps - step) / max(1.0, steps - rising))


def _optimizer(learned: dict[str, nn.Parameter], rate: float) -> torch.optim.AdamW:
    matrices = [p for p in learned.values() if p.dim() > 1]
    vectors = [p for p in learned.values() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=rate)


def _kept(
    system: Trainable, optimizer: torch.optim.AdamW, learned: dict[str, nn.Parameter], best: dict[str, Tensor]
) -> dict[str, Tensor]:
    tensors = _prefixed("weights.", system.weights()) | _prefixed("best.", best)
    for name, parameter in learned.items():
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam.{key}.{name}"] = value
    return tensors


def _restore(optimizer: torch.optim.AdamW, learned: dict[str, nn.Parameter], tensors: dict[str, Tensor]) -> None:
    for name, parameter in learned.items():
        state = {
            key: tensors[f"adam.{key}.{name}"].to(parameter.device if key != "step" else "cpu")
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"adam.{key}.{name}" in tensors
        }
        if state:
            optimizer.state[parameter] = state


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
