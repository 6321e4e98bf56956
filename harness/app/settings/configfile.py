"""Experiment TOML -> `Config`; every error names the key.

An experiment is one TOML file. Keys that it leaves out take their defaults; ``preset = "paper"`` puts the paper's own
settings under the file's. Unknown keys are refused with the nearest known name, numbers are bounded, NaN and infinities
are refused. Paths inside the file are relative to the file; in ``--set`` they are relative to the current folder.
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from harness.app.settings.config import DATA_FILES, Config, Model, flattened
from harness.app.settings.tomlfile import converted, read_toml
from harness.core.errors import ConfigError, InputError

PRESETS: Mapping[str, dict[str, Any]] = {
    "": {},
    # The settings that the paper states (decisions 3, 4, 5, 7, 21, 22); the others keep the defaults.
    "paper": {
        "network": {"retriever": "embedding"},
        "planner": {
            "encoder": "roberta-base",
            "trainable_layers": 12,
            "max_tokens": 512,
            "head": "classification",
            "preferences": True,
            "facts": True,
        },
        "warmup": {"learning_rate": 6e-6, "encoder_learning_rate": 6e-6, "epochs": 10},
        "rl": {
            "epochs": 10,
            "dialogues_per_epoch": 100,
            "batch_episodes": 16,
            "learning_rate": 1e-4,
            "encoder_learning_rate": 1e-4,
            "gamma": 0.99,
            "horizon": "literal",
            "advantage": "none",
            "passes": 1,
            "averaged": "dialogues",
            "decay": "linear",
            "policy_lag": 0,
        },
        "reward": {"mode": "samples", "samples": 10},
        # UniCRS's scripts and iEvaLM's of BARCOR; RoBERTa's folder or id serves planner and reader alike.
        "crs": {
            "reader": "roberta-base",
            "speaker": "microsoft/DialoGPT-small",
            "bart": "facebook/bart-base",
            "tokens": 200,
            "batch": 64,
            "align_epochs": 5,
            "align_rate": 5e-4,
            "talk_epochs": 10,
            "talk_rate": 1e-4,
            "recommend_epochs": 5,
            "recommend_rate": 1e-4,
        },
    },
}

_PATH_KEYS = ("run.directory", *DATA_FILES, "planner.init")
_MAYBE_PATH_KEYS = ("planner.encoder", "crs.reader", "crs.speaker", "crs.bart", "models.*.python", "models.*.model")
"""Keys that hold a path only if the value looks like one; otherwise a name or an executable."""
_INPUT_PATHS = (*DATA_FILES, "planner.init", "planner.encoder", "crs.reader", "crs.speaker", "crs.bart")
"""Keys whose paths must be there before a run starts."""


_OTHER_VERBS = {"comparison": "compare", "study": "study"}
"""Tables that no experiment has, and the verb whose files they are in."""


def load_config(path: Path, overrides: Sequence[str] = (), models: Mapping[str, Any] | None = None) -> Config:
    """Read an experiment file and ``key=value`` overrides; `ConfigError` names the key, `InputError` the file.

    ``models``: [models.NAME] of another file, put over the experiment's and under the overrides.
    """
    tree = read_toml(path, "experiment file")
    for table, verb in _OTHER_VERBS.items():
        if isinstance(tree.get(table), dict):
            raise ConfigError(f"{path} is the file of a {table}: python -m harness {verb} {path}")
    _resolve_paths(tree, path.resolve().parent)
    merged: dict[str, Any] = {}
    _merge(merged, tree)
    if models:
        _merge(merged, {"models": models})
    return config_from_tree(overridden(merged, overrides))


def resolved_models(models: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """[models.NAME] of a file in ``folder``, its relative paths resolved."""
    tree: dict[str, Any] = {"models": {name: dict(entry) for name, entry in models.items()}}
    _resolve_paths(tree, folder)
    return dict(tree["models"])


def refuse_missing_paths(config: Config, *, data: bool = True) -> None:
    """`InputError` naming the first key whose file or folder is not there; what is in it is not looked at.

    Without ``data``, files of data may be missing.
    """
    for key, path in _missing(config):
        if data or key not in DATA_FILES:
            raise InputError(f"{key}: there is no {path}")


def missing_data(config: Config) -> tuple[tuple[str, str], ...]:
    """(key, path) of each file or folder of data that is named and not there."""
    return tuple((key, path) for key, path in _missing(config) if key in DATA_FILES)


def _missing(config: Config) -> Iterator[tuple[str, str]]:
    tree = msgspec.to_builtins(config)
    for key in _INPUT_PATHS:
        for table, leaf in _tables(tree, key.split(".")):
            path = table[leaf]
            if os.path.isabs(path) and not os.path.exists(path):
                yield key, path


def overridden(tree: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A tree of plain values with ``key=value`` overrides put in; paths in them are relative to the current folder."""
    merged: dict[str, Any] = {}
    _merge(merged, tree)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set wants key=value, not {override!r}")
        branch: dict[str, Any] = {}
        _put(branch, key.strip(), _toml_value(value.strip()))
        _resolve_paths(branch, Path.cwd())
        _merge(merged, branch)
    return merged


def config_from_tree(tree: Mapping[str, Any]) -> Config:
    """Check a tree of plain values and build the config; raises `ConfigError`."""
    _refuse_unknown(tree, Config, "")
    preset = tree.get("preset", "")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f"preset: {preset!r} is no preset; known: {', '.join(sorted(filter(None, PRESETS)))}")
    merged: dict[str, Any] = {}
    _merge(merged, PRESETS[preset])
    _merge(merged, tree)
    for key, value in _leaves(merged):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key}: {value} is not a finite number")
        if isinstance(value, str) and "\0" in value:
            raise ConfigError(f"{key}: holds a NUL character")
    config = converted(merged, Config)
    _check_together(config)
    return config


