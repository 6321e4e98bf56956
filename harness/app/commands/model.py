"""`model`: make a packaged model's folder before its first use, and say where it is."""

from __future__ import annotations

import trio
from rich.console import Console
from rich.text import Text

from harness.app.console.progress import Progress
from harness.app.console.show import show_progress
from harness.app.settings.config import Model
from harness.app.setup.packaged_model import PACKAGED, converted, folder_of, server_python
from harness.core.errors import InputError


def model(name: str, python: str, console: Console) -> None:
    """Convert it if need be; ``python``: a Python that has the packages, "" for this one or the vLLM one."""
    if name not in PACKAGED:
        raise InputError(f"there is no packaged model {name}; known: {', '.join(PACKAGED)}")
    there = folder_of(name).is_dir()
    progress = Progress(console)
    folder = trio.run(_converted, name, server_python(Model(python=python)), progress)
    console.print(Text(f"{folder}{' (was there)' if there else ''}"), soft_wrap=True)


async def _converted(name: str, python: str, progress: Progress) -> str:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(show_progress, progress)
        folder = await converted(name, python, progress)
        nursery.cancel_scope.cancel()
    return str(folder)
