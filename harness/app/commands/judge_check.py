"""`judge-check`: whether a configured judge agrees with how people ended their dialogues.

The judge reads the human dialogues of the file of labels after every reply of the seeker. Its reading at the end, the
mean of its readings, and its reading at the first acceptance stand beside two floors that read nothing: the dialogue's
length, and the sentiment of the last message. What the figures mean: `harness.app.evaluation.outcomes_of_people`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import trio
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy import stats

from experts.prompts import JudgeRole
from harness.app.console.progress import CONVERSATIONS, Progress
from harness.app.evaluation.outcomes_of_people import (
    MAPS,
    Auc,
    Scores,
    auc_difference,
    auc_of,
    courtesy,
    first_acceptance,
    sentiment,
    states_of,
    words,
)
from harness.app.job.stoppable import run_stoppable
from harness.app.settings.config import Config, Roles
from harness.app.settings.configfile import load_config
from harness.app.setup.inputs import read_inputs
from harness.app.setup.sources import label_source
from harness.app.setup.wiring import check_models, distilled_judge_of, judge_of, open_models
from harness.core.errors import ExpertError, InputError
from harness.core.log.rundir import LOGS
from harness.core.messages import Dialogue, State, Struct
from harness.core.model.ledger import Ledger
from harness.core.seams import Judge
from simulator.datasets.survey import QUESTIONS, read_survey

JUDGES: tuple[JudgeRole, ...] = ("reward", "evaluator")
FLOORS = ("length", "sentiment")
NOTE = (
    "AUC: how often a dialogue that ended well is scored above one that did not; equal scores count half. 95% "
    "intervals over dialogues (DeLong). A lower bound at or below .5 reads `not shown`. Differences: the judge's AUC "
    "minus the floor's, on the same dialogues. So few dialogues rank no judges."
)


class Measured(Struct, frozen=True, kw_only=True):
    """One score of the dialogues under one map."""

    score: str
    ended: str
    """Which map: `MAPS`."""
    auc: Auc
    over_floors: dict[str, tuple[float, float, float] | None]
    """Floor -> the score's AUC minus the floor's, with its interval."""


class JudgeCheck(Struct, frozen=True, kw_only=True):
    """A judge beside people."""

    judge: str
    model: str
    mode: str
    dialogues: int
    unreadable: int
    """States that the judge could not be read at."""
    states: int
    accepted_found: int
    """Dialogues with a first acceptance."""
    measured: tuple[Measured, ...]
    bias: dict[str, float | None]
    """Spearman's correlation of the judge's last reading with a dialogue's length and courtesy."""
    survey: dict[str, tuple[float | None, int]]
    """Question -> Spearman's correlation of the last reading with the answers, and how many there are."""


def judge_check(
    file: Path, overrides: list[str], survey: Path | None, judge: str, console: Console, *, as_json: bool, quiet: bool
) -> JudgeCheck:
    """Ask the judge and print how it agrees with people; `InputError` where the data hold no outcomes."""
    if judge not in JUDGES:
        raise InputError(f"--judge: {judge!r} is no judge; known: {', '.join(JUDGES)}")
    role: JudgeRole = "evaluator" if judge == "evaluator" else "reward"
    config = load_config(file, overrides)
    human = label_source(config).path
    answers = read_survey(survey) if survey is not None else {}
    name = getattr(config.roles, role)
    alone = msgspec.structs.replace(config, roles=Roles(**dict.fromkeys(Roles.__struct_fields__, name)))
    distilled = role == "reward" and bool(config.reward.distilled)
    if not distilled:
        check_models(alone)
    inputs = read_inputs(alone)
    told = [dialogue for dialogue in inputs.dialogues if dialogue.outcome is not None and states_of(dialogue)]
    if not told:
        raise InputError(f"{human} does not say how its dialogues ended (fine_label and coarse_label)")
    progress = Progress(console, quiet=quiet or as_json)

    async def main(progress: Progress) -> list[list[float | None]]:
        if distilled:
            progress.begin("judge-check", len(told), unit=CONVERSATIONS)
            return await _readings(distilled_judge_of(config), told, 1, progress)
        with tempfile.TemporaryDirectory(prefix="judge-check-") as logs:
            (Path(logs) / LOGS).mkdir()
            async with open_models(alone, inputs, Path(logs), progress) as models:
                served = models[name]
                reader = await judge_of(alone, role, served, Ledger().metered(served), progress)
                progress.begin("judge-check", len(told), unit=CONVERSATIONS)
                return await _readings(reader, told, config.models[name].max_connections, progress)

    found = _checked(told, run_stoppable(lambda _: main(progress), progress, drain_s=0.0), alone, role, answers)
    if distilled and inputs.taught is not None:
        found = msgspec.structs.replace(found, model=f"distilled from {inputs.taught.teacher}", mode="linear")
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        _show(found, str(human), console)
    return found


