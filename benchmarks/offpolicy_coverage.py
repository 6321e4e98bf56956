"""Do the intervals of `learner.offpolicy` hold what they promise? Checked where the truth can be had.

``python -m benchmarks.offpolicy_coverage --graph fixtures/films.json``: in the scripted world (its role functions,
without HTTP: `simulator.scripted.trial`) one planner is logged for many conversations, other planners are played to get
their true mean return, and their return is estimated from many small samples of the log. Printed: the share of 95%
intervals that hold the truth, by estimator, sample size and how far the target is from the log.

The logging planner is half uniform, half human label frequencies of the turn. A target takes a share epsilon of a rule
that reads the seeker's words and leaves the rest to the logging planner.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from experts.planner import sample
from harness.core.messages import State, StopCause, Struct, Turn
from harness.domain.knowledge_graph import KnowledgeGraph
from learner.offpolicy import ESS_FLAG, LoggedEpisode, OffPolicyEstimate, off_policy, stepwise
from simulator.goals import draw_goals
from simulator.scripted import rules
from simulator.scripted.hearing import Ear
from simulator.scripted.rules import KEYS, View
from simulator.scripted.trial import Played, Trial

GAMMA, MAX_TURNS = 0.99, 10
ESTIMATORS = ("weighted", "doubly_robust", "per_decision")
Distribution = Callable[[View], tuple[float, ...]]


class TargetAtSize(Struct, frozen=True, kw_only=True):
    """One target at one sample size."""

    epsilon: float
    size: int
    truth: float
    effective: float
    """Median effective sample size."""
    refused: int
    """Samples that the rule refuses; not in the coverage."""
    coverage: dict[str, float]
    """By estimator, over the samples that are not refused; NaN where all are."""
    width: dict[str, float]
    """Median width of the interval."""
    error: dict[str, float]
    """Root mean square error of the estimate."""
    refused_coverage: dict[str, float]
    """What the refused samples' intervals would have covered: why they are refused."""


def logging_planner(view: View) -> tuple[float, ...]:
    """Half uniform, half human by turn."""
    counts = rules._HUMAN[min(view.turn, len(rules._HUMAN)) - 1]
    total = sum(counts.values())
    return tuple(0.5 / len(KEYS) + 0.5 * counts.get(key, 0) / total for key in KEYS)


def target_planner(epsilon: float) -> Distribution:
    """The logging planner with a share of the rule that reads."""

    def planner(view: View) -> tuple[float, ...]:
        wanted = rules.reading_rule(view)
        return tuple(
            (1 - epsilon) * p + epsilon * (key == wanted) for key, p in zip(KEYS, logging_planner(view), strict=True)
        )

    return planner


