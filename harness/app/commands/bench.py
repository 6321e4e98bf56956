"""`bench`: run the benchmarks of the source checkout, print them, and write their figures down if asked.

They are no part of the installed package: they play the fixtures and experiments of the repository. Left out: what is
measured and how (``benchmarks/``).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

import harness
from harness.core.errors import InputError

FOLDER = "benchmarks"


def bench(names: list[str], console: Console, *, as_json: bool, write: bool) -> None:
    """Print every result as soon as it is there; ``write``: put all of them into ``benchmarks/RESULTS.md``."""
    root = _checkout()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    catalogue: Any = importlib.import_module(f"{FOLDER}.catalogue")
    measure: Any = importlib.import_module(f"{FOLDER}.measure")
    results: Any = importlib.import_module(f"{FOLDER}.results")
    done = []
    for result in catalogue.run(names, measure.Bench()):
        done.append(result)
        shown = measure.json_line(result) if as_json else f"{measure.text_table(result)}\n"
        console.print(Text(shown), soft_wrap=True)
        if write:
            # Written at once: a later benchmark that fails must not lose these figures.
            results.write(done)


def _checkout() -> Path:
    root = Path(harness.__file__).parents[1]
    if not (root / FOLDER / "catalogue.py").is_file():
        raise InputError(f"the benchmarks belong to the source checkout: there is no {FOLDER} folder in {root}")
    return root
