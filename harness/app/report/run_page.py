"""`RunRecord` -> the page of a run: every table and chart, and the data of the episode reader.

The page's words and layout are ``page/run.html``; this file prepares what stands in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from harness.app.drawing import svg
from harness.app.drawing.palette import STOPS, in_groups, phase_colour, strategy_colours
from harness.app.evaluation.decisions import world_of as named_by_models
from harness.app.evaluation.floors import NOTE, floor_of, with_floors
from harness.app.evaluation.measures import entry_of, title_of
from harness.app.evaluation.protocol import BIASES
from harness.app.evaluation.scales import RATE
from harness.app.evaluation.shares import shares_over_progress, stop_shares, strategy_shares
from harness.app.evaluation.statistics import ONE_RUN, Estimate, estimate
from harness.app.evaluation.summary import IF_MEASURED, rows_of
from harness.app.identity.sittings import differences, shown
from harness.app.report.costs import costs_by_role
from harness.app.report.curves import (
    PASS_FIGURES,
    SMOOTHED_OVER,
    UPDATE_FIGURES,
    pass_series,
    return_series,
    unlearned_turns,
    update_series,
    warmup_series,
)
from harness.app.report.episode_data import episode_data, groups_of
from harness.app.report.health import TITLES as FLAWS
from harness.app.report.health import simulator_health
from harness.app.report.html import json_block, render
from harness.app.report.judging import LABELS, correlation, judge_beside_evaluator, read_judge
from harness.app.report.record import RunRecord, by_phase
from harness.app.settings.config import Config, settings
from harness.app.settings.phases import phase_title
from harness.core.messages import TRAIN

BESIDE = with_floors(
    (
        "judge_sr", "rec_sr", "recall_any_1", "recall_any_5", "named_recall_1", "named_recall_5", "target_rec_sr",
        "target_recall_1", "target_recall_5",
    )
)  # fmt: skip
"""Shown below the main measures."""
STOP_TITLES = {
    "judge": "success by the judge (r > tau)",
    "user": "ended by the seeker's yes, the judge not yet satisfied",
    "quit": "the user left",
    "target": "the target was ranked (iEvaLM's protocol)",
    "turns": "turn limit",
    "error": "failed, not scored",
}
_ROUNDING = 5e-4
"""Half of the last digit that the table shows."""
DECISIONS = (
    ("rl.entropy_coefficient", 2, "beta, the weight of the entropy"),
    ("reward.threshold", 2, "tau: a reward above it ends the conversation as a success"),
    ("reward.temperature", 2, "temperature at which the judge is read"),
    ("network.candidates", 2, "K, items offered to the actor"),
    ("rl.advantage", 3, "what a turn's return is compared with"),
    ("rl.gae_lambda", 3, "of the advantage critic: how far returns are trusted over the critic"),
    ("rl.passes", 25, "steps on the same episodes"),
    ("rl.gamma", 4, "discount"),
    ("rl.batch_episodes", 5, "episodes an update"),
    ("rl.policy_lag", 5, "updates by which the acting policy may be behind"),
    ("reward.samples", 6, "scores of one reading, mapped from 1..5 to [0, 1]"),
    ("reward.quorum", 6, "readable scores below which a reward is missing"),
    ("reward.mode", 7, "how the judge is read"),
    ("reward.distilled", 33, "a model distilled from another judge's scores that rewards in the judge's place"),
    ("conversation.max_turns", 8, "turn limit"),
    ("planner.encoder", 11, "text encoder of the planner"),
    ("planner.trainable_layers", 11, "encoder layers that learn; 0: only the head"),
    ("data.labels", 12, "strategy set"),
    ("warmup.learning_rate", 21, "of the warm-up"),
    ("rl.learning_rate", 21, "of reinforcement learning"),
    ("rl.horizon", 22, "what a success is credited with"),
    ("network.retriever", 26, "how items are ranked"),
    ("network.query", 27, "what a system without inferred preferences searches with"),
)


def render_run(record: RunRecord) -> str:
    """The page of a run."""
    colours = strategy_colours(record.strategies)
    context = {
        "title": record.name,
        "group_word": "phase",
        "world": world_of(record),
        "complete": record.summary is not None and record.summary.complete,
        "cautions": record.summary.cautions if record.summary is not None else (),
        "digest": record.summary.digest if record.summary is not None else "",
        "checked": record.checked,
        "intervals": " ".join((ONE_RUN, NOTE, *([BIASES] if record.config.evaluation.protocol == "ievalm" else []))),
        "facts": _facts(record),
        "phases": [(phase, title, phase_colour(phase)) for phase, title, _ in by_phase(record)],
        "headline": _headline(record),
        "counts": [(phase.episodes - phase.errors, phase.errors) for phase in record.evaluations],
        "evaluations": [(phase.name, phase_title(phase.name)) for phase in record.evaluations],
        "evaluation_legend": [(phase_title(phase.name), phase_colour(phase.name)) for phase in record.evaluations],
        "traits": _traits(record),
        "curves": _curves(record),
        "refused": [line for line in record.lines("update") if line.get("refused")],
        "stops": _stops(record),
        "progress": _progress(record, colours),
        "shares": _shares(record, colours),
        "legend_entries": [(strategy.name, colours[strategy.key]) for strategy in in_groups(record.strategies)],
        "strategies": in_groups(record.strategies),
        "judge": _judge(record),
        "agreement": _agreement(record),
        "all_costs": costs_by_role(record.episodes),
        "serving": record.summary.serving if record.summary is not None else {},
        "health": [(title, simulator_health(found, record.items)) for _, title, found in by_phase(record)],
        "flaws": FLAWS,
        "decisions": _decisions(record),
        "settings": _settings(record),
        "versions": record.manifest.versions,
        "code": _code(record),
        "files": record.manifest.files,
        "manifest": record.manifest,
        "reader": episode_data(groups_of(record)),
        "stop_legend": [(STOP_TITLES[stop], STOPS[stop]) for stop in STOP_TITLES],
        "words": json_block(
            {"stops": [[stop, STOP_TITLES[stop], STOPS[stop]] for stop in STOP_TITLES], "flaws": FLAWS}
        ),
    }
    return render("run.html", context)


def world_of(record: RunRecord) -> str:
    """Where the run's numbers come from."""
    if record.summary is not None:
        return record.summary.world
    return named_by_models(record.config)


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    summary = record.summary
    failed = sum(e.failed for e in record.episodes)
    total = sum(
        cost.usage.prompt_tokens + cost.usage.completion_tokens for cost in costs_by_role(record.episodes).values()
    )
    facts = [
        ("episodes", f"{len(record.episodes):,}"),
        ("failed", f"{failed:,}"),
        ("turns", f"{sum(len(e.transitions) for e in record.episodes):,}"),
        ("tokens", f"{total:,}"),
        ("seed", str(record.config.run.seed)),
    ]
    if summary is not None:
        facts.append(("time", _clock(summary.seconds)))
        facts.append(("run digest", summary.digest[:12]))
    facts.append(("config digest", record.manifest.digest[:12]))
    return facts