class Plays:
    """Plays planners given as distributions and remembers what they might have done."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        self._graph = graph
        self._trial = Trial(
            Ear(graph), draw_goals(graph, (), count=200, seed=11, beyond=True).goals, max_turns=MAX_TURNS
        )

    def play(self, planner: Distribution, count: int, seed: int) -> tuple[list[Played], list[list[View]]]:
        """``count`` conversations and the views in which their strategies were chosen."""
        views: list[list[View]] = []

        def choose(view: View) -> str:
            if view.turn == 1:
                views.append([])
            views[-1].append(view)
            return KEYS[sample(planner(view), view.luck)]

        return self._trial.many(choose, count, seed=seed), views

    def logged(self, played: Played, views: Sequence[View], name: str) -> LoggedEpisode:
        """One conversation as a log holds it; the objective with the absorbing horizon as its outcome."""
        actions = tuple(KEYS.index(strategy) for strategy in played.strategies)
        return LoggedEpisode(
            scenario=name,
            states=tuple(self._state(view) for view in views),
            actions=actions,
            behaviour=tuple(logging_planner(view)[action] for view, action in zip(views, actions, strict=True)),
            rewards=rewards_of(played),
        )

    def _state(self, view: View) -> State:
        said = [utterance.text for utterance in view.history]
        turns = tuple(
            Turn(
                strategy=strategy,
                preferences="",
                response=said[2 * number + 1],
                recommended=self._graph.titles_in(said[2 * number + 1]),
                reply=said[2 * number + 2],
            )
            for number, strategy in enumerate(view.strategies)
        )
        return State(episode="", seed=0, max_turns=MAX_TURNS, opening=said[0], turns=turns)


def rewards_of(played: Played) -> tuple[float, ...]:
    """Stepwise rewards of the absorbing objective."""
    stop: StopCause = played.stop  # type: ignore[assignment]
    return stepwise(played.rewards, gamma=GAMMA, horizon="absorbing", stop=stop, max_turns=MAX_TURNS)


def outcome(played: Played) -> float:
    """The objective R_1."""
    return sum(GAMMA**turn * reward for turn, reward in enumerate(rewards_of(played)))


def coverage(
    stage: Plays,
    *,
    pool: int,
    truth: int,
    trials: int,
    sizes: Sequence[int],
    epsilons: Sequence[float],
    say: Callable[[str], None],
) -> list[TargetAtSize]:
    """All cells; ``pool`` logged conversations to draw samples from, ``truth`` conversations a target."""
    played, views = stage.play(logging_planner, pool, seed=1)
    log = [stage.logged(one, seen, f"s{number}") for number, (one, seen) in enumerate(zip(played, views, strict=True))]
    say(f"logged {pool} conversations, mean objective {np.mean([outcome(one) for one in played]):.3f}")
    cells = []
    for epsilon in epsilons:
        planner = target_planner(epsilon)
        true, _ = stage.play(planner, truth, seed=2)
        value = float(np.mean([outcome(one) for one in true]))
        targets = [[planner(view) for view in seen] for seen in views]
        for size in sizes:
            cells.append(_cell(log, targets, value, epsilon, size, trials))
            say(f"epsilon {epsilon:g}, {size} episodes: done")
    return cells


def _cell(
    log: Sequence[LoggedEpisode],
    targets: Sequence[list[tuple[float, ...]]],
    truth: float,
    epsilon: float,
    size: int,
    trials: int,
) -> TargetAtSize:
    draw = random.Random(size)
    found: list[tuple[bool, float, dict[str, OffPolicyEstimate]]] = []
    for _ in range(trials):
        chosen = draw.sample(range(len(log)), size)
        result = off_policy([log[i] for i in chosen], [targets[i] for i in chosen], KEYS, gamma=GAMMA)
        found.append(
            (result.effective >= ESS_FLAG, result.effective, {name: getattr(result, name) for name in ESTIMATORS})
        )
    kept = [estimates for accepted, _, estimates in found if accepted]
    refused = [estimates for accepted, _, estimates in found if not accepted]
    return TargetAtSize(
        epsilon=epsilon,
        size=size,
        truth=truth,
        effective=float(np.median([effective for _, effective, _ in found])),
        refused=len(refused),
        coverage={name: _covered([one[name] for one in kept], truth) for name in ESTIMATORS},
        width={name: _median([one[name].high - one[name].low for one in kept]) for name in ESTIMATORS},
        error={name: _rms([one[name].value - truth for one in kept]) for name in ESTIMATORS},
        refused_coverage={name: _covered([one[name] for one in refused], truth) for name in ESTIMATORS},
    )


def _covered(estimates: Sequence[OffPolicyEstimate], truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in estimates])) if estimates else math.nan


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan


def _rms(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values else math.nan


def coverage_table(cells: Sequence[TargetAtSize]) -> Table:
    """A row a cell; per estimator: coverage, median width, root mean square error."""
    shown = Table(box=box.SIMPLE_HEAD)
    titles = (
        "epsilon",
        "episodes",
        "truth",
        "ESS",
        "refused",
        "weighted IS",
        "doubly robust",
        "per-decision IS",
        "WIS / DR if refused",
    )
    for title in titles:
        shown.add_column(title, justify="right")
    for cell in cells:
        shown.add_row(
            f"{cell.epsilon:g}",
            str(cell.size),
            f"{cell.truth:.3f}",
            f"{cell.effective:.0f}",
            str(cell.refused),
            *(f"{cell.coverage[n]:.3f} {cell.width[n]:.2f} {cell.error[n]:.2f}" for n in ESTIMATORS),
            f"{cell.refused_coverage['weighted']:.2f} / {cell.refused_coverage['doubly_robust']:.2f}",
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.offpolicy_coverage", description=__doc__)
    parser.add_argument("--graph", type=Path, required=True, help="knowledge graph of the scripted world")
    parser.add_argument("--pool", type=int, default=4_000, help="logged conversations")
    parser.add_argument("--truth", type=int, default=6_000, help="conversations that give a target's true mean")
    parser.add_argument("--trials", type=int, default=200, help="samples a cell")
    parser.add_argument("--sizes", type=int, nargs="+", default=[150, 300, 600])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.05, 0.1, 0.2])
    options = parser.parse_args()
    console = Console(width=160)
    cells = coverage(
        Plays(KnowledgeGraph.load(options.graph)),
        pool=options.pool,
        truth=options.truth,
        trials=options.trials,
        sizes=options.sizes,
        epsilons=options.epsilons,
        say=console.print,
    )
    console.print(coverage_table(cells))
    console.print("Per estimator: share of 95% intervals that hold the truth, median width, root mean square error.")


if __name__ == "__main__":
    main()
