"""`distill-judge`: a small reward model from the rewards of a finished run (``reward.distilled`` names its folder).

For training on a language model that is too small to judge: the taste of another run's judge, read from the seeker's
words by a linear model (`learner.distillation`). Wherever its rewards are shown it is named for what it is; it never
evaluates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experts.reward import expected_rating, scaled
from harness.app.identity.manifest import config_of, read_manifest
from harness.app.settings.config import Config
from harness.app.setup.wiring import loaded_encoder
from harness.core.errors import InputError
from harness.core.log import rundir
from harness.core.log.episode import Episode
from harness.core.log.loggedepisodes import read_episodes
from harness.core.log.rundigest import run_digest
from harness.core.messages import Score
from harness.domain.text_encoder import MINILM
from learner.distillation import Lesson, distil
from learner.distilled_judge import Agreement, Taught, save_distilled
from learner.sentences import SentenceReader


def distill_judge(run: Path, out: Path, console: Console) -> Taught:
    """Fit, write ``out`` and print the figures; `InputError` where the run cannot teach."""
    config = config_of(read_manifest(run), run)
    if config.reward.distilled:
        raise InputError(f"{run} was itself rewarded by a distilled judge: a copy of a copy is not made")
    if out.exists():
        raise InputError(f"{out} is there already; a distilled judge is written into a new folder")
    episodes = read_episodes(run / rundir.EPISODES)
    turns = sum(len(episode.transitions) for episode in episodes)
    lessons = list(lessons_of(episodes))
    encoder = loaded_encoder(MINILM, device="cpu")
    fitted = distil(lessons, SentenceReader(encoder))
    taught = save_distilled(
        out,
        Taught(
            teacher=teacher_of(config),
            run_digest=run_digest(episodes),
            encoder=encoder.name,
            encoder_sha256=encoder.sha256,
            ridge=fitted.ridge,
            turns=fitted.turns,
            dialogues=fitted.dialogues,
            missing=turns - len(lessons),
            held_out=fitted.held_out,
            held_out_dialogues=fitted.held_out_dialogues,
            new_words=fitted.new_words,
            weights_sha256="",
        ),
        fitted.weights,
    )
    console.print(_table(taught))
    console.print(
        Text(
            f"Fitted to {taught.turns:,} turns of {taught.dialogues:,} dialogues of {run} (ridge {taught.ridge:g}); "
            f"{taught.missing:,} turns without a reward teach nothing. Held out: a fifth of all people with their "
            "goals. New words: replies whose first sentence begins no fitted reply.\n"
            f"{taught.sentence[0].upper()}{taught.sentence[1:]}\nTo learn from it: --set reward.distilled={out}"
        ),
        soft_wrap=True,
    )
    return taught


def lessons_of(episodes: Sequence[Episode]) -> Iterator[Lesson]:
    """Every rewarded state of a log. A failed conversation's turns before its failure teach like all others."""
    for episode in episodes:
        for transition, state in zip(episode.transitions, episode.states()[1:], strict=True):
            if (reward := _target(transition.score)) is not None:
                yield Lesson(state=state, reward=reward, group=episode.started.scenario.id, dialogue=episode.id)


def teacher_of(config: Config) -> str:
    """Whose rewards a run holds."""
    model = config.models[config.roles.reward]
    return "the scripted judge" if model.backend == "scripted" else f"the judge {model.model}"


def _target(score: Score) -> float | None:
    """The judge's own mean where it is known, which is the reward without the luck of the draws."""
    if score.reward is None or not score.distribution:
        return score.reward
    return scaled(expected_rating(score.distribution))


def _table(taught: Taught) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, title=f"distilled from {taught.teacher}", title_justify="left")
    for heading in ("", "n", "R^2", "rank correlation", "mean error", "teacher's spread"):
        shown.add_column(heading, justify="right" if heading else "left")
    rows = {"turns held out": taught.held_out, "dialogues held out": taught.held_out_dialogues}
    for title, found in (rows | {"replies with new words": taught.new_words}).items():
        shown.add_row(title, f"{found.n:,}", *_cells(found))
    return shown


def _cells(found: Agreement) -> Iterator[str]:
    for value in (found.r2, found.rank, found.error, found.spread):
        yield "–" if value is None else f"{value:.3f}"