def _code(record: RunRecord) -> list[tuple[str, str]]:
    """What the run was made by, and from which episode on by something else."""
    before = record.manifest.identity
    told = [("code", shown(before.code) if before is not None else "not recorded")]
    for sitting in record.sittings:
        told += [(f"from episode {sitting.episodes + 1} on", what) for what in differences(before, sitting.identity)]
        before = sitting.identity
    return told


def _headline(record: RunRecord) -> list[dict[str, Any]]:
    differences = record.summary.differences if record.summary is not None else {}
    rows = []
    main = rows_of(record.evaluations)
    for metric in (*main, *BESIDE) if record.evaluations else ():
        values = [phase.metrics.get(metric) for phase in record.evaluations]
        if metric in IF_MEASURED and not any(values):
            continue
        dots = [
            svg.Dot(name=phase.name, colour=phase_colour(phase.name), mean=v.mean, low=v.low, high=v.high)
            for phase, v in zip(record.evaluations, values, strict=True)
            if v is not None
        ]
        difference = differences.get(metric)
        rows.append(
            {
                "title": f"· {floor}" if (floor := floor_of(metric)) else title_of(metric),
                "note": entry_of(metric).note,
                "floor": floor,
                "main": metric in main,
                "values": values,
                "difference": difference,
                "clear": difference is not None and _clear(difference),
                "strip": svg.strip(dots),
            }
        )
    return rows


