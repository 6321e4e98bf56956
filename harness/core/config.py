"""Experiment TOML -> frozen structs; every error names the key.

An experiment is one TOML file. Keys that it leaves out take the defaults below; ``preset = "paper"`` puts the paper's
own settings under the file's. Unknown keys are refused with the nearest known name, numbers are bounded, NaN and
infinities are refused. Paths inside the file are relative to the file; in ``--set`` they are relative to the current
folder. What is *not* checked here is whether files exist and servers answer: that is wiring's and the doctor's work.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from harness.core.errors import ConfigError, InputError
from harness.core.messages import Struct

Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Natural = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0, le=1e6)]
NonNegative = Annotated[float, Meta(ge=0.0, le=1e6)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Run(Struct, frozen=True, kw_only=True):
    """The run as a whole."""

    name: Name = "run"
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    directory: str = "runs"
    """Where run directories are made."""


class Data(Struct, frozen=True, kw_only=True):
    """Dialogues for warm-up and goals, and the knowledge graph."""

    inspired: str = ""
    """INSPIRED-format TSV: strategy labels for the warm-up."""
    redial_dir: str = ""
    """Folder with ReDial's processed files; gives the knowledge graph where ``knowledge_graph`` is empty."""
    knowledge_graph: str = ""
    """JSON file of films."""
    goals: Literal["inspired", "redial"] = "inspired"
    """Whose films the goals are drawn from."""
    labels: Literal["rso13", "inspired14"] = "rso13"
    scenario_seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    """Draws goals and held-out scenarios; absent: ``run.seed``. One value makes runs of many seeds comparable."""
    skip_bad: Natural = 0
    """Bad rows that are allowed, skipped and counted; one more is an error."""


class Model(Struct, frozen=True, kw_only=True):
    """One model endpoint."""

    backend: Literal["scripted", "vllm", "openai"] = "scripted"
    model: str = "scripted-world"
    base_url: str = ""
    """``openai``: the server's ``.../v1``. ``vllm`` and ``scripted`` start their own server where this is empty."""
    python: str = ""
    """``vllm``: the Python that has vLLM; empty for the environment's ``RSO_VLLM_PYTHON``, else the harness's own."""
    arguments: tuple[str, ...] = ()
    """``vllm``: extra arguments of its server."""
    environment: dict[str, str] = {}
    """Extra environment variables of a server that the harness starts."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """0: any free port."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key; the key itself is never written anywhere."""
    timeout_s: Positive = 120.0
    """Deadline of one call."""
    startup_s: Positive = 900.0
    """Deadline of the server's start."""
    retry_s: NonNegative = 60.0
    """How long a call is retried through connection errors, 429 and 5xx before the server counts as lost."""
    max_connections: Count = 512
    latency_ms: NonNegative = 0.0
    """``scripted``: added to every reply."""
    restarts: Natural = 1
    """How often a server that died in mid-run is started again."""


class Roles(Struct, frozen=True, kw_only=True):
    """Which model plays which role."""

    preference_reasoner: str = "default"
    actor: str = "default"
    seeker: str = "default"
    reward: str = "default"
    evaluator: str = "default"
    planner: str = "default"
    """Of ``planner.kind = "prompted"``; no other planner is a language model."""


class Decoding(Struct, frozen=True, kw_only=True):
    """How one role's replies are drawn."""

    temperature: Annotated[float, Meta(ge=0.0, le=2.0)]
    max_tokens: Annotated[int, Meta(ge=1, le=8192)]


class PlannerDecoding(Struct, frozen=True, kw_only=True):
    """How a prompted planner's strategy is drawn."""

    temperature: Annotated[float, Meta(gt=0.0, le=2.0)] = 1.0


class DecodingByRole(Struct, frozen=True, kw_only=True):
    """Decoding of the roles that write text; the judges' is in ``reward``."""

    preference_reasoner: Decoding = Decoding(temperature=0.0, max_tokens=96)
    actor: Decoding = Decoding(temperature=0.7, max_tokens=192)
    seeker: Decoding = Decoding(temperature=0.7, max_tokens=160)
    planner: PlannerDecoding = PlannerDecoding()


class Scheduler(Struct, frozen=True, kw_only=True):
    """How many conversations live at once and what their failures mean."""

    max_live_conversations: Annotated[int, Meta(ge=1, le=20_000)] = 64
    fail_on_error: Share = 0.2
    """Share of failed conversations (after the first 20) above which a run stops early."""
    drain_s: NonNegative = 30.0
    """How long live conversations may finish after a first SIGINT."""


class Conversation(Struct, frozen=True, kw_only=True):
    """One conversation."""

    max_turns: Annotated[int, Meta(ge=1, le=100)] = 10


