"""A template of the ``page`` folder -> one self-contained HTML file under a strict content security policy.

Autoescaped jinja2; style and script are inline and allowed by their hash alone, so a page needs no network, works from
``file://``, and nothing that a model or a dataset wrote can run in it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.app.evaluation.statistics import NOT_MEASURED, Estimate, interval_text
from harness.app.report.record import visible


def render(template: str, context: Mapping[str, Any]) -> str:
    """A template of this package's ``page`` folder with style, script and their hashes in the policy."""
    folder = files("harness.app.report") / "page"
    style = (folder / "report.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        loader=PackageLoader("harness.app.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # A last check of text from models, datasets and folder names.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters |= {
        "breakable": _breakable,
        "cell": _cell,
        "count": _count,
        "mean": _mean,
        "number": _number,
        "percent": _percent,
    }
    return environment.get_template(template).render(
        **context, policy=policy, style=Markup(style), script=Markup(script)
    )


def json_block(tree: object) -> Markup:
    """JSON for a data block: no ``<``, so nothing in it can end the block."""
    return Markup(msgspec.json.encode(tree).decode().replace("<", "\\u003c"))


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _breakable(key: str) -> Markup:
    """A dotted key that may break after its dots and underscores."""
    broken = escape(key).replace(".", Markup(".<wbr>")).replace("_", Markup("_<wbr>"))
    return Markup(broken)


def _cell(value: Estimate | None, signed: bool = False) -> Markup:
    """Mean over its interval."""
    if value is None:
        return Markup('<span class="interval">{}</span>').format(NOT_MEASURED)
    if value.mean is None:
        return Markup("–")
    sign = "+" if signed else ""
    mean = Markup("<b>{}</b>").format(f"{value.mean:{sign}.3f}")
    interval = interval_text(value, 3, signed=signed)
    return mean + Markup('<span class="interval">{}</span>').format(interval) if interval else mean


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _mean(value: Estimate | None, digits: int = 2, percent: bool = False) -> str:
    """The mean alone."""
    if value is None:
        return NOT_MEASURED
    return _percent(value.mean) if percent else _number(value.mean, digits)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
