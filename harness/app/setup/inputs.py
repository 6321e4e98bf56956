"""Config -> what a run works on: knowledge graph, human dialogues, held-out and training scenarios.

Everything here is read and checked before a run directory is made and before any model is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.app.settings.config import Config
from harness.core.errors import ConfigError, InputError
from harness.core.messages import Dialogue, LabelledTurn, Scenario, Struct
from harness.core.seams import Dataset
from harness.core.seeds import derive
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.strategies import Strategy, strategy_set
from simulator.datasets.inspired import InspiredDataset
from simulator.datasets.redial import RedialDataset, load_redial_graph
from simulator.goal_pools import GoalPools
from simulator.goals import draw_scenarios
from simulator.personas import PERSONAS
from simulator.scripted.actor import STRATEGIES_PLAYED
from simulator.scripted.traits import shows_a_trait

TRAINING_GOALS = 400
"""The most goals that training draws; later episodes use them again."""
PREFIXES = {"final": "eval", "development": "dev"}
"""Prefixes of scenario ids, by pool: each pool has people and random numbers of its own."""
REDIAL_FILES = ("kg.json", "id2info.json", "entity2id.json", "relation2id.json", "item_ids.json", "valid_data.jsonl")


class Inputs(Struct, frozen=True, kw_only=True):
    """Everything a run reads."""

    graph: KnowledgeGraph
    strategies: tuple[Strategy, ...]
    dialogues: tuple[Dialogue, ...]
    """Human dialogues with strategy labels; empty where no warm-up data are configured."""
    held_out: tuple[Scenario, ...]
    """A function of graph, dialogues, scenario seed and `evaluation.pool`; the first n are the same for all longer."""
    training: tuple[Scenario, ...]
    notes: tuple[str, ...]
    """What was dropped, skipped or filled up on the way, one sentence each."""
    files: dict[str, str]
    """Config key -> SHA-256 of the file's content."""

    @property
    def labelled_turns(self) -> tuple[tuple[str, LabelledTurn], ...]:
        """(dialogue id, turn) of all labelled turns."""
        return tuple((dialogue.id, turn) for dialogue in self.dialogues for turn in dialogue.labelled_turns)


def read_inputs(config: Config) -> Inputs:
    """Read and check all data of a config; `InputError`, `DataError` or `ConfigError` where something is wrong."""
    strategies = strategy_set(config.data.labels)
    _check_strategies(config, strategies)
    _check_scripted_world(config, strategies)
    drawn_by = config.run.seed if config.data.scenario_seed is None else config.data.scenario_seed
    graph = _graph(config)
    dialogues, notes = read_dialogues(config, Path(config.data.inspired)) if config.data.inspired else ((), [])
    goal_source = dialogues
    if config.data.goals == "redial":
        redial: Dataset = RedialDataset(_redial_folder(config), skip_bad=config.data.skip_bad)
        goal_source = tuple(redial.dialogues())
    warms_up = config.learns and config.warmup.epochs and not config.planner.init
    if warms_up and sum(bool(dialogue.labelled_turns) for dialogue in dialogues) < 2:
        raise ConfigError("data.inspired: the warm-up needs at least 2 dialogues with labelled recommender turns")
    if config.data.goals == "inspired" and not dialogues:
        raise ConfigError("data.inspired: goals and warm-up need an INSPIRED-format file, and none is named")
    pools, pool = GoalPools(graph, goal_source, seed=drawn_by), config.evaluation.pool
    held_out = pools.held_out(pool, config.evaluation.dialogues)
    training = pools.training(min(max(config.training_episodes, 1), TRAINING_GOALS), seed=config.run.seed)
    notes += [*graph.notes, f"held-out goals ({pool} pool): {held_out.report}", f"training goals: {training.report}"]
    return Inputs(
        graph=graph,
        strategies=strategies,
        dialogues=dialogues,
        held_out=draw_scenarios(
            held_out.goals, PERSONAS, seed=drawn_by, prefix=PREFIXES[pool], count=len(held_out.goals)
        ),
        training=draw_scenarios(
            training.goals, PERSONAS, seed=config.run.seed, prefix="train", count=config.training_episodes
        ),
        notes=tuple(notes),
        files=digests(config),
    )


