"""Faults at instants that no signal from outside can hit: called in a forked child before its command starts."""

from __future__ import annotations

import os
import signal
from typing import Any


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_a_record() -> None:
    """kill -9 when half of the seventh group of records is written."""
    from harness.core.log.eventlog import EventLog

    whole, groups = EventLog._write, iter(range(1_000_000))

    def write(self: EventLog, lines: bytearray) -> None:
        if next(groups) == 7:
            self._file.write(lines[: len(lines) // 2])
            _die()
        whole(self, lines)

    EventLog._write = write  # type: ignore[method-assign]


def die_before_a_checkpoint() -> None:
    """kill -9 after update 1 was made and before anything of its checkpoint is written."""
    from harness.app.job import training

    save = vars(training)["save_checkpoint"]

    def dying(*arguments: Any, version: int, **more: Any) -> Any:
        if version == 1:
            _die()
        return save(*arguments, version=version, **more)

    vars(training)["save_checkpoint"] = dying


def die_in_a_checkpoint() -> None:
    """kill -9 when the files of update 1's checkpoint stand aside and are not yet in place."""
    import pathlib

    rename = pathlib.Path.rename

    def dying(self: pathlib.Path, target: Any) -> Any:
        if "v000001" in str(target):
            _die()
        return rename(self, target)

    pathlib.Path.rename = dying  # type: ignore[method-assign]


def no_numbers_in_the_planner() -> None:
    """The first update's log-probabilities are NaN."""
    from learner import passes

    objective, calls = vars(passes)["policy_objective"], iter(range(1_000_000))

    def broken(log_probs: Any, *arguments: Any, **more: Any) -> Any:
        return objective(log_probs * float("nan") if next(calls) == 0 else log_probs, *arguments, **more)

    vars(passes)["policy_objective"] = broken


def a_bug_in_one_conversation() -> None:
    """A part raises what no part may raise, in one conversation only."""
    from harness.core import conversation

    stop_cause = conversation.stop_cause
    calls = iter(range(1_000_000))

    def broken(*arguments: Any) -> Any:
        if next(calls) == 5:
            raise ZeroDivisionError("a bug")
        return stop_cause(*arguments)

    vars(conversation)["stop_cause"] = broken


def another_prompt() -> None:
    """One word of the actor's instructions is another one."""
    from experts import prompts

    assert "friendly" in prompts.ACTOR_INSTRUCTIONS
    prompts.ACTOR_INSTRUCTIONS = prompts.ACTOR_INSTRUCTIONS.replace("friendly", "polite")


def another_strategy() -> None:
    """A strategy set of one's own: its names are none of Table I."""
    import msgspec

    from harness.domain.strategies import STRATEGIES

    for strategy in STRATEGIES:
        msgspec.structs.force_setattr(strategy, "name", "FLATTERY")


def another_persona() -> None:
    """Personas of one's own, which say nothing of what moves them."""
    import msgspec

    from simulator.personas import PERSONAS

    for persona in PERSONAS:
        msgspec.structs.force_setattr(persona, "text", "You like blue things.")


def another_commit() -> None:
    """The code stands at another commit, its texts unchanged."""
    import msgspec

    from harness.app.identity import sittings

    now = vars(sittings)["code_of"]()
    vars(sittings)["code_of"] = lambda: msgspec.structs.replace(now, commit="f" * 40, source="e" * 64)


def cells_in_this_process() -> None:
    """No fault: a grid's cells are played here, so that no worker has to start."""
    from support.inline import inline_cells

    inline_cells().__enter__()
