"""What a table's numbers depend on, in two lines that stand beside every table: the world and the decisions in force.

The decisions are those that the paper leaves open (docs/decisions.md); the report's page lists them with their reasons.
"""

from __future__ import annotations

from harness.app.settings.config import Config

SCRIPTED = "scripted world: these numbers say nothing about language models or people"


def world_of(config: Config) -> str:
    """Where a run's numbers come from: the scripted world, or the models by role."""
    roles = {role: config.models[getattr(config.roles, role)] for role in config.roles_in_use}
    if all(model.backend == "scripted" for model in roles.values()):
        return SCRIPTED
    by_model: dict[str, list[str]] = {}
    for role, model in roles.items():
        by_model.setdefault(model.model, []).append(role)
    said = [f"{name} as {', '.join(names)}" for name, names in by_model.items()]
    return "; ".join([*said, "a distilled judge as reward"] if config.reward.distilled else said)


def decisions_of(config: Config) -> str:
    """The decisions in force, in one line; those of reinforcement only where the planner learns by it."""
    rl, reward = config.rl, config.reward
    parts = [f"horizon {rl.horizon}", f"gamma {rl.gamma:g}"]
    if config.learns and config.training_episodes:
        parts += [
            f"advantage {rl.advantage}" + (f" (lambda {rl.gae_lambda:g})" if rl.advantage == "critic" else ""),
            f"passes {rl.passes}",
            f"beta {rl.entropy_coefficient:g}",
            f"batch {rl.batch_episodes}",
            f"lag {rl.policy_lag}",
        ]
        parts += ["averaged over dialogues"] if rl.averaged == "dialogues" else []
        parts += ["linear decay"] if rl.decay == "linear" else []
    reading = reward.mode if reward.mode == "expected" else f"{reward.mode} x {reward.samples}"
    if reward.distilled:
        reading = f"by a model distilled from another judge's scores ({_folder(reward.distilled)})"
    parts += [
        f"T_max {config.conversation.max_turns}",
        f"tau {reward.threshold:g}",
        f"reward {reading}",
        f"K {config.network.candidates}",
        f"retriever {config.network.retriever}",
        f"query {config.network.query}",
        f"labels {config.data.labels}",
        f"planner {_planner(config)}",
        f"evaluator {_evaluator(config)}",
    ]
    if config.evaluation.protocol == "ievalm":
        parts.append("evaluated by iEvaLM's protocol")
    if config.network.without:
        parts.append(f"without {' and '.join(name.replace('_', ' ') for name in config.network.without)}")
    return ", ".join(parts)


def stands_on(config: Config) -> str:
    """World, seed and decisions in one line, for tables that are not a run's own (its summary holds them apart)."""
    return f"World: {world_of(config)}. Seed {config.run.seed}. Decisions: {decisions_of(config)}."


def _planner(config: Config) -> str:
    planner = config.planner
    match planner.kind:
        case "encoder":
            head = " and a classification head" if planner.head == "classification" else ""
            reads = [name for name, read in (("C1", planner.preferences), ("C2", planner.facts)) if read]
            more = f", which reads {', '.join(reads)}" if reads and planner.trainable_layers else ""
            return f"{_folder(planner.encoder)} with {planner.trainable_layers} trained layers{head}{more}"
        case "fixed":
            return f"fixed {planner.strategy}" if planner.strategy else "open-loop schedule"
        case "rule":
            return f"rule {planner.rule}"
        case "prompted":
            return f"prompted {config.models[config.roles.planner].model}"
        case _:
            return planner.kind


def _folder(path: str) -> str:
    """A folder's name without its path."""
    return path.rstrip("/").rpartition("/")[2]


def _evaluator(config: Config) -> str:
    evaluator = config.models[config.roles.evaluator]
    if config.reward.distilled:
        return f"{evaluator.model} (another judge than the rewards')"
    judge = config.models[config.roles.reward]
    same = (judge.model, judge.base_url) == (evaluator.model, evaluator.base_url)
    return f"{evaluator.model} ({'the judge with another prompt' if same else 'another model than the judge'})"
