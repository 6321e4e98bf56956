"""The live view of a run on a terminal: phase and ETA, rates, queues, sparklines, strategy shares, the last dialogue.

Drawn by one task on the scheduler's clock, without a thread of its own. Model text is shown as text on one line: never
as markup, without control characters and without characters that turn the direction of what follows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import NoReturn

import trio
from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.app.console.progress import CONVERSATIONS, Progress, clock
from harness.core.sections import one_line

SPARKS = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 32
SHOWN_STRATEGIES = 5
BAR = 12
SAID = 160
"""Characters of a message that are shown."""


async def draw(progress: Progress, every_s: float) -> NoReturn:
    """Draw until cancelled. At the end the drawing is removed; the messages stay."""
    with Live(console=progress.console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(view(progress), refresh=True)
            await trio.sleep(every_s)


def view(progress: Progress) -> RenderableType:
    """The whole view at this moment."""
    parts: list[RenderableType] = [_head(progress)]
    parts += [line for line in (_rates(progress), _queues(progress), *_traces(progress)) if line is not None]
    if progress.strategies:
        parts.append(_strategies(progress))
    parts += _last_dialogue(progress)
    return Panel(Group(*parts), border_style="dim", padding=(0, 1))


def sparkline(values: Sequence[float], width: int = SPARK_WIDTH) -> str:
    """Means of ``width`` equal parts of a series as blocks, the lowest ▁, the highest █."""
    if not values:
        return ""
    parts = min(width, len(values))
    means = [_mean(values[place * len(values) // parts : (place + 1) * len(values) // parts]) for place in range(parts)]
    low, span = min(means), max(means) - min(means)
    if span == 0.0:
        return SPARKS[3] * parts
    return "".join(SPARKS[min(int((mean - low) / span * len(SPARKS)), len(SPARKS) - 1)] for mean in means)


def harmless(text: str) -> str:
    """One line that cannot move a terminal: format characters (direction marks among them) are left out too."""
    return one_line("".join(c for c in text if unicodedata.category(c) != "Cf"))


def _head(progress: Progress) -> Table:
    head = Table.grid(padding=(0, 2), expand=True)
    head.add_column(no_wrap=True)
    head.add_column(ratio=1)
    head.add_column(justify="right", no_wrap=True)
    total = progress.total
    bar = ProgressBar(total=total or None, completed=progress.done, pulse=not total)
    right = f"{progress.done}/{total} {progress.unit}" if total else clock(progress.elapsed_s)
    if progress.eta_s is not None:
        right += f"  ETA {clock(progress.eta_s)}"
    head.add_row(Text(harmless(progress.phase), style="bold"), bar, Text(right))
    return head


def _rates(progress: Progress) -> Text | None:
    if progress.unit != CONVERSATIONS or not (progress.turns or progress.done):
        return None
    line = Text()
    failed = progress.failed
    line.append(f"{progress.live} live  ")
    line.append(f"{failed} failed", style="red" if failed else "")
    if progress.turns:
        line.append(f"  {progress.turns / progress.elapsed_s:.1f} turns/s")
    if progress.tokens:
        line.append(f"  {progress.tokens / progress.elapsed_s:,.0f} tokens/s")
    if progress.mean_return is not None:
        line.append(f"  mean return {progress.mean_return:.2f}")
    return line


def _queues(progress: Progress) -> Text | None:
    queues = progress.queues()
    if not any(waiting or under_way for _, waiting, under_way in queues):
        return None
    line = Text("queues ", style="dim")
    line.append("waiting+at work  ", style="dim")
    for name, waiting, under_way in queues:
        line.append(f"{name} ", style="dim")
        line.append(f"{waiting}+{under_way}  ", style="yellow" if waiting > under_way else "")
    return line


def _traces(progress: Progress) -> Iterator[Text]:
    for name, values in (("return ", list(progress.returns)), ("entropy", list(progress.entropies))):
        if len(values) > 1:
            recent = values[-(len(values) // 4 or 1) :]
            yield Text.assemble((f"{name} ", "dim"), (sparkline(values), "cyan"), f" {_mean(recent):.2f}")


def _strategies(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 1))
    total = sum(progress.strategies.values())
    shown = progress.strategies.most_common(SHOWN_STRATEGIES)
    for name, count in shown:
        share = count / total
        table.add_row(
            Text(harmless(name), style="dim"), Text("█" * max(1, round(share * BAR)), style="blue"), f"{share:.0%}"
        )
    rest = total - sum(count for _, count in shown)
    if rest:
        table.add_row(Text(f"{len(progress.strategies) - len(shown)} others", style="dim"), "", f"{rest / total:.0%}")
    return table


def _last_dialogue(progress: Progress) -> list[RenderableType]:
    said = progress.last_turn
    if said is None:
        return []
    head = Text(f"{harmless(said.episode)}: {said.stop} after {said.turns} turns", style="dim")
    strategy = f" ({harmless(said.strategy)})" if said.strategy else ""
    return [
        head,
        Text.assemble((f"  recommender{strategy}: ", "dim"), _short(said.response), overflow="ellipsis", no_wrap=True),
        Text.assemble(("  seeker: ", "dim"), _short(said.reply), overflow="ellipsis", no_wrap=True),
    ]


def _short(text: str) -> str:
    line = harmless(text)
    return line if len(line) <= SAID else f"{line[: SAID - 1]}…"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
