"""Config -> what a run works on: knowledge graph, human dialogues, held-out and training scenarios.

Everything here is read and checked before a run directory is made and before any model is called.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.app.settings.config import Config
from harness.app.setup.sources import (
    Readings,
    digests,
    goal_sources,
    label_source,
    read_graph,
    refuse_dialogues_on_both_sides,
    sources,
)
from harness.core.errors import ConfigError
from harness.core.messages import Dialogue, LabelledTurn, Scenario, Struct
from harness.core.seeds import derive
from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.strategies import Strategy, strategy_set
from learner.distilled_judge import Taught, load_distilled
from simulator.goal_pools import GoalPools
from simulator.goals import draw_scenarios
from simulator.personas import PERSONAS
from simulator.scripted.actor import STRATEGIES_PLAYED
from simulator.scripted.traits import shows_a_trait

TRAINING_GOALS = 400
"""The most goals that training draws; later episodes use them again."""
PREFIXES = {"final": "eval", "development": "dev"}
"""Prefixes of scenario ids, by pool: each pool has people and random numbers of its own."""


class Inputs(Struct, frozen=True, kw_only=True):
    """Everything a run reads."""

    graph: KnowledgeGraph
    strategies: tuple[Strategy, ...]
    dialogues: tuple[Dialogue, ...]
    """Human dialogues with strategy labels; empty where no warm-up data are configured."""
    validation: tuple[Dialogue, ...] = ()
    """Those on which the warm-up's epochs are compared; empty where a share of ``dialogues`` does it."""
    held_out: tuple[Scenario, ...]
    """A function of graph, dialogues of ``data.held_out_goals_file``, scenario seed and `evaluation.pool`; the first n
    are the same for all longer."""
    training: tuple[Scenario, ...]
    popular: tuple[str, ...]
    """Ids of all films by how many of the dialogues that training goals are drawn from speak of them, most first;
    equals in graph order. What this list reaches is a floor of recall (`harness.app.evaluation.floors`)."""
    notes: tuple[str, ...]
    """What was dropped, skipped or filled up on the way, one sentence each."""
    files: dict[str, str]
    """Config key -> SHA-256 of the file's content."""
    taught: Taught | None = None
    """What the distilled judge that rewards was made from; None where a model judges."""

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
    named, (learnt, judged) = sources(config), goal_sources(config)
    taught = load_distilled(Path(config.reward.distilled))[0] if config.reward.distilled else None
    graph, files = read_graph(config), Readings(config)
    dialogues = files.of(named["label_file"]) if "label_file" in named else ()
    validation = files.of(named["validation_file"]) if "validation_file" in named else ()
    if config.learns and config.warmup.epochs and not config.planner.init:
        _check_labels(dialogues, validation)
    refuse_dialogues_on_both_sides(config, files.of)
    pools, pool = GoalPools(graph, files.of(judged), seed=drawn_by), config.evaluation.pool
    held_out = pools.held_out(pool, config.evaluation.dialogues)
    training = pools.training(
        min(max(config.training_episodes, 1), TRAINING_GOALS), files.of(learnt), seed=config.run.seed
    )
    notes = [
        *files.notes,
        *graph.notes,
        f"held-out goals ({pool} pool): {held_out.report}",
        f"training goals: {training.report}",
        *([taught.sentence] if taught else []),
    ]
    return Inputs(
        graph=graph,
        strategies=strategies,
        dialogues=dialogues,
        validation=validation,
        held_out=draw_scenarios(
            held_out.goals, PERSONAS, seed=drawn_by, prefix=PREFIXES[pool], count=len(held_out.goals)
        ),
        training=draw_scenarios(
            training.goals, PERSONAS, seed=config.run.seed, prefix="train", count=config.training_episodes
        ),
        popular=_popular(graph, files.of(learnt)),
        notes=tuple(notes),
        files=digests(config),
        taught=taught,
    )


def read_labels(config: Config) -> tuple[tuple[Dialogue, ...], tuple[Dialogue, ...], list[str]]:
    """The dialogues whose labels teach, those that validate (empty: a share of the first does), and what was skipped.

    `ConfigError` where no file of labels is named; goals and films are not read.
    """
    files, validating = Readings(config), sources(config).get("validation_file")
    dialogues = files.of(label_source(config))
    validation = files.of(validating) if validating else ()
    _check_labels(dialogues, validation)
    refuse_dialogues_on_both_sides(config, files.of)
    return dialogues, validation, files.notes


def _check_labels(dialogues: tuple[Dialogue, ...], validation: tuple[Dialogue, ...]) -> None:
    if sum(bool(dialogue.labelled_turns) for dialogue in dialogues) < 2:
        raise ConfigError(
            "data.inspired: the warm-up needs at least 2 dialogues with labelled recommender turns, here or in "
            "data.label_file"
        )
    if validation and not any(dialogue.labelled_turns for dialogue in validation):
        raise ConfigError("data.validation_file: no dialogue in it has a labelled recommender turn")


def _popular(graph: KnowledgeGraph, dialogues: Sequence[Dialogue]) -> tuple[str, ...]:
    counts = Counter(found for dialogue in dialogues for found in {graph.find(name) for name in dialogue.mentions})
    return tuple(sorted((item.id for item in graph.items), key=lambda item: -counts[item]))


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