def _clear(difference: Estimate) -> bool:
    """Whether the interval leaves zero out, by more than rounding."""
    return (
        difference.low is not None
        and difference.high is not None
        and (difference.low > _ROUNDING or difference.high < -_ROUNDING)
    )


def _traits(record: RunRecord) -> list[tuple[str, list[tuple[str, list[Estimate]]]]]:
    """Conv-SR (held-out evaluator) by trait of the persona, a column an evaluation."""
    threshold = record.config.reward.threshold
    found: dict[str, dict[str, list[list[float | None]]]] = {}
    for place, phase in enumerate(record.evaluations):
        for episode in record.of(phase.name):
            if episode.ended is None or episode.failed:
                continue
            read = episode.ended.evaluation
            value = None if read is None or read.reward is None else float(read.reward > threshold)
            for trait, name in episode.started.scenario.persona.traits.items():
                columns = found.setdefault(trait, {}).setdefault(name, [[] for _ in record.evaluations])
                columns[place].append(value)
    return [
        (
            trait,
            [(name, [estimate(column, RATE) for column in columns]) for name, columns in sorted(values.items())],
        )
        for trait, values in found.items()
    ]


def _curves(record: RunRecord) -> list[tuple[str, str, Markup]]:
    """(title, note, chart)."""
    colour, horizon = phase_colour(TRAIN), record.config.rl.horizon
    x = "training episodes"
    charts = [
        (
            "Return in training (R_1 of Eq. 8)",
            f"mean and 95% t interval of the newest {SMOOTHED_OVER} episodes",
            svg.lines([return_series(record, "literal", "R_1", colour)], x_label=x, y_label="R_1"),
        )
    ]
    if horizon != "literal":
        charts.append(
            (
                f"Objective ({horizon} horizon)",
                "what the updates raise; band as beside",
                svg.lines(
                    [return_series(record, horizon, "objective", phase_colour("rl"))], x_label=x, y_label="objective"
                ),
            )
        )
    for figure, title in UPDATE_FIGURES.items():
        one = update_series(record, figure, colour)
        zero = None if figure in ("entropy", "explained_variance") else 0.0
        charts.append((title[:1].upper() + title[1:], "", svg.lines([one], x_label=x, y_label="", y_from=zero)))
    blue, orange = phase_colour("warmup"), phase_colour("rl")
    for figure, title in PASS_FIGURES.items():
        both = pass_series(record, figure, (blue, orange))
        chart = svg.lines(both, x_label=x, y_label="", y_from=0.0)
        charts.append((title[:1].upper() + title[1:], "blue the first pass, orange the last", chart))
    unlearned = [
        (STOP_TITLES[stop], [svg.Bar(name="turns", colour=STOPS[stop], value=float(count), note=f"{count} turns")])
        for stop, count in unlearned_turns(record).items()
    ]
    charts.append(
        (
            "Turns that taught nothing",
            "a reward is missing at or after them; by the conversation's end",
            svg.columns(unlearned, x_label="", y_label="turns"),
        )
    )
    warm = warmup_series(record, (blue, orange))
    charts.append(
        (
            "Warm-up: NLL of human strategy labels",
            "blue training, orange validation",
            svg.lines(warm, x_label="epoch", y_label="NLL (nats)"),
        )
    )
    return [chart for chart in charts if chart[2]]


def _stops(record: RunRecord) -> Markup:
    bars = [
        (
            title,
            [
                svg.Bar(name=STOP_TITLES[stop], colour=STOPS[stop], value=share)
                for stop, share in stop_shares(f).items()
            ],
        )
        for _, title, f in by_phase(record)
    ]
    return svg.stacks(bars, x_label="", y_label="share of conversations") if bars else Markup("")


