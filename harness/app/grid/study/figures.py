"""A study's figures as SVG and PNG: effects by arm, learning curves with bands over seeds, strategies over progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.app.drawing.figures import curve, figure_of, heat_maps, noted, plain, write
from harness.app.drawing.palette import phase_colour, series_colour, series_dash
from harness.app.drawing.svg import Series
from harness.app.evaluation.measures import title_of
from harness.app.grid.study.cell import ArmResult
from harness.app.grid.study.findings import Tables, curves, mean_shares
from harness.app.grid.study.plan import Plan
from harness.domain.strategies import Strategy

PANELS = ("conv_sr", "absorbing", "mean_return", "turns")
CURVES = {
    "conv_sr": "Conv-SR in training (judge)",
    "mean_return": title_of("mean_return"),
    "entropy": "entropy of the policy (nats)",
}


def draw(plan: Plan, results: Sequence[ArmResult], strategies: Sequence[Strategy], world: str, folder: Path) -> None:
    """Write every figure that has something to show."""
    for name, figure in _figures(plan, Tables(plan, results), strategies):
        write(noted(figure, world), folder, name)


def _figures(plan: Plan, study: Tables, strategies: Sequence[Strategy]) -> Iterator[tuple[str, Figure]]:
    yield "effects", effects(plan, study)
    learned = [arm for arm in plan.file.arms if any(result.curve for result in study.results[arm].values())]
    if learned:
        yield "learning_curves", learning_curves(plan, study, learned)
    design = plan.file.study
    shown = [design.base, design.tested, *_without_entropy(plan, learned)]
    shares = {plan.title(arm): mean_shares(study.results[arm]) for arm in shown if study.seeds(arm)}
    if any(shares.values()):
        yield "strategies", heat_maps(shares, strategies)


def effects(plan: Plan, study: Tables) -> Figure:
    """A row an arm: means with their intervals, the seeds as small dots."""
    arms = [arm for arm in plan.file.arms if study.seeds(arm)]
    figure = figure_of(2.7 * len(PANELS) + 1.2, 1.2 + 0.28 * len(arms))
    panels: list[Axes] = list(figure.subplots(1, len(PANELS), sharey=True))
    for panel, measure in zip(panels, PANELS, strict=True):
        for place, arm in enumerate(arms):
            found, colour = study.estimate(arm, measure), _colour(plan, arm)
            if found.mean is None:
                continue
            if found.low is not None and found.high is not None:
                panel.plot([found.low, found.high], [place, place], color=colour, linewidth=2.0)
            panel.plot([found.mean], [place], color=colour, marker="o", markersize=5)
            seeds = [value for value in study.mean_by_seed(arm, measure).values() if value is not None]
            panel.plot(seeds, [place] * len(seeds), color=colour, marker=".", markersize=3, linestyle="", alpha=0.45)
        panel.set_yticks(range(len(arms)), [plan.title(arm) for arm in arms], fontsize=8)
        panel.set_ylim(len(arms) - 0.5, -0.5)
        panel.set_title(title_of(measure), fontsize=10)
        plain(panel)
    return figure


def learning_curves(plan: Plan, study: Tables, arms: Sequence[str]) -> Figure:
    """Means over seeds, of the arms with as many training episodes as the tested one.

    The tested arm and those without entropy bonus have their 95% band (Student's t over seeds); more bands could not be
    distinguished.
    """
    banded = {plan.file.study.tested, *_without_entropy(plan, arms)}
    wanted = plan.config(plan.file.study.tested).training_episodes
    figure = figure_of(3.6 * len(CURVES), 3.4)
    panels: list[Axes] = list(figure.subplots(1, len(CURVES)))
    shown = [arm for arm in arms if plan.config(arm).training_episodes == wanted]
    for panel, (name, heading) in zip(panels, CURVES.items(), strict=True):
        for place, arm in enumerate(shown):
            reached, values = curves(study, arm, name)
            line = Series(
                name=plan.title(arm),
                colour=series_colour(place),
                x=tuple(float(episodes) for episodes in reached),
                y=tuple(value.mean for value in values),
                low=tuple(value.low for value in values) if arm in banded else (),
                high=tuple(value.high for value in values) if arm in banded else (),
            )
            curve(panel, line, series_dash(place))
        panel.set_title(heading, fontsize=10)
        panel.set_xlabel("training episodes", fontsize=8)
        if name == "conv_sr":
            panel.set_ylim(0.0, 1.0)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=7, frameon=False
    )
    return figure


def _colour(plan: Plan, arm: str) -> str:
    """The arms that the study is about stand out."""
    design = plan.file.study
    if arm in plan.budgets.values():
        return phase_colour("rl")
    return {design.base: phase_colour("warmup"), design.bound: phase_colour("train")}.get(arm, phase_colour("before"))


def _without_entropy(plan: Plan, learned: Sequence[str]) -> list[str]:
    configs: Mapping[str, float] = {arm: plan.config(arm).rl.entropy_coefficient for arm in learned}
    return [arm for arm, beta in configs.items() if beta == 0.0]
