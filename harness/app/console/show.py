"""One task that draws a run's progress: all of it on a terminal, elsewhere one line every few seconds."""

from __future__ import annotations

from typing import NoReturn

import trio
from rich.text import Text

from harness.app.console.progress import Progress

TERMINAL_S, PLAIN_S = 0.25, 5.0
"""Seconds between two drawings."""


async def show_progress(progress: Progress) -> NoReturn:
    """Draw until cancelled; a quiet progress draws nothing."""
    if progress.quiet:
        await trio.sleep_forever()
    if progress.console.is_terminal:
        # Only here: a run in the background needs no drawing code.
        from harness.app.console.live_view import draw

        await draw(progress, TERMINAL_S)
    while True:
        await trio.sleep(PLAIN_S)
        if progress.changed:
            progress.changed = False
            progress.console.print(Text(" | ".join(progress.fields())), soft_wrap=True)
