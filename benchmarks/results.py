"""RESULTS.md: one section a benchmark, each with machine, date and command; what is not measured now stays."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import Result, markdown

FILE = Path(__file__).with_name("RESULTS.md")
_HEAD = """# What the harness costs

Written by `python -m harness bench --write`; sections that need a vLLM server by `python -m harness bench vllm --write`
(docs/vllm.md; set `RSO_VLLM_PYTHON`). Ratios are more to be trusted than seconds: medians, with range and n in brackets
where there are several, taken in turns within one run. What each lever gave: [LEVERS.md](LEVERS.md).
"""
_PACKAGES = ("torch", "trio", "httpx2", "httptools", "openai", "msgspec", "numpy", "hnswlib")


def write(results: list[Result], path: Path = FILE) -> None:
    """Replace the sections of these benchmarks, in the order of the catalogue that the file has."""
    sections = _sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    for result in results:
        sections[result.name] = f"<!-- {result.name} -->\n{markdown(result)}\n{_machine()}\n"
    path.write_text("\n".join([_HEAD, *sections.values()]), encoding="utf-8")


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^<!-- (\w+) -->$", text, flags=re.MULTILINE)
    return {name: f"<!-- {name} -->{body.rstrip()}\n" for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()}; Python {platform.python_version()}, {versions}; "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load average afterwards {load:.1f}."
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