def _progress(record: RunRecord, colours: Mapping[str, str]) -> list[tuple[str, int, Markup]]:
    """Fig. 3 of every phase that decided anything."""
    panels = []
    order = in_groups(record.strategies)
    for _, title, found in by_phase(record):
        parts = shares_over_progress(found, record.strategies)
        if not any(parts):
            continue
        bars = [
            (
                f"{(place + 1) * 100 // len(parts)}%",
                [svg.Bar(name=s.name, colour=colours[s.key], value=part.get(s.key, 0.0)) for s in order],
            )
            for place, part in enumerate(parts)
        ]
        chart = svg.stacks(bars, x_label="conversation progress", y_label="share of decisions")
        panels.append((title, len(found), chart))
    return panels


def _shares(record: RunRecord, colours: Mapping[str, str]) -> Markup:
    shares = [(phase, title, strategy_shares(found, record.strategies)) for phase, title, found in by_phase(record)]
    rows = [
        (
            strategy.name,
            [
                svg.Dot(name=title, colour=phase_colour(phase), mean=found.get(strategy.key))
                for phase, title, found in shares
                if found
            ],
        )
        for strategy in in_groups(record.strategies)
    ]
    return svg.dumbbells(rows, x_label="share of all decisions")


def _judge(record: RunRecord) -> dict[str, Any]:
    readings = [
        (title, phase_colour(phase), read_judge([t.score for e in found for t in e.transitions]))
        for phase, title, found in by_phase(record)
    ]
    evaluator = read_judge(
        [e.ended.evaluation for e in record.episodes if e.ended is not None and e.ended.evaluation is not None]
    )
    bars = [
        (
            str(label),
            [
                svg.Bar(name=title, colour=colour, value=r.histogram[label - 1], note=f"{r.histogram[label - 1]:.1%}")
                for title, colour, r in readings
                if r.histogram
            ],
        )
        for label in LABELS
    ]
    has_bars = any(parts for _, parts in bars)
    rewards = _reward_histogram(record)
    return {
        "readings": readings,
        "evaluator": evaluator if evaluator.turns else None,
        "histogram": svg.columns(bars, x_label="score", y_label="share of scores") if has_bars else Markup(""),
        "rewards": rewards,
        "alarms": [(title, alarm) for title, _, r in readings for alarm in r.alarms]
        + [("held-out evaluator", alarm) for alarm in evaluator.alarms],
        "mode": "distilled" if record.config.reward.distilled else record.config.reward.mode,
        "from_samples": any(r.from_samples for _, _, r in readings),
    }


def _reward_histogram(record: RunRecord, bins: int = 10) -> Markup:
    bars: list[tuple[str, list[svg.Bar]]] = [(f"{place / bins:.1f}", []) for place in range(bins)]
    for phase, title, found in by_phase(record):
        rewards = [r for episode in found for r in episode.rewards if r is not None]
        if not rewards:
            continue
        for place, (_, parts) in enumerate(bars):
            n = sum(min(int(r * bins), bins - 1) == place for r in rewards)
            parts.append(svg.Bar(name=title, colour=phase_colour(phase), value=n / len(rewards), note=f"{n} turns"))
    if not any(parts for _, parts in bars):
        return Markup("")
    return svg.columns(bars, x_label="reward of a turn (from)", y_label="share of turns")


def _agreement(record: RunRecord) -> dict[str, Any] | None:
    rows = judge_beside_evaluator(record.episodes)
    if not rows:
        return None
    series = svg.Series(
        name="evaluator", colour=phase_colour("rl"), x=tuple(r.judge for r in rows), y=tuple(r.evaluator for r in rows)
    )
    equal = svg.Series(name="equal", colour="#8a8f98", x=(0.0, 1.0), y=(0.0, 1.0))
    return {
        "rows": rows,
        "r": correlation(record.episodes),
        "chart": svg.lines([equal, series], x_label="judge's last reward", y_label="evaluator's reading", y_from=0.0),
    }


def _decisions(record: RunRecord) -> list[tuple[str, str, int, str]]:
    values = settings(record.config)
    return [(key, _shown(values[key]), number, text) for key, number, text in DECISIONS]


def _settings(record: RunRecord) -> list[tuple[str, str, bool]]:
    """(key, value, whether it differs from the default)."""
    defaults = settings(Config())
    return [
        (key, _shown(value), key not in defaults or defaults[key] != value)
        for key, value in settings(record.config).items()
    ]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(entry) for entry in value) or "–"
    return str(value) if value != "" else "–"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
