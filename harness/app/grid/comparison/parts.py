"""Table III of the paper: which expert parts each system has, counted in what its turns really did; pure.

Nothing here is declared by hand: a turn that was recorded with preferences has a preference reasoner behind it, one
with facts that the system has read has fact grounding, one with a chosen strategy (RSO's decision, or the strategies
that a baseline's explanation follows) has strategies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.table import Table

from harness.app.setup.baselines import DIFFERS
from harness.core.log.episode import Episode
from harness.core.messages import Struct
from simulator.scripted.baseline_roles import constants

COLUMNS = {"reasoned": "preference\nreasoning", "grounded": "fact\ngrounding", "strategic": "strategies"}
NEVER = "no"


class Parts(Struct, frozen=True, kw_only=True):
    """Turns of a system, and in how many of them each part was at work."""

    turns: int = 0
    reasoned: int = 0
    """Preferences were inferred."""
    grounded: int = 0
    """Facts were read before the message was written."""
    strategic: int = 0
    """A strategy was chosen, and the message follows it."""

    def __add__(self, other: Parts) -> Parts:
        return Parts(**{name: getattr(self, name) + getattr(other, name) for name in Parts.__struct_fields__})


def parts_of(episodes: Iterable[Episode]) -> Parts:
    """Counts over all turns of these dialogues."""
    turns = [transition for episode in episodes for transition in episode.transitions]
    return Parts(
        turns=len(turns),
        reasoned=sum(bool(turn.preferences) for turn in turns),
        grounded=sum(bool(turn.facts) for turn in turns),
        strategic=sum(
            turn.decision is not None or (turn.persuasion is not None and bool(turn.persuasion.used)) for turn in turns
        ),
    )


def cells(parts: Parts) -> list[str]:
    """One a column: the share of turns with that part, ``no`` where it was never at work, a dash without turns."""
    if not parts.turns:
        return ["–"] * len(COLUMNS)
    counts = [getattr(parts, name) for name in COLUMNS]
    return [f"{count / parts.turns:.0%} of turns" if count else NEVER for count in counts]


def table_iii(named: Sequence[tuple[str, Parts]], where: str) -> Table:
    """The table for the terminal; ``named``: title and parts of a row."""
    table = Table(title=f"Table III, parts at work ({where})", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for heading in COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for title, parts in named:
        table.add_row(title, *cells(parts))
    return table


def notes(kinds: Mapping[str, str], scripted: bool) -> list[str]:
    """Sentences below the tables: how systems differ from their sources, and what a scripted world decides for them.

    Args:
        kinds: kind of each baseline that was played -> titles of its rows.
        scripted: whether the scripted world played.
    """
    found = [f"{titles}: {DIFFERS[kind]}." for kind, titles in kinds.items() if kind in DIFFERS]
    return [*found, *([f"The scripted world decides by a constant: {constants()}."] if scripted and found else ())]