def pool_digest(scenarios: Sequence[Scenario]) -> str:
    """SHA-256 of held-out scenarios: ids, personas and goals. Results are paired only where it is the same."""
    return hashlib.sha256(msgspec.json.encode(scenarios)).hexdigest()


def episode_seed(config: Config, scenario: Scenario) -> int:
    """Seed of all random numbers of a scenario's episode. It depends on the run's seed and the scenario only, so all
    phases share it."""
    return derive(config.run.seed, "scenario", scenario.id)


def _check_strategies(config: Config, strategies: tuple[Strategy, ...]) -> None:
    if config.planner.kind != "fixed":
        return
    known = [strategy.key for strategy in strategies]
    key = "planner.schedule" if config.planner.schedule else "planner.strategy"
    for wanted in config.planner.schedule or (config.planner.strategy,):
        if wanted not in known:
            raise ConfigError(f"{key}: {wanted!r} is none of: {', '.join(known)}")


def _check_scripted_world(config: Config, strategies: tuple[Strategy, ...]) -> None:
    """`ConfigError` for what the scripted world has no rule for: there, one conversation after the other would fail."""
    roles = (("actor", config.roles.actor), ("seeker", config.roles.seeker))
    scripted = [role for role, model in roles if config.models[model].backend == "scripted"]
    strange = [strategy.name for strategy in strategies if strategy.name not in STRATEGIES_PLAYED]
    if "actor" in scripted and strange:
        raise ConfigError(f"the scripted world has no rule for the strategy {strange[0]!r}")
    dull = [persona.name for persona in PERSONAS if not shows_a_trait(persona.text)]
    if "seeker" in scripted and dull:
        raise ConfigError(
            f"the scripted world reads no trait in the persona {dull[0]!r}: docs/world.md says which words it reads"
        )


def read_dialogues(config: Config, path: Path) -> tuple[tuple[Dialogue, ...], list[str]]:
    """The dialogues of an INSPIRED-format file, read as the config says, and what was skipped, in sentences."""
    inspired = InspiredDataset(
        path,
        strategies=strategy_set(config.data.labels),
        skip_bad=config.data.skip_bad,
        max_turns=config.conversation.max_turns,
    )
    dialogues = tuple(inspired.dialogues())
    skipped = [f"{inspired.skipped} bad rows of {path} were skipped with their dialogues"] if inspired.skipped else []
    return dialogues, skipped


def _graph(config: Config) -> KnowledgeGraph:
    if config.data.knowledge_graph:
        return KnowledgeGraph.load(Path(config.data.knowledge_graph))
    return load_redial_graph(_redial_folder(config))


def _redial_folder(config: Config) -> Path:
    if not config.data.redial_dir:
        raise ConfigError(
            'data.knowledge_graph: no films are named; set it, or data.redial_dir (goals = "redial" needs that)'
        )
    folder = Path(config.data.redial_dir)
    if not folder.is_dir():
        raise InputError(f"data.redial_dir: there is no folder {folder}")
    return folder


def digests(config: Config) -> dict[str, str]:
    """SHA-256 of the configured data files, by config key."""
    files = {"data.inspired": config.data.inspired, "data.knowledge_graph": config.data.knowledge_graph}
    if config.data.redial_dir:
        folder = Path(config.data.redial_dir)
        files |= {f"data.redial_dir/{name}": str(folder / name) for name in REDIAL_FILES}
    return {
        key: hashlib.sha256(Path(path).read_bytes()).hexdigest()
        for key, path in files.items()
        if path and Path(path).is_file()
    }
