"""What a reader must know before believing a run's table: each caution one sentence, with the figures and the rule.

Each rule speaks of *clear* differences, paired by scenario: a 95% interval on one side of zero. They are made from the
summary's own estimates, so a resumed or an old run can be asked again. A caution is a reason to look, no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.app.evaluation.statistics import Estimate
from harness.app.settings.config import Config

LOW_LABEL_MASS = 0.5
"""Mean label mass below which a model mostly wanted to say something else than a label."""
MUCH_LESS = 0.5
"""The evaluator's gain is much less than the judge's where it is below this share of it."""


def cautions_of(
    phases: Mapping[str, Mapping[str, Estimate]], differences: Mapping[str, Estimate], config: Config
) -> tuple[str, ...]:
    """All cautions. ``phases``: metrics by evaluation; ``differences``: after RL minus after warm-up, paired."""
    return (*_label_masses(phases), *_pleased_judge(differences), *_stalling(differences, config))


def _label_masses(phases: Mapping[str, Mapping[str, Estimate]]) -> Iterator[str]:
    for metric, who, labels, worth in (
        ("label_mass", "judge", "labels 1 to 5", "its ratings mean little"),
        ("planner_label_mass", "prompted planner", "strategies' letters", "its choices mean little"),
    ):
        masses = [m.mean for phase in phases.values() if (m := phase.get(metric)) and m.mean is not None]
        if masses and min(masses) < LOW_LABEL_MASS:
            yield (
                f"the {labels} are on average only {min(masses):.0%} of the {who}'s next token: it mostly wants to say "
                f"something else, so {worth}."
            )


def _pleased_judge(differences: Mapping[str, Estimate]) -> Iterator[str]:
    """Reward hacking: the training judge clearly gained, clearly more than the evaluator, who saw not half of it."""
    judge, evaluator, gap = (differences.get(name) for name in ("judge_final", "evaluator_final", "judge_gap"))
    if judge is None or evaluator is None or gap is None or judge.mean is None or evaluator.mean is None:
        return
    if _rose(judge) and _rose(gap) and evaluator.mean < MUCH_LESS * judge.mean:
        yield (
            f"from warm-up to RL the training judge's score of the final states rose by {judge.mean:.2f}, the "
            f"evaluator's of the same states by {evaluator.mean:.2f} (difference {_shown(gap)}): the planner may "
            "please its judge more than it helps seekers. Rule: the judge's gain and its excess over the evaluator's "
            f"are clearly above 0, and the evaluator's gain is below {MUCH_LESS:.0%} of the judge's."
        )


def _stalling(differences: Mapping[str, Estimate], config: Config) -> Iterator[str]:
    """Decision 22: Eq. 8 taken literally pays for long conversations, so return and success may part."""
    names = ("mean_return", "conv_sr", "turns")
    found = [differences.get(name) for name in names]
    if config.rl.horizon != "literal" or any(one is None or one.mean is None for one in found):
        return
    paid, success, turns = (one for one in found if one is not None)
    better = _rose(success) or (_fell(turns) and (success.mean or 0.0) >= 0.0)
    worse = (success.mean or 0.0) < 0.0
    if not (better and not _rose(paid)) and not (worse and _rose(paid)):
        return
    yield (
        f"under the literal horizon (Eq. 8) return and success went apart from warm-up to RL: R_1 {_shown(paid)}, "
        f"Conv-SR {_shown(success)}, turns {_shown(turns)}. Rewards are never negative and success ends the "
        'conversation, so stalling pays; rl.horizon = "absorbing" credits a success with the turns that it saved. '
        "Rule: R_1 did not clearly rise though Conv-SR clearly rose, or turns clearly fell at no loss of Conv-SR; or "
        "R_1 clearly rose though Conv-SR fell."
    )


def _rose(value: Estimate) -> bool:
    return value.low is not None and value.low > 0.0


def _fell(value: Estimate) -> bool:
    return value.high is not None and value.high < 0.0


def _shown(value: Estimate) -> str:
    interval = "" if value.low is None or value.high is None else f" [{value.low:+.2f}, {value.high:+.2f}]"
    return f"{value.mean:+.2f}{interval}"
