"""A run directory as the report reads it: settings, summary, metrics, finished episodes, and names of items.

Nothing is computed here and nothing is written. Data files are not needed: where the knowledge graph is gone, items
keep their ids. A run that was killed has no summary; what its log holds is shown all the same.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.app.evaluation.log_check import refuse_another_log
from harness.app.evaluation.summary import PhaseSummary, Summary
from harness.app.identity.manifest import Manifest, read_manifest, tree_of
from harness.app.identity.sittings import Sitting, read_sittings
from harness.app.job.metricsfile import read_metrics
from harness.app.job.summaryfile import read_summary
from harness.app.settings.config import Config
from harness.app.settings.configfile import config_from_tree
from harness.app.settings.phases import PHASE_TITLES, phase_title
from harness.app.setup.sources import read_graph
from harness.core.errors import DataError, HarnessError
from harness.core.log import rundir
from harness.core.log.episode import Episode
from harness.core.log.loggedepisodes import EpisodeIndex, LoggedEpisodes
from harness.core.messages import Item, Struct
from harness.domain.strategies import Strategy, strategy_set


class RunRecord(Struct, frozen=True, kw_only=True):
    """What a run directory holds."""

    folder: Path
    manifest: Manifest
    sittings: tuple[Sitting, ...]
    """Those after the first that were made by something else."""
    config: Config
    summary: Summary | None
    """None where the run has not been summarised (killed)."""
    metrics: tuple[dict[str, Any], ...]
    episodes: LoggedEpisodes
    """Finished ones, by phase and index."""
    checked: bool
    """Whether the log could be checked for damage; those of older versions cannot."""
    strategies: tuple[Strategy, ...]
    items: dict[str, Item]
    """By id; empty where the knowledge graph cannot be read any more."""

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases with finished episodes, in order."""
        there = self.episodes.counts.keys()
        return (*(name for name in PHASE_TITLES if name in there), *sorted(there - PHASE_TITLES.keys()))

    @property
    def evaluations(self) -> tuple[PhaseSummary, ...]:
        """The evaluations' estimates: of the summary, or of `metrics.jsonl` where there is no summary yet."""
        if self.summary is not None:
            return self.summary.phases
        return tuple(
            msgspec.convert({key: value for key, value in line.items() if key != "type"}, PhaseSummary)
            for line in self.metrics
            if line.get("type") == "evaluation"
        )

    def of(self, phase: str) -> LoggedEpisodes:
        return self.episodes.of(phase)

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """Lines of `metrics.jsonl` of one kind, in order."""
        return [line for line in self.metrics if line.get("type") == kind]


def read_record(folder: Path) -> RunRecord:
    """Read a run directory; `InputError` or `DataError` where it is none or is damaged."""
    manifest = read_manifest(folder)
    try:
        metrics = tuple(read_metrics(folder / rundir.METRICS))
    except DataError as error:
        raise DataError(f"{error}; `resume {folder}` makes the file again from the log") from None
    summary = read_summary(folder)
    episodes = EpisodeIndex(folder / rundir.EPISODES)
    refuse_another_log(folder, summary)
    # Not `config_of`: a report of an older run must not fail because keys were added to the config since.
    config = config_from_tree(tree_of(manifest))
    return RunRecord(
        folder=folder,
        manifest=manifest,
        sittings=tuple(read_sittings(folder)),
        config=config,
        summary=summary,
        metrics=metrics,
        episodes=episodes,
        checked=episodes.checked and (summary is None or summary.log is not None),
        strategies=strategy_set(config.data.labels),
        items=_items(config),
    )


def _items(config: Config) -> dict[str, Item]:
    try:
        return read_graph(config).by_id
    except (HarnessError, OSError):
        return {}


def title_of(item: str, items: Mapping[str, Item]) -> str:
    """How an item is called; its id where it is not known."""
    return items[item].name if item in items else item


def by_phase(record: RunRecord) -> list[tuple[str, str, Sequence[Episode]]]:
    """(name, title, episodes) of every phase that has any."""
    return [(phase, phase_title(phase), record.of(phase)) for phase in record.phases]


def visible(text: str) -> str:
    """Text as a page may hold it: control, direction and surrogate characters are written out, line breaks kept."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t\u200d" else c
        for c in text
    )