class Network(Struct, frozen=True, kw_only=True):
    """Ablations of the network of experts."""

    without: tuple[Literal["planner", "preference_reasoner", "fact_retriever"], ...] = ()
    candidates: Annotated[int, Meta(ge=1, le=50)] = 5
    """K, items offered to the actor."""


class Planner(Struct, frozen=True, kw_only=True):
    """The policy over strategies."""

    kind: Literal["encoder", "tabular", "uniform", "fixed", "rule", "prompted"] = "encoder"
    """The first two learn. ``prompted``: the model of ``roles.planner`` is shown the strategies and chooses."""
    strategy: str = ""
    """``fixed``: the strategy it always takes."""
    schedule: tuple[str, ...] = ()
    """``fixed``: one strategy a turn instead of ``strategy``, the last one from then on."""
    rule: Literal["reads", "knows_persona"] = "reads"
    """``rule``: a planner by hand for the scripted world; the second is told the persona and is an upper bound."""
    encoder: str = "minilm"
    """``minilm``, a folder (beginning with ``./``, ``../``, ``/`` or ``~``) or a hub id such as ``roberta-base``."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of a frozen encoder's weights. bfloat16: 2.5 times as fast on a CPU with AMX, slower on one without."""
    trainable_layers: Annotated[int, Meta(ge=0, le=48)] = 0
    """Top encoder layers that learn beside the head; 0 keeps the encoder frozen."""
    init: str = ""
    """Checkpoint folder to start from instead of a warm-up."""
    max_tokens: Annotated[int, Meta(ge=16, le=4096)] = 128
    """Token budget of the state text, newest turns first."""
    preferences: bool = False
    """Whether the state text holds the last preference text."""


class Warmup(Struct, frozen=True, kw_only=True):
    """Supervised fine-tuning on human labels (Eq. 6); the best epoch on held-out dialogues is kept."""

    epochs: Annotated[int, Meta(ge=0, le=10_000)] = 30
    learning_rate: Positive = 5e-3
    encoder_learning_rate: Positive = 1e-4
    """Of trainable encoder layers; the paper has one rate for all (preset ``paper``)."""


class RL(Struct, frozen=True, kw_only=True):
    """Entropy-regularised policy gradient (Eq. 7, Eq. 8)."""

    epochs: Annotated[int, Meta(ge=0, le=100_000)] = 10
    dialogues_per_epoch: Count = 32
    batch_episodes: Count = 16
    learning_rate: Positive = 1e-2
    """Of the head (or the table): at 3e-3 a frozen encoder's head hardly moves within 320 episodes."""
    encoder_learning_rate: Positive = 1e-4
    """Of trainable encoder layers."""
    gamma: Share = 0.99
    horizon: Literal["absorbing", "terminal", "literal"] = "absorbing"
    entropy_coefficient: NonNegative = 0.03
    advantage: Literal["turn", "batch", "episode", "none"] = "turn"
    policy_lag: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """L, in updates: episode e acts with version max(0, e // batch_episodes - L)."""


class Reward(Struct, frozen=True, kw_only=True):
    """The judge's reading (decisions 6 and 7)."""

    mode: Literal["samples", "multinomial", "expected"] = "multinomial"
    samples: Annotated[int, Meta(ge=1, le=64)] = 10
    quorum: Annotated[int, Meta(ge=1, le=64)] = 5
    temperature: Annotated[float, Meta(gt=0.0, le=2.0)] = 1.0
    threshold: Share = 0.75
    """tau: a reward above it ends the conversation."""


Phase = Literal["before", "warmup", "rl"]


class Evaluation(Struct, frozen=True, kw_only=True):
    """Evaluations before warm-up, after warm-up and after RL, on the same held-out goals."""

    dialogues: Count = 150
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1)] = ("before", "warmup", "rl")
    """Which of them are played; a planner that does not learn has only ``before``."""


class Budget(Struct, frozen=True, kw_only=True):
    """Limits after which a run stops cleanly and resumably; 0 means none."""

    calls: Natural = 0
    tokens: Natural = 0
    seconds: NonNegative = 0.0


class Config(Struct, frozen=True, kw_only=True):
    """A whole experiment."""

    preset: Literal["", "paper"] = ""
    run: Run = Run()
    data: Data = Data()
    models: dict[str, Model] = msgspec.field(default_factory=lambda: {"default": Model()})
    roles: Roles = Roles()
    decoding: DecodingByRole = DecodingByRole()
    scheduler: Scheduler = Scheduler()
    conversation: Conversation = Conversation()
    network: Network = Network()
    planner: Planner = Planner()
    warmup: Warmup = Warmup()
    rl: RL = RL()
    reward: Reward = Reward()
    evaluation: Evaluation = Evaluation()
    budget: Budget = Budget()

    @property
    def digest(self) -> str:
        """SHA-256 of all settings that a result can depend on (see `OPERATIONAL`)."""
        tree = {key: value for key, value in settings(self).items() if not operational(key)}
        return hashlib.sha256(msgspec.json.encode(tree, order="sorted")).hexdigest()

    @property
    def models_in_use(self) -> tuple[str, ...]:
        """Names of the models that some role uses, sorted."""
        return tuple(sorted({getattr(self.roles, role) for role in self.roles_in_use}))

    @property
    def roles_in_use(self) -> tuple[str, ...]:
        """The roles that a model plays; the planner's only where it is a prompted one."""
        asked = self.planner.kind == "prompted" and "planner" not in self.network.without
        return tuple(role for role in self.roles.__struct_fields__ if role != "planner" or asked)

    @property
    def training_episodes(self) -> int:
        """RL episodes of the whole run."""
        return self.rl.epochs * self.rl.dialogues_per_epoch


