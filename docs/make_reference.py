"""Writes ``docs/config.md``, the schema in ``docs/export.md`` and the list in ``docs/measures.md`` from the code.

``--check`` says whether they are what the code says.

The meaning of a key is the text below it in `harness.app.settings.config`; bounds and defaults are those that msgspec
checks.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from harness.app.evaluation.measures import MEASURES
from harness.app.report.tables import TABLES
from harness.app.settings import config
from harness.app.settings.configfile import PRESETS

DOCS = Path(__file__).parent
MARK = re.compile(r"(<!-- generated:begin -->\n).*?(<!-- generated:end -->)", re.DOTALL)


def config_page() -> str:
    """The whole reference of experiment files."""
    presets = "".join(
        f'\n`preset = "{name}"` puts these under the file\'s own keys:\n\n'
        + "".join(f"- `{key}` = {_value(value)}\n" for key, value in _flat(tree, ""))
        for name, tree in PRESETS.items()
        if name
    )
    parts = [
        "# Config reference\n\n"
        "Made from the code by `python docs/make_reference.py`. An experiment is one TOML file; keys that it leaves "
        "out take the defaults below, unknown keys are refused with the nearest known name. Paths inside a file are "
        "relative to the file, paths in `--set key=value` to the current folder. No result depends on "
        f"{', '.join(f'`{name}`' for name in config.OPERATIONAL)}: a run may be resumed with other values of them (of "
        "data files the content counts, not the place).\n"
        f"{presets}"
    ]
    for field in msgspec.structs.fields(config.Config):
        if field.name == "preset":
            continue
        if field.name == "models":
            parts.append(_table("models.NAME", config.Model, "Any number of endpoints, by name; `default` is there."))
        elif field.name == "decoding":
            for role in msgspec.structs.fields(config.DecodingByRole):
                parts.append(_table(f"decoding.{role.name}", type(role.default), "", role.default))
        else:
            parts.append(_table(field.name, field.type, ""))
    return "\n".join(parts)


def _flat(tree: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _table(name: str, struct: Any, note: str, default: Any = None) -> str:
    texts = field_texts(struct)
    rows = []
    for field in msgspec.structs.fields(struct):
        value = getattr(default, field.name) if default is not None else field.default
        if value is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            value = field.default_factory()
        shown = "required" if value is msgspec.NODEFAULT else _value(value)
        meaning = texts.get(field.name, "").replace("|", "\\|")
        rows.append(f"| `{field.name}` | {_kind(field.type)} | {shown} | {meaning} |")
    lead = inspect.getdoc(struct) or ""
    return "\n".join(
        [
            f"## `[{name}]`",
            "",
            f"{lead} {note}".strip(),
            "",
            "| key | value | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def field_texts(struct: type[Any]) -> dict[str, str]:
    """Field -> the string that stands below it in the source."""
    body = ast.parse(inspect.getsource(struct)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(body.body, [*body.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            found[field.target.id] = " ".join(below.value.value.split()).replace("``", "`")
    return found


def _kind(kind: Any) -> str:
    if type(None) in get_args(kind):
        return _kind(next(option for option in get_args(kind) if option is not type(None)))
    meta = next((extra for extra in getattr(kind, "__metadata__", ()) if isinstance(extra, msgspec.Meta)), None)
    base = get_args(kind)[0] if meta is not None else kind
    if get_origin(base) is tuple:
        inner = _kind(get_args(base)[0])
        return f"list of {inner}"
    if get_origin(base) is dict:
        return "table of strings"
    options = get_args(base)
    if options and all(isinstance(option, str) for option in options):
        return " \\| ".join(f"`{option}`" if option else '`""`' for option in options)
    name = {int: "integer", float: "number", str: "text", bool: "true or false"}.get(base, str(base))
    return name + (_bounds(meta) if meta is not None else "")


def _bounds(meta: msgspec.Meta) -> str:
    low = f"{meta.ge:,} ≤" if meta.ge is not None else f"{meta.gt:,} <" if meta.gt is not None else ""
    high = f"≤ {meta.le:,}" if meta.le is not None else ""
    return f", {low} … {high}".rstrip() if low or high else ", letters, digits, `_ . -`" if meta.pattern else ""


def _value(value: Any) -> str:
    if value is None:
        return "absent"
    if value == "" or value == () or value == {}:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"`{value}`"


def schema() -> Iterator[str]:
    """The export's two tables."""
    for name, (columns, _) in TABLES.items():
        yield f"## `{name}`\n\n| column | type | meaning |\n|---|---|---|"
        for column in columns:
            yield f"| `{column.name}` | {column.kind} | {column.meaning} |"
        yield ""


def measures() -> Iterator[str]:
    """A row a measure."""
    yield "| measure | title | scale | better | one dialogue's value |\n|---|---|---|---|---|"
    for name, entry in MEASURES.items():
        scale = "0 or 1" if entry.scale.binary else f"{_end(entry.scale.low)} to {_end(entry.scale.high)}"
        yield f"| `{name}` | {entry.title} | {scale} | {entry.better or '–'} | {entry.note} |"
    yield ""


def _end(value: float) -> str:
    return f"{value:.3g}".replace("inf", "∞")


def pages() -> dict[Path, str]:
    """Path -> what it should hold."""
    found = {DOCS / "config.md": config_page()}
    for path, lines in ((DOCS / "export.md", schema()), (DOCS / "measures.md", measures())):
        text = "\n".join(lines)
        found[path] = MARK.sub(lambda mark, text=text: mark[1] + text + mark[2], path.read_text(encoding="utf-8"))
    return found


def main() -> int:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        print("\n".join(f"{path.name} is not what the code says" for path in stale) or "the references are up to date")
        return 1 if stale else 0
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
