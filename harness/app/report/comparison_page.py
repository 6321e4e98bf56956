"""A comparison directory -> its page: Tables IV and V, Fig. 4 and Fig. 5, faults and cost, groups, and every dialogue.

All numbers are those of `comparison.json`; the dialogues are those of the cells' logs, so two systems can be read side
by side on one scenario. A cell that has no log yet is left out of the reader and named in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from markupsafe import Markup

from harness.app.drawing import svg
from harness.app.drawing.palette import STOPS, series_colour
from harness.app.evaluation.decisions import decisions_of
from harness.app.evaluation.measures import entry_of, title_of
from harness.app.evaluation.protocol import BIASES
from harness.app.evaluation.statistics import NOTHING
from harness.app.grid.comparison.figures import FIGURES, ablations, of_several_sizes
from harness.app.grid.comparison.improvement import improvement_text
from harness.app.grid.comparison.parts import COLUMNS, cells
from harness.app.grid.comparison.plan import ComparisonFile, SystemCell
from harness.app.grid.comparison.results import GROUPED, Comparison, Row
from harness.app.grid.comparison.tables import (
    IMPROVE,
    TABLE_V,
    by_ievalm,
    levels,
    name_of,
    orderings,
    own_floor,
    shown_tables,
    verdict,
)
from harness.app.report.episode_data import EpisodeGroup, episode_data
from harness.app.report.health import TITLES as FLAWS
from harness.app.report.html import json_block, render
from harness.app.report.record import read_record
from harness.app.report.run_page import STOP_TITLES
from harness.core.errors import InputError
from harness.core.log import rundir

COMPARISON = "comparison.json"


def is_comparison(folder: Path) -> bool:
    return (folder / COMPARISON).exists()


def render_comparison(folder: Path) -> str:
    """The page; `InputError` where the directory cannot be read."""
    comparison = read_comparison(folder)
    datasets = list(dict.fromkeys(row.dataset for row in comparison.rows))
    groups = _groups(folder, comparison)
    context = {
        "title": folder.resolve().name,
        "group_word": "system",
        "world": comparison.world,
        "comparison": comparison,
        "facts": [
            ("systems", str(len({row.system for row in comparison.rows}))),
            ("models", str(len({row.model for row in comparison.rows}))),
            ("seeds", ", ".join(str(seed) for seed in comparison.seeds)),
            ("scenarios", str(comparison.scenarios)),
            ("dialogues", f"{sum(row.dialogues for row in comparison.rows):,}"),
            ("failed", f"{sum(row.failed for row in comparison.rows):,}"),
            ("reference", comparison.reference),
            *_decisions(folder, comparison),
        ],
        "biases": BIASES if by_ievalm(comparison.rows) else "",
        "headings_iii": [heading.replace("\n", " ") for heading in COLUMNS.values()],
        "iii": [(name_of(row, comparison.rows), row.dataset, cells(row.parts)) for row in comparison.rows],
        "datasets": [_dataset(comparison, name) for name in datasets],
        "failed_cells": [(row, seed, why) for row in comparison.rows for seed, why in sorted(row.failed_cells.items())],
        "parts": _parts(comparison),
        "part_names": [(name, title_of(name)) for name in GROUPED],
        "settings": msgspec.to_builtins(_read(folder / rundir.CONFIG, ComparisonFile)),
        "reader": episode_data(groups) if groups else None,
        "words": json_block({"stops": [[s, title, STOPS[s]] for s, title in STOP_TITLES.items()], "flaws": FLAWS}),
    }
    return render("comparison.html", context)


def read_comparison(folder: Path) -> Comparison:
    """``comparison.json``."""
    comparison: Comparison = _read(folder / COMPARISON, Comparison)
    return comparison


def _read(path: Path, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _decisions(folder: Path, comparison: Comparison) -> list[tuple[str, str]]:
    """Those in force in the reference's cells; nothing where it has none yet."""
    for path in sorted((folder / "cells").glob("*/cell.json")):
        cell: SystemCell = _read(path, SystemCell)
        if cell.system == comparison.reference:
            return [("its decisions", decisions_of(cell.resolved()))]
    return []


