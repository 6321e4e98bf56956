"""Config -> the files of dialogues and films, who uses which, and that no dialogue both teaches and judges.

Four uses have a key each: labels that teach, labels that validate, training goals, held-out goals. The shorthands
``data.inspired`` and ``data.redial_dir`` name the file of every use whose own key is empty. Where one shorthand serves
training and held-out goals alike, the pools of ``simulator.goal_pools`` keep the films of the two apart; files that are
named one by one must not share a dialogue. What it leaves out: what is made of the dialogues (``inputs``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from harness.app.settings.config import Config
from harness.core.errors import ConfigError, InputError
from harness.core.messages import Dialogue
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.splits import refuse_shared
from harness.domain.strategies import strategy_set
from learner.distilled_judge import META, WEIGHTS
from simulator.datasets.inspired import InspiredDataset
from simulator.datasets.movie_database import load_movie_database
from simulator.datasets.redial import RedialDataset, load_redial_graph

Use = Literal["label_file", "validation_file", "training_goals_file", "held_out_goals_file"]
TEACH: tuple[Use, ...] = ("label_file", "training_goals_file")
JUDGE: tuple[Use, ...] = ("validation_file", "held_out_goals_file")
_REDIAL_SPLIT = "valid_data.jsonl"
"""The file of goals in ``data.redial_dir`` where no key names one."""
_REDIAL_GRAPH = ("kg.json", "id2info.json", "entity2id.json", "relation2id.json", "item_ids.json")


class Source(NamedTuple):
    """A file of dialogues."""

    key: str
    """The config key that names it, a use's own or a shorthand."""
    path: Path
    layout: Literal["inspired", "redial"]


def sources(config: Config) -> dict[Use, Source]:
    """The file of each use; a use for which no key names a file is left out."""
    data = config.data
    labels = Source("data.inspired", Path(data.inspired), "inspired") if data.inspired else None
    goals = labels
    if data.goals == "redial":
        goals = Source("data.redial_dir", redial_folder(config) / _REDIAL_SPLIT, "redial") if data.redial_dir else None
    shorthand = {"label_file": labels, "training_goals_file": goals, "held_out_goals_file": goals}
    found: dict[Use, Source] = {}
    for use in (*TEACH, *JUDGE):
        named = getattr(data, use)
        layout = data.goals if use.endswith("goals_file") else "inspired"
        source = Source(f"data.{use}", Path(named), layout) if named else shorthand.get(use)
        if source:
            found[use] = source
    return found


def label_source(config: Config) -> Source:
    """The file of labels; `ConfigError` where none is named."""
    found = sources(config).get("label_file")
    if found is None:
        raise ConfigError(
            "data.inspired: an INSPIRED-format file of labelled dialogues is needed, and none is named here or in "
            "data.label_file"
        )
    return found


def goal_sources(config: Config) -> tuple[Source, Source]:
    """The files of training and of held-out goals; `ConfigError` where one is not named."""
    found = sources(config)
    wanted: tuple[Use, ...] = ("training_goals_file", "held_out_goals_file")
    shorthand = "data.inspired" if config.data.goals == "inspired" else "data.redial_dir"
    for use in wanted:
        if use not in found:
            raise ConfigError(
                f"{shorthand}: goals are drawn from the films of dialogues, and none are named here or in data.{use}"
            )
    return found["training_goals_file"], found["held_out_goals_file"]


class Readings:
    """Files of dialogues, each read once, as the config says."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._read: dict[Path, tuple[Dialogue, ...]] = {}
        self.notes: list[str] = []
        """What was skipped, one sentence a file."""

    def of(self, source: Source) -> tuple[Dialogue, ...]:
        """The dialogues of a file; `InputError` or `DataError` where it cannot be read."""
        if source.path not in self._read:
            dataset = self._dataset(source)
            self._read[source.path] = tuple(dataset.dialogues())
            if dataset.skipped:
                self.notes.append(f"{dataset.skipped} bad rows of {source.path} were skipped with their dialogues")
        return self._read[source.path]

    def _dataset(self, source: Source) -> InspiredDataset | RedialDataset:
        data = self._config.data
        if source.layout == "redial":
            return RedialDataset(source.path, skip_bad=data.skip_bad)
        return InspiredDataset(
            source.path,
            strategies=strategy_set(data.labels),
            skip_bad=data.skip_bad,
            max_turns=self._config.conversation.max_turns,
        )


def refuse_dialogues_on_both_sides(config: Config, read: Callable[[Source], tuple[Dialogue, ...]]) -> None:
    """`DataError` naming the dialogues of a file that teaches which stand in a file that judges, too."""
    found = sources(config)
    for teaching in (found[use] for use in TEACH if use in found):
        for judging in (found[use] for use in JUDGE if use in found):
            if teaching.key != judging.key and teaching.layout == judging.layout:
                refuse_shared({f"{source.key} ({source.path})": read(source) for source in (teaching, judging)})


def read_graph(config: Config) -> KnowledgeGraph:
    """The configured films; `ConfigError` where none are named, `InputError` or `DataError` where they are bad."""
    if config.data.knowledge_graph:
        return graph_in(Path(config.data.knowledge_graph), config.data.skip_bad)
    return load_redial_graph(redial_folder(config))


def graph_in(path: Path, skip_bad: int) -> KnowledgeGraph:
    """The films of a file: INSPIRED's table where it ends in ``.tsv``, else a JSON graph."""
    return load_movie_database(path, skip_bad) if path.suffix == ".tsv" else KnowledgeGraph.load(path)


def redial_folder(config: Config) -> Path:
    """`ConfigError` where ``data.redial_dir`` is empty, `InputError` where it is no folder."""
    if not config.data.redial_dir:
        raise ConfigError("data.knowledge_graph: no films are named; set it, or data.redial_dir")
    folder = Path(config.data.redial_dir)
    if not folder.is_dir():
        raise InputError(f"data.redial_dir: there is no folder {folder}")
    return folder


def digests(config: Config) -> dict[str, str]:
    """SHA-256 of the configured data files and of a distilled judge's, by config key."""
    data = config.data
    files = {"data.inspired": data.inspired, "data.knowledge_graph": data.knowledge_graph}
    files |= {f"data.{use}": getattr(data, use) for use in (*TEACH, *JUDGE)}
    if data.redial_dir:
        folder = Path(data.redial_dir)
        files |= {f"data.redial_dir/{name}": str(folder / name) for name in (*_REDIAL_GRAPH, _REDIAL_SPLIT)}
    if config.reward.distilled:
        judge = Path(config.reward.distilled)
        files |= {f"reward.distilled/{name}": str(judge / name) for name in (META, WEIGHTS)}
    return {
        key: hashlib.sha256(Path(path).read_bytes()).hexdigest()
        for key, path in files.items()
        if path and Path(path).is_file()
    }