def _check_together(config: Config) -> None:
    if config.roles.evaluator not in config.models and config.roles.evaluator in ("distilled", config.reward.distilled):
        raise ConfigError("roles.evaluator: a distilled judge only rewards and never evaluates; name a model")
    for role in config.roles_in_use:
        name = getattr(config.roles, role)
        if name not in config.models:
            known = ", ".join(sorted(config.models)) or "none"
            raise ConfigError(f"roles.{role}: there is no [models.{name}]; known: {known}")
    for name, model in config.models.items():
        if model.backend == "openai" and not model.base_url:
            raise ConfigError(f"models.{name}.base_url: the openai backend needs the server's address")
        _refuse_secrets(name, model)
        if model.gpu_share and any(one.startswith("--gpu-memory-utilization") for one in model.arguments):
            raise ConfigError(
                f"models.{name}.gpu_share: --gpu-memory-utilization stands in the arguments, too; keep one"
            )
    if config.reward.quorum > config.reward.samples:
        raise ConfigError(
            f"reward.quorum: {config.reward.quorum} is more than reward.samples = {config.reward.samples}"
        )
    if config.planner.kind == "fixed" and bool(config.planner.strategy) == bool(config.planner.schedule):
        raise ConfigError("planner.strategy: a fixed planner needs the strategy that it takes, or a planner.schedule")
    if config.planner.head == "classification" and not config.planner.trainable_layers:
        raise ConfigError("planner.head: a classification head goes with layers that learn (planner.trainable_layers)")
    if not config.learns and "before" not in config.evaluation.phases:
        raise ConfigError(f"evaluation.phases: a planner of kind {config.planner.kind!r} has only the phase before")


_SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "AUTH", "CREDENTIAL")
_SECRET_WORDS = frozenset({"key", "token", "secret", "password"})


def _refuse_secrets(name: str, model: Model) -> None:
    """A config is written into the run directory as it stands, so no secret may be in it; none is shown here either."""
    if "@" in model.base_url or "?" in model.base_url:
        raise ConfigError(
            f"models.{name}.base_url: holds a user, a password or a query; name the variable that holds the key in "
            f"models.{name}.api_key_env"
        )
    for variable in model.environment:
        if any(word in variable.upper() for word in _SECRET_NAMES):
            raise ConfigError(
                f"models.{name}.environment: {variable} looks like a secret; set it where the harness is started, its "
                "servers inherit it"
            )
    for argument in model.arguments:
        option = argument.partition("=")[0].lower().replace("_", "-")
        if option.startswith("--") and _SECRET_WORDS.intersection(option.split("-")):
            raise ConfigError(f"models.{name}.arguments: {option} holds a secret; use models.{name}.api_key_env")


def _refuse_unknown(tree: object, struct: type[msgspec.Struct], path: str) -> None:
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{path.rstrip('.')}: is a table of keys, not {tree!r}")
    hints = get_type_hints(struct)
    for key, value in tree.items():
        if key not in struct.__struct_fields__:
            near = difflib.get_close_matches(str(key), struct.__struct_fields__, n=1)
            hint = f"did you mean {path}{near[0]}?" if near else f"known: {', '.join(struct.__struct_fields__)}"
            raise ConfigError(f"{path}{key}: there is no such key; {hint}")
        kind = hints[key]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            _refuse_unknown(value, kind, f"{path}{key}.")
        elif get_origin(kind) is dict and get_args(kind)[1] is Model:
            if not isinstance(value, Mapping):
                raise ConfigError(f"{path}{key}: is a table of models, not {value!r}")
            for name, entry in value.items():
                _refuse_unknown(entry, Model, f"{path}{key}.{name}.")


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in flattened(tree).items():
        yield from ((key, entry) for entry in value) if isinstance(value, list) else ((key, value),)


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping):
            branch = into.get(key)
            if not isinstance(branch, dict):
                branch = into[key] = {}
            _merge(branch, value)
        else:
            into[key] = value


def _put(tree: dict[str, Any], dotted: str, value: object) -> None:
    *branches, leaf = dotted.split(".")
    for branch in branches:
        tree = tree.setdefault(branch, {})
    tree[leaf] = value


def _toml_value(text: str) -> object:
    # 'a.b=3', 'a.b=true', 'a.b=["x"]' are TOML; anything else is a string.
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _resolve_paths(tree: dict[str, Any], base: Path) -> None:
    for pattern in (*_PATH_KEYS, *_MAYBE_PATH_KEYS):
        certain = pattern in _PATH_KEYS
        for table, leaf in _tables(tree, pattern.split(".")):
            value = table.get(leaf)
            if isinstance(value, str) and value and (certain or value.startswith(("./", "../", "/", "~"))):
                table[leaf] = os.path.normpath(base / Path(value).expanduser())


def _tables(tree: object, keys: list[str]) -> Iterator[tuple[dict[str, Any], str]]:
    if not isinstance(tree, dict):
        return
    if len(keys) == 1:
        yield tree, keys[0]
    elif keys[0] == "*":
        for branch in tree.values():
            yield from _tables(branch, keys[1:])
    else:
        yield from _tables(tree.get(keys[0]), keys[1:])