def _dataset(comparison: Comparison, name: str) -> dict[str, Any]:
    rows = [row for row in comparison.rows if row.dataset == name]
    reference = comparison.reference
    return {
        "name": name,
        "rows": [(name_of(row, rows), row) for row in rows],
        "tables": [(title, _table(rows, names)) for title, names in shown_tables(rows).items()],
        "orderings": orderings(rows),
        "overview": _figure(rows, rows),
        "scale": _figure(of_several_sizes(rows, reference), rows),
        "ablations": _figure(ablations(rows, reference), rows),
        "trained_without": _figure(ablations(rows, reference, trained_without=True), rows),
    }


def _table(rows: Sequence[Row], names: Sequence[str]) -> dict[str, Any]:
    """Headings (title and note), a row a system, and the levels that need no conversation."""
    improve = names is TABLE_V and any(row.improve is not None for row in rows)
    return {
        "headings": [(entry_of(name).title, entry_of(name).note) for name in names],
        "improve": IMPROVE if improve else "",
        "rows": [_table_row(row, rows, names) for row in rows],
        "levels": levels(rows, names),
    }


def _table_row(row: Row, rows: Sequence[Row], names: Sequence[str]) -> dict[str, Any]:
    return {
        "title": name_of(row, rows),
        "cells": [
            (row.metrics.get(name), verdict(row, name), row.differences.get(name), own_floor(row, name))
            for name in names
        ],
        "improve": improvement_text(row.improve),
        "n": row.dialogues - row.failed,
        "failed": row.failed,
        "cells_failed": len(row.failed_cells),
    }


def _figure(shown: Sequence[Row], rows: Sequence[Row]) -> list[tuple[str, Markup]]:
    """One panel a measure, a line a row."""
    panels = []
    for metric in FIGURES:
        lines = [
            (
                name_of(row, rows),
                svg.Dot(name=row.title, colour=series_colour(place), mean=e.mean, low=e.low, high=e.high),
            )
            for place, row in enumerate(shown)
            for e in [row.metrics.get(metric, NOTHING)]
        ]
        chart = svg.forest(lines, x_label=title_of(metric)) if any(dot.mean is not None for _, dot in lines) else None
        if chart:
            panels.append((title_of(metric), chart))
    return panels


def _parts(comparison: Comparison) -> list[tuple[str, list[Any]]]:
    """Results by persona, trait and goal: what they are split by -> groups."""
    found: dict[str, list[Any]] = {}
    for group in comparison.groups:
        if any(estimate.n for estimate in group.metrics.values()):
            found.setdefault(group.by, []).append(group)
    return list(found.items())


def _groups(folder: Path, comparison: Comparison) -> list[EpisodeGroup]:
    titles = {(row.system, row.model, row.dataset): name_of(row, comparison.rows) for row in comparison.rows}
    groups = []
    for path in sorted((folder / "cells").glob("*/cell.json")):
        cell: SystemCell = _read(path, SystemCell)
        record = read_record(path.parent)
        if not record.episodes or (cell.system, cell.model, cell.dataset) not in titles:
            continue
        several = len({row.dataset for row in comparison.rows}) > 1
        where = f", {cell.dataset}" if several else ""
        groups.append(
            EpisodeGroup(
                key=cell.name,
                title=f"{titles[cell.system, cell.model, cell.dataset]}{where}, seed {cell.seed}",
                episodes=record.episodes,
                config=record.config,
                strategies=record.strategies,
                items=record.items,
                prefix=f"{cell.system}.{cell.model}{where.replace(', ', '.')}.s{cell.seed} ",
                world=f"{cell.dataset}.s{cell.seed} ",
            )
        )
    return groups
