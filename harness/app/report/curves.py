"""Learning curves: series over training from `metrics.jsonl` and the log; pure. Page and plots draw the same series."""

from __future__ import annotations

from harness.app.drawing.svg import Series
from harness.app.evaluation.metrics import first_return
from harness.app.evaluation.scales import AMOUNT
from harness.app.evaluation.statistics import Estimate, estimate
from harness.app.report.record import RunRecord
from harness.core.messages import TRAIN
from learner.returns import Horizon

UPDATE_FIGURES = {
    "entropy": "entropy of the policy (nats)",
    "kl_to_warmup": "KL to the warmed-up policy (nats)",
    "gradient_norm": "gradient norm before clipping",
    "reward_mean": "mean reward of a turn",
    "effective_sample_size": "effective sample size (turns)",
    "missing_reward_share": "share of missing rewards",
}


def update_returns(record: RunRecord, horizon: Horizon) -> list[tuple[float, Estimate]]:
    """(training episodes so far, mean R_1 with its t interval over the episodes) of each update, from the log."""
    batch, found = record.config.rl.batch_episodes, record.of(TRAIN)
    groups: dict[int, list[float | None]] = {}
    for episode in found:
        value = None if episode.failed else first_return(episode, record.config.rl.gamma, horizon)
        groups.setdefault(episode.started.index // batch, []).append(value)
    reached, points = 0, []
    for update in sorted(groups):
        reached += len(groups[update])
        points.append((float(reached), estimate(groups[update], AMOUNT)))
    return points


def return_series(record: RunRecord, horizon: Horizon, name: str, colour: str) -> Series:
    """`update_returns` as a line with its band."""
    points = update_returns(record, horizon)
    return Series(
        name=name,
        colour=colour,
        x=tuple(x for x, _ in points),
        y=tuple(value.mean for _, value in points),
        low=tuple(value.low for _, value in points),
        high=tuple(value.high for _, value in points),
    )


def update_series(record: RunRecord, figure: str, colour: str) -> Series:
    """One figure of the update lines over training episodes."""
    reached, xs, ys = 0.0, [], []
    for line in record.lines("update"):
        reached += line["episodes"]
        xs.append(reached)
        ys.append(line.get(figure))
    return Series(name=figure, colour=colour, x=tuple(xs), y=tuple(ys))


def warmup_series(record: RunRecord, colours: tuple[str, str]) -> list[Series]:
    """NLL of training and validation turns over the warm-up's epochs."""
    epochs = [epoch for line in record.lines("warmup") for epoch in line["epochs"]]
    return [
        Series(
            name=name,
            colour=colour,
            x=tuple(float(epoch["epoch"]) for epoch in epochs),
            y=tuple(epoch[key] for epoch in epochs),
        )
        for name, key, colour in zip(("training", "validation"), ("train_nll", "validation_nll"), colours, strict=True)
    ]
