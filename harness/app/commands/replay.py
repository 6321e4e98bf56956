"""`replay`: questions that a run's log and tape can answer after the run.

One run directory, one question at a time. Nothing is written into the run directory; servers that a live judge or
expert needs write their logs into a folder that is removed afterwards.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from harness.app.replay import evaluate, rescore, swap, transcript, verify
from harness.app.replay.recorded_run import RecordedRun, open_recorded_run
from harness.app.settings.config import Config
from harness.app.settings.configfile import config_from_tree, load_config, overridden
from harness.core.errors import InputError
from harness.core.log import rundir
from harness.core.log.tape import TAPE
from harness.core.messages import Struct


class Question(Struct, frozen=True, kw_only=True):
    """What is asked of the run; at most one of the five."""

    verify: bool = False
    rescore: str = ""
    swap: str = ""
    evaluate: str = ""
    transcript: str = ""


def replay(
    folder: Path,
    question: Question,
    console: Console,
    *,
    phases: list[str],
    file: Path | None,
    overrides: list[str],
    out: Path | None,
    quiet: bool,
) -> None:
    """Answer one question about a run, or say what is there."""
    asked = [name for name in Question.__struct_fields__ if getattr(question, name)]
    if len(asked) > 1:
        raise InputError(f"replay answers one question at a time, not {' and '.join(f'--{name}' for name in asked)}")
    if not asked and (phases or file or overrides or out):
        raise InputError("replay: --phase, --config, --set and --out go with a question such as --verify or --rescore")
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"--out: there is no folder {out.absolute().parent}")
    # Bytes a turn are those of the whole log.
    run = open_recorded_run(folder, phases if asked else ())
    match asked:
        case ["verify"]:
            verify.verify(run, console, quiet=quiet)
        case ["rescore"]:
            config = _config(run, file, overrides)
            with _scratch() as scratch:
                rescore.rescore(run, question.rescore, config, scratch, out, console, quiet=quiet)
        case ["swap"]:
            config = _config(run, file, overrides)
            with _scratch() as scratch:
                swap.swap(run, question.swap, config, scratch, console, quiet=quiet)
        case ["evaluate"]:
            evaluate.evaluate(run, question.evaluate, console)
        case ["transcript"]:
            transcript.transcript(run, question.transcript, console)
        case _:
            overview(run, console)


def overview(run: RecordedRun, console: Console) -> None:
    """What is there: episodes by phase, and bytes and calls a turn of the log and the tape."""
    turns = sum(len(episode.transitions) for episode in run.episodes)
    phases = Counter(episode.started.phase for episode in run.episodes)
    listed = ", ".join(f"{name} {count}" for name, count in sorted(phases.items()))
    console.print(
        Text(f"{run.folder}: {len(run.episodes)} finished episodes ({listed}), {turns} turns"), soft_wrap=True
    )
    tape = run.tape()
    log_bytes = (run.folder / rundir.EPISODES).stat().st_size
    tape_bytes = (run.folder / TAPE).stat().st_size
    console.print(
        Text(
            f"log {log_bytes:,} bytes, {log_bytes / max(turns, 1):,.0f} a turn; tape {tape_bytes:,} bytes, "
            f"{tape_bytes / max(turns, 1):,.0f} a turn: {tape.calls} calls, {tape.distinct} distinct"
        ),
        soft_wrap=True,
    )


def _config(run: RecordedRun, file: Path | None, overrides: list[str]) -> Config:
    """Whose models answer live: another experiment's, or the run's own with overrides."""
    if file is not None:
        return load_config(file, overrides)
    return config_from_tree(overridden(msgspec.to_builtins(run.config), overrides))


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rso-replay-") as name:
        folder = Path(name)
        (folder / rundir.LOGS).mkdir()
        yield folder
