"""What a reader must know before believing a run's table: each caution one sentence, with the figures and the rule.

Each rule speaks of *clear* differences, paired by scenario: a 95% interval on one side of zero. They are made from the
summary's own estimates, so a resumed or an old run can be asked again. A caution is a reason to look, no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.app.evaluation.readings import Readings
from harness.app.evaluation.statistics import Estimate, estimate_text
from harness.app.evaluation.summary import LabelNll
from harness.app.settings.config import Config
from harness.core.messages import Usage

OFTEN = 0.1
"""Share of label reads in which a model mostly wants to say something else, from which on it is said."""
MUCH_LESS = 0.5
"""The evaluator's gain is much less than the judge's where it is below this share of it."""


def cautions_of(
    differences: Mapping[str, Estimate],
    config: Config,
    readings: Mapping[str, Readings] = {},
    tokens: Mapping[str, Usage] = {},
    failures: Mapping[str, tuple[int, int, str]] = {},
    labels: LabelNll | None = None,
) -> tuple[str, ...]:
    """All cautions.

    Args:
        differences: after RL minus after warm-up, paired.
        config: of the run.
        readings: by role, over the whole log.
        tokens: by role, over the whole log.
        failures: phase -> (conversations that failed or could not be scored, finished ones, the first reason).
        labels: of the warmed-up planner, where it was warmed up.
    """
    return (
        *_failures(failures),
        *(said for role, found in readings.items() for said in _unread(role, found, config)),
        *_thoughts(tokens),
        *_unlearned(labels),
        *_pleased_judge(differences),
        *_stalling(differences, config),
    )


def _failures(failures: Mapping[str, tuple[int, int, str]]) -> Iterator[str]:
    """Failed dialogues are no random sample: long or unusual conversations fail more often."""
    found = {name: counts for name, counts in failures.items() if counts[0]}
    if found:
        shares = ", ".join(f"{lost} of {finished} in {name}" for name, (lost, finished, _) in found.items())
        first = next(iter(found.values()))[2]
        yield (
            f"conversations failed or could not be scored: {shares} (the first: {first}). They are in no mean, or "
            "not in all of them; `resume --retry-failed` plays them again."
        )


def _unread(role: str, found: Readings, config: Config) -> Iterator[str]:
    who, labels = ("prompted planner", "strategies' letters") if role == "planner" else (role, "labels 1 to 5")
    if found.low_mass:
        yield (
            f"{_of(found.low_mass, found.label_reads)} label reads of the {who} gave no reward: the {labels} have less "
            f"than reward.mass_floor = {config.reward.mass_floor:g} of its next token's probability."
        )
    doubtful = found.half_mass - found.low_mass
    if doubtful and doubtful >= OFTEN * found.label_reads:
        yield (
            f"in {_of(doubtful, found.label_reads)} other label reads the {labels} have less than half of the {who}'s "
            "next token's probability: it mostly wants to say something else, so its word means little."
        )
    if found.unread:
        such = f", such as {found.example}" if found.example else ""
        share = f"{found.unread:,}" if role == "planner" else _of(found.unread, found.samples)
        yield f"{share} samples of the {who} could not be read and were dropped{such}."
    if role == "examiner":
        if found.missing:
            yield f"{_of(found.missing, found.judgements)} of the examiner's questions have no readable answer."
    elif found.missing > found.low_mass:
        yield f"{_of(found.missing, found.judgements)} judgements of the {who} gave no reward."


def _thoughts(tokens: Mapping[str, Usage]) -> Iterator[str]:
    """Thoughts harm no number, but cost tokens, and cut replies short where the limit is meant for what is said."""
    found = [f"{role} {usage.thoughts:,}" for role, usage in tokens.items() if usage.thoughts]
    if found:
        yield (
            "models wrote down their thoughts, which were taken out before anything read the replies "
            f"({', '.join(found)} replies). Turn thinking off at the server where replies come out empty or cut."
        )


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.1%})" if whole else f"{part:,}"


def _pleased_judge(differences: Mapping[str, Estimate]) -> Iterator[str]:
    """Reward hacking: the training judge's score clearly rose, and the evaluator's rose by less than half as much."""
    judge, evaluator, gap = (differences.get(name) for name in ("judge_final", "evaluator_final", "judge_gap"))
    if judge is None or evaluator is None or gap is None or judge.mean is None or evaluator.mean is None:
        return
    if _rose(judge) and _rose(gap) and evaluator.mean < MUCH_LESS * judge.mean:
        yield (
            f"from warm-up to RL the training judge's score of the final states rose by {judge.mean:.2f}, the "
            f"evaluator's of the same states by {evaluator.mean:.2f} (difference {_signed(gap)}): the planner may "
            "please its judge more than it helps seekers. Rule: the judge's gain and its excess over the evaluator's "
            f"are clearly above 0, and the evaluator's gain is below {MUCH_LESS:.0%} of the judge's."
        )


def _unlearned(labels: LabelNll | None) -> Iterator[str]:
    if labels is not None and not labels.beaten:
        yield (
            f"the warm-up did not beat the majority class: label NLL {labels.planner:.3f} against "
            f"{labels.majority:.3f} on {labels.turns} held-out turns. What is called warmed up has learned no more of "
            "people's strategies than which one is the most frequent."
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
        f"under the literal horizon (Eq. 8) return and success went apart from warm-up to RL: R_1 {_signed(paid)}, "
        f"Conv-SR {_signed(success)}, turns {_signed(turns)}. Rewards are never negative and success ends the "
        'conversation, so stalling pays; rl.horizon = "absorbing" credits a success with the turns that it saved. '
        "Rule: R_1 did not clearly rise though Conv-SR clearly rose, or turns clearly fell at no loss of Conv-SR; or "
        "R_1 clearly rose though Conv-SR fell."
    )


def _rose(value: Estimate) -> bool:
    return value.low is not None and value.low > 0.0


def _fell(value: Estimate) -> bool:
    return value.high is not None and value.high < 0.0


def _signed(value: Estimate) -> str:
    return estimate_text(value, signed=True)
