"""UniCRS and BARCOR for a config: their settings, what they are trained on, where they are kept, and reading them.

One training serves a dataset and a seed. It lies in a folder that is named by all that it depends on, so `train-crs`,
`chat` and `compare` find the same one. torch is loaded by what trains or reads, not by this file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from harness.app.settings.config import Config
from harness.app.setup.corpora import read_corpora
from harness.app.setup.sources import Readings, goal_sources
from harness.core.errors import InputError
from harness.domain.entities import Entities, linked_turns
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.splits import Part, in_parts
from learner.crs.settings import BARCORSettings, Schedule, Settings, UniCRSSettings, name_of

if TYPE_CHECKING:
    from learner.crs.make import System

COPY = "+copy"
TRAINED = ("unicrs", "barcor", f"unicrs{COPY}", f"barcor{COPY}")
"""Systems that are trained on human dialogues. ``+copy``: mixed with a copy of named films, which no paper has."""
FOLDER = "crs"
"""Below ``run.directory``."""


def settings_of(config: Config, kind: str) -> Settings:
    """How a system is trained."""
    crs = config.crs
    align, talk, recommend = (
        Schedule(epochs=getattr(crs, f"{stage}_epochs"), rate=getattr(crs, f"{stage}_rate"))
        for stage in ("align", "talk", "recommend")
    )
    if kind.removesuffix(COPY) == "barcor":
        return BARCORSettings(model=crs.bart, tokens=crs.tokens, batch=crs.batch, talk=talk, recommend=recommend)
    return UniCRSSettings(
        reader=crs.reader,
        speaker=crs.speaker,
        tokens=crs.tokens,
        batch=crs.batch,
        language=Schedule(epochs=crs.language_epochs, rate=crs.language_rate),
        align=align,
        talk=talk,
        recommend=recommend,
    )


def title_of(config: Config, kind: str) -> str:
    """What tables call a system: ``unicrs-lite+copy``, ``barcor`` on the paper's pretrained models."""
    return name_of(settings_of(config, kind)) + (COPY if kind.endswith(COPY) else "")


def with_roles(config: Config, kind: str) -> Config:
    """The config with the roles that a trained system does not ask played by the seeker's model, so that no server is
    started for them; any other kind's as it is."""
    if kind not in TRAINED:
        return config
    idle = ["preference_reasoner", "planner", *([] if config.crs.text == "actor" else ["actor"])]
    roles = msgspec.structs.replace(config.roles, **dict.fromkeys(idle, config.roles.seeker))
    return msgspec.structs.replace(config, roles=roles)


class Corpus(NamedTuple):
    """What a config's systems are trained on and ranked over."""

    graph: KnowledgeGraph
    entities: Entities
    part: Part
    notes: tuple[str, ...]


def corpus_of(config: Config, graph: KnowledgeGraph) -> Corpus:
    """The recommendation turns of a config's dialogues, split by dialogue; `InputError` where there are none."""
    entities = Entities(graph)
    if config.crs.dialogues:
        found = read_corpora([[Path(config.crs.dialogues)]], graph, entities, config.data.skip_bad)[0]
        turns, notes = found.turns, found.notes
    else:
        source = goal_sources(config)[0]
        turns, notes = linked_turns(Readings(config).of(source), entities), ()
        if not turns:
            raise InputError(
                f"{source.key}: no turn of {source.path} recommends a film of the graph after something that the graph "
                "knows, so UniCRS and BARCOR have nothing to learn; crs.dialogues names another file"
            )
    return Corpus(graph, entities, in_parts(turns, config.run.seed), tuple(notes))


def folder_of(config: Config, kind: str, corpus: Corpus) -> Path:
    """Where the training of a system is kept, ``+copy`` or not."""
    settings = settings_of(config, kind)
    dialogues = [sorted({turn.dialogue for turn in turns}) for turns in corpus.part]
    content = (settings, config.run.seed, corpus.graph.sha256, dialogues)
    key = hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:10]
    return Path(config.run.directory) / FOLDER / f"{name_of(settings)}.s{config.run.seed}.{key}"


def train(
    config: Config, kind: str, corpus: Corpus, folder: Path, show: Callable[[str, int, int], None] | None = None
) -> System:
    """Train a system into a folder, go on with a training that was stopped there, or read one that has ended."""
    from harness.domain.device import device_of
    from harness.domain.text_encoder import use_one_thread
    from learner.crs.make import train_on

    use_one_thread()
    return train_on(
        settings_of(config, kind),
        corpus.part,
        corpus.entities,
        graph=corpus.graph.sha256,
        seed=config.run.seed,
        folder=folder,
        device=str(device_of(config.planner.device)),
        show=show,
    )


def read(config: Config, graph: KnowledgeGraph, folder: Path) -> tuple[System, Sequence[float]]:
    """A system that was trained, and what ``+copy`` mixes in; `InputError` where it is not there or is damaged."""
    from harness.domain.device import device_of
    from harness.domain.text_encoder import use_one_thread
    from learner.crs.make import load

    use_one_thread()
    device = str(device_of(config.planner.device))
    meta, system = load(folder, Entities(graph), graph=graph.sha256, device=device)
    return system, meta.copy