OPERATIONAL = ("run.directory", "budget", "scheduler")
"""Keys and tables that no result depends on: a run may be resumed with other values of them."""


def operational(key: str) -> bool:
    """Whether a dotted key is one of, or inside one of, `OPERATIONAL`."""
    return any(key == name or key.startswith(f"{name}.") for name in OPERATIONAL)


def settings(config: Config) -> dict[str, Any]:
    """Every key of a config with its dotted path."""
    return flattened(msgspec.to_builtins(config))


def flattened(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value of a tree of plain values."""
    return dict(_flat(tree, ""))


PRESETS: Mapping[str, dict[str, Any]] = {
    "": {},
    # The settings that the paper states (decisions 4, 5, 7, 21, 22); the others keep the defaults above. RL has one
    # rate for all weights then, without the faster pace of the state's numbers (learner.updates.NUMBERS_PACE).
    "paper": {
        "planner": {"encoder": "roberta-base", "trainable_layers": 12},
        "warmup": {"learning_rate": 6e-6, "encoder_learning_rate": 6e-6, "epochs": 5},
        "rl": {
            "epochs": 10,
            "dialogues_per_epoch": 100,
            "batch_episodes": 16,
            "learning_rate": 1e-4,
            "encoder_learning_rate": 1e-4,
            "gamma": 0.99,
            "horizon": "literal",
            "advantage": "none",
        },
        "reward": {"mode": "samples", "samples": 10},
    },
}

_PATH_KEYS = ("run.directory", "data.inspired", "data.redial_dir", "data.knowledge_graph", "planner.init")
_MAYBE_PATH_KEYS = ("planner.encoder", "models.*.python", "models.*.model")
"""Keys that hold a path only if the value looks like one; otherwise a name or an executable."""


_OTHER_VERBS = {"comparison": "compare", "study": "study"}
"""Tables that no experiment has, and the verb whose files they are in."""


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read an experiment file and ``key=value`` overrides; `ConfigError` names the key, `InputError` the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"there is no experiment file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the experiment file {path}: {error}") from None
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    for table, verb in _OTHER_VERBS.items():
        if isinstance(tree.get(table), dict):
            raise ConfigError(f"{path} is the file of a {table}: python -m harness {verb} {path}")
    _resolve_paths(tree, path.resolve().parent)
    return config_from_tree(overridden(tree, overrides))


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
    try:
        config = msgspec.convert(merged, Config)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `")
        key = where.rstrip("`").removeprefix("$.") or "the file"
        raise ConfigError(f"{key}: {what[:1].lower()}{what[1:]}") from None
    _check_together(config)
    return config


def _check_together(config: Config) -> None:
    for role in config.roles_in_use:
        name = getattr(config.roles, role)
        if name not in config.models:
            known = ", ".join(sorted(config.models)) or "none"
            raise ConfigError(f"roles.{role}: there is no [models.{name}]; known: {known}")
    for name, model in config.models.items():
        if model.backend == "openai" and not model.base_url:
            raise ConfigError(f"models.{name}.base_url: the openai backend needs the server's address")
        _refuse_secrets(name, model)
    if config.reward.quorum > config.reward.samples:
        raise ConfigError(
            f"reward.quorum: {config.reward.quorum} is more than reward.samples = {config.reward.samples}"
        )
    if config.planner.kind == "fixed" and bool(config.planner.strategy) == bool(config.planner.schedule):
        raise ConfigError("planner.strategy: a fixed planner needs the strategy that it takes, or a planner.schedule")
    if config.planner.kind not in ("encoder", "tabular") and "before" not in config.evaluation.phases:
        raise ConfigError(f"evaluation.phases: a planner of kind {config.planner.kind!r} has only the phase before")
    if config.planner.dtype != "float32" and config.planner.trainable_layers:
        raise ConfigError("planner.dtype: encoder layers that learn do so in float32")


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


def _flat(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in _flat(tree, ""):
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
    # 'a.b=3', 'a.b=true', 'a.b=["x"]' are TOML; anything else is meant as a string.
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
