"""Learning curves: series over training from `metrics.jsonl` and the log; pure. Page and plots draw the same series."""

from __future__ import annotations

from collections import Counter

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
    "critic_loss": "critic: squared error on returns it has not seen",
    "explained_variance": "critic: explained variance, likewise",
    "missing_reward_share": "share of missing rewards",
}
PASS_FIGURES = {
    "kl": "KL of the policy to the update's start (nats)",
    "clipped_share": "share of clipped ratios",
    "effective_sample_size": "effective sample size (turns)",
}
"""Of each pass over an update's turns."""
SMOOTHED_OVER = 64
"""Episodes in each point of the learning curve, at least: one update of 16 says little."""


def update_returns(record: RunRecord, horizon: Horizon, *, over: int = SMOOTHED_OVER) -> list[tuple[float, Estimate]]:
    """After each update: (training episodes so far, mean R_1 and its t interval over the newest updates' episodes).

    ``over``: how many episodes these updates hold at least; from the log.
    """
    batch, found = record.config.rl.batch_episodes, record.of(TRAIN)
    groups: dict[int, list[float | None]] = {}
    for episode in found:
        value = None if episode.failed else first_return(episode, record.config.rl.gamma, horizon)
        groups.setdefault(episode.started.index // batch, []).append(value)
    reached, newest, points = 0, -(-over // batch), []
    order = sorted(groups)
    for place, update in enumerate(order):
        reached += len(groups[update])
        together = [value for one in order[max(0, place + 1 - newest) : place + 1] for value in groups[one]]
        points.append((float(reached), estimate(together, AMOUNT)))
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


def pass_series(record: RunRecord, figure: str, colours: tuple[str, str]) -> list[Series]:
    """A figure of the first and of the last pass of each update over training episodes; gaps where no step was made."""
    reached, xs = 0.0, []
    values: tuple[list[float | None], list[float | None]] = ([], [])
    for line in record.lines("update"):
        reached += line["episodes"]
        xs.append(reached)
        passes = line.get("passes") or ()
        for place, one in zip((0, -1), values, strict=True):
            one.append(passes[place][figure] if passes else None)
    return [
        Series(name=name, colour=colour, x=tuple(xs), y=tuple(one))
        for name, colour, one in zip(("first pass", "last pass"), colours, values, strict=True)
        if any(value is not None for value in one)
    ]


def unlearned_turns(record: RunRecord) -> dict[str, int]:
    """Stop cause -> training turns that were not learned from, because a reward is missing at or after them."""
    found: Counter[str] = Counter()
    for line in record.lines("update"):
        found.update(line.get("turns_without_return") or {})
    return {stop: count for stop, count in found.items() if count}


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
