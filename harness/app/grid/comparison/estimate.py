"""What a comparison would ask of its models, before any call: cells, calls, tokens and hours, by servers.

Cells that use the same servers are played together, one such stage after the other, so servers of two stages never
stand on a GPU at one time. An estimate, not a promise: every conversation lasts all its turns, prompts are rendered for
messages of usual length, and a baseline's calls are as long as RSO's actor's. Hours divide all tokens, read ones that a
prefix cache would spare included, by one rate for all models, and leave out starts of servers, waiting and updates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich import box
from rich.table import Table

from harness.app.evaluation.answers import EXTRA
from harness.app.grid.cell import Cell
from harness.app.grid.comparison.plan import RSO, Plan, SystemCell
from harness.app.grid.play import shared_models
from harness.app.job.workload import usage_of
from harness.app.settings.config import Config, Model
from harness.app.setup.baselines import CALLS_A_TURN
from harness.app.setup.gpu import share_of
from harness.app.setup.inputs import Inputs
from harness.app.setup.trained import TRAINED
from harness.core.messages import Struct, Usage

ASSUMED = (
    "Estimated with full-length conversations, calls without repairs, prompts for messages of usual length; a "
    "baseline's calls as long as the actor's. Servers of two stages are never up together."
)
NO_RATE = "No hours are estimated: --set comparison.tokens_per_s=N says what a server reads and writes a second."
RATE = (
    "Hours at {rate:g} tokens a second, read and written together, the same for every model. Starts of servers, "
    "waiting and updates of the planner come on top; a prefix cache saves a part."
)


class Stage(Struct, frozen=True, kw_only=True):
    """All that is played while the same servers are up."""

    servers: dict[str, float]
    """Names of models whose servers are started here -> share of a GPU; several names of one model are joined."""
    trainings: int
    cells: int
    dialogues: int
    usage: Usage

    @property
    def tokens(self) -> int:
        return self.usage.prompt_tokens + self.usage.completion_tokens


def stages(plan: Plan, scenarios: int, inputs: Mapping[str, Inputs | None]) -> list[Stage]:
    """In the order in which they are played.

    Args:
        plan: what is played.
        scenarios: held-out dialogues of each cell.
        inputs: dataset -> its data; None where they are not here.
    """
    found: dict[bytes, Stage] = {}
    for cell in (*plan.trainings, *plan.cells):
        config = cell.resolved()
        models = shared_models(config)
        before = found.get(key := msgspec.json.encode(models, order="sorted"))
        held_out, training = cell.dialogues(scenarios)
        trains = not isinstance(cell, SystemCell)
        found[key] = Stage(
            servers=_servers(models),
            trainings=(before.trainings if before else 0) + trains,
            cells=(before.cells if before else 0) + (not trains),
            dialogues=(before.dialogues if before else 0) + held_out + training,
            usage=(before.usage if before else Usage()) + _usage(cell, config, held_out, training, inputs),
        )
    return list(found.values())


def _usage(cell: Cell, config: Config, held_out: int, training: int, inputs: Mapping[str, Inputs | None]) -> Usage:
    system = cell if isinstance(cell, SystemCell) else None
    asked = msgspec.structs.replace(config.evaluation, measures=EXTRA)
    by_role = usage_of(
        msgspec.structs.replace(config, evaluation=asked),
        inputs.get(system.dataset) if system else None,
        held_out=held_out,
        training=training,
        calls_a_turn=_calls_a_turn(system.kind, config) if system and system.kind != RSO else None,
    )
    return sum(by_role.values(), Usage())


def _calls_a_turn(kind: str, config: Config) -> int:
    """A trained system asks no model, unless the actor speaks for it."""
    return int(config.crs.text == "actor") if kind in TRAINED else CALLS_A_TURN[kind]


def _servers(models: Mapping[str, Model]) -> dict[str, float]:
    same: dict[bytes, list[str]] = {}
    for name, model in models.items():
        same.setdefault(msgspec.json.encode(model), []).append(name)
    return {" = ".join(names): share_of(models[names[0]]) for names in same.values()}


def stages_table(found: Sequence[Stage], tokens_per_s: float) -> Table:
    """A row a stage, and their sum."""
    table = Table(title="By servers that are up together (share of one GPU)", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("servers")
    for heading in ("trainings", "cells", "dialogues", "calls", "prompt\ntokens", "reply\ntokens", "hours"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        servers = [f"{name} ({share:g})" if share else name for name, share in one.servers.items()]
        table.add_row(" + ".join(servers) or "none of its own", *_numbers(one, tokens_per_s))
    if len(found) > 1:
        table.add_section()
        whole = Stage(
            servers={},
            trainings=sum(one.trainings for one in found),
            cells=sum(one.cells for one in found),
            dialogues=sum(one.dialogues for one in found),
            usage=sum((one.usage for one in found), Usage()),
        )
        table.add_row("all", *_numbers(whole, tokens_per_s))
    return table


def _numbers(stage: Stage, tokens_per_s: float) -> tuple[str, ...]:
    usage = stage.usage
    counts = (stage.trainings, stage.cells, stage.dialogues, usage.calls)
    tokens = (f"{count / 1e6:.1f} M" for count in (usage.prompt_tokens, usage.completion_tokens))
    hours = f"{stage.tokens / tokens_per_s / 3600.0:.1f}" if tokens_per_s else ""
    return (*(f"{count:,}" for count in counts), *tokens, hours)