async def _readings(judge: Judge, told: Sequence[Dialogue], live: int, progress: Progress) -> list[list[float | None]]:
    """Of each dialogue: the score of each of `states_of`."""
    slots = trio.Semaphore(live)
    found: list[list[float | None]] = [[None] * len(states_of(dialogue)) for dialogue in told]

    async def read(row: list[float | None], at: int, state: State) -> None:
        async with slots:
            try:
                row[at] = (await judge.score(state)).reward
            except ExpertError:
                row[at] = None

    async def whole(row: list[float | None], dialogue: Dialogue) -> None:
        async with trio.open_nursery() as nursery:
            for at, state in enumerate(states_of(dialogue)):
                nursery.start_soon(read, row, at, state)
        progress.ended(None, failed=False)

    async with trio.open_nursery() as nursery:
        for row, dialogue in zip(found, told, strict=True):
            nursery.start_soon(whole, row, dialogue)
    return found


def _checked(
    told: Sequence[Dialogue],
    readings: Sequence[Sequence[float | None]],
    config: Config,
    role: JudgeRole,
    answers: dict[str, dict[str, float]],
) -> JudgeCheck:
    states = [states_of(dialogue) for dialogue in told]
    first = [first_acceptance(dialogue) for dialogue in told]
    last: Scores = [row[-1] for row in readings]
    scores: dict[str, Scores] = {
        "end": last,
        "mean of turns": [_mean(row) for row in readings],
        "first yes": [
            None if state is None else row[len([one for one in cut if len(one.turns) < len(state.turns)])]
            for row, cut, state in zip(readings, states, first, strict=True)
        ],
    }
    floors: dict[str, Scores] = {
        "length": [words(cut[-1]) for cut in states],
        "sentiment": [sentiment(cut[-1]) for cut in states],
    }
    measured = []
    for ended, map_of in MAPS.items():
        good = [map_of(dialogue.outcome) if dialogue.outcome is not None else None for dialogue in told]
        for name, values in (scores | floors).items():
            against = {} if name in floors else {floor: auc_difference(values, floors[floor], good) for floor in FLOORS}
            measured.append(Measured(score=name, ended=ended, auc=auc_of(values, good), over_floors=against))
    model = config.models[getattr(config.roles, role)]
    return JudgeCheck(
        judge=role,
        model=model.model or model.backend,
        mode=config.reward.mode,
        dialogues=len(told),
        states=sum(map(len, readings)),
        unreadable=sum(value is None for row in readings for value in row),
        accepted_found=sum(state is not None for state in first),
        measured=tuple(measured),
        bias={
            "length": _spearman(last, floors["length"])[0],
            "courtesy": _spearman(last, [courtesy(cut[-1]) for cut in states])[0],
        },
        survey={
            question: _spearman(last, [answers.get(dialogue.id, {}).get(question) for dialogue in told])
            for question in (QUESTIONS if answers else ())
        },
    )


def _mean(values: Sequence[float | None]) -> float | None:
    given = [value for value in values if value is not None]
    return sum(given) / len(given) if given else None


def _spearman(a: Scores, b: Scores) -> tuple[float | None, int]:
    pairs = np.array([(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None], dtype=float)
    if len(pairs) < 3 or np.ptp(pairs[:, 0]) == 0 or np.ptp(pairs[:, 1]) == 0:
        return None, len(pairs)
    return float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic), len(pairs)


def _show(found: JudgeCheck, source: str, console: Console) -> None:
    console.print(
        Text(
            f"{found.judge} ({found.model}, {found.mode}) on {found.dialogues} human dialogues of {source}: "
            f"{found.unreadable} of {found.states} readings missing, a first acceptance in {found.accepted_found}"
        ),
        soft_wrap=True,
    )
    for ended in MAPS:
        console.print(_table(ended, [one for one in found.measured if one.ended == ended]))
    said = [f"{name} {_number(value)}" for name, value in found.bias.items()]
    console.print(Text(f"Rank correlation of the last reading with the dialogue's: {', '.join(said)}"), soft_wrap=True)
    if found.survey:
        said = [f"{name} {_number(value)} (n {n})" for name, (value, n) in found.survey.items()]
        console.print(Text(f"and with the seekers' answers on the recommender: {', '.join(said)}"), soft_wrap=True)
    console.print(Text(NOTE), soft_wrap=True)


def _table(ended: str, measured: Sequence[Measured]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=f"ended well: {ended}", title_justify="left")
    for heading in ("", "AUC", "", "+ / -", *(f"minus {floor}" for floor in FLOORS)):
        table.add_column(heading, justify="right" if heading else "left")
    for one in measured:
        auc = one.auc
        table.add_row(
            one.score,
            _interval(auc.auc, auc.low, auc.high),
            "" if one.score in FLOORS else "above chance" if auc.shown else "not shown",
            f"{auc.positives} / {auc.negatives}",
            *(_gap(one.over_floors[floor]) if floor in one.over_floors else "" for floor in FLOORS),
        )
    table.caption = f"{measured[0].auc.missing} of the dialogues have another ending, or no reading at their end"
    table.caption_justify = "left"
    return table


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _gap(value: tuple[float, float, float] | None) -> str:
    return "–" if value is None else f"{value[0]:+.2f} [{value[1]:+.2f}, {value[2]:+.2f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"
