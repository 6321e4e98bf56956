"""What an experiment is: the settings of a run as frozen structs, with their defaults, bounds and digest.

Unknown keys, bounds and keys that exclude each other are checked where a file becomes these structs
(`harness.app.settings.configfile`). Whether files exist and servers answer is checked by `harness.app.setup.inputs`,
wiring and `doctor`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from harness.app.settings.phases import Phase
from harness.core.messages import Struct

Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Natural = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0, le=1e6)]
NonNegative = Annotated[float, Meta(ge=0.0, le=1e6)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


Extra = Literal["wi", "prs", "cred", "dist_2"]
"""Measures beside those that a log gives: watching intention, persuasiveness, credibility, Dist-2. The first three ask
the evaluator."""
IEVALM_TURNS = 5
"""T_max of an evaluation by iEvaLM's protocol, where `conversation.max_turns` is not smaller."""
IEVALM_DEPTH = 50
"""Films of a ranking among which that protocol looks for the target; its rankings are as long."""


class Run(Struct, frozen=True, kw_only=True):
    """The run as a whole."""

    name: Name = "run"
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    directory: str = "runs"
    """Where run directories are made."""


class Data(Struct, frozen=True, kw_only=True):
    """Dialogues for warm-up and goals, and the knowledge graph."""

    inspired: str = ""
    """INSPIRED-format TSV: shorthand for ``label_file``, and for both files of goals where ``goals = "inspired"``."""
    redial_dir: str = ""
    """Folder with ReDial's processed files; gives the knowledge graph where ``knowledge_graph`` is empty, and with
    ``goals = "redial"`` its ``valid_data.jsonl`` is the shorthand for both files of goals."""
    label_file: str = ""
    """INSPIRED-format TSV: strategy labels for the warm-up. No dialogue of it may stand in a file that judges."""
    validation_file: str = ""
    """INSPIRED-format TSV: labels that choose the warm-up's epoch. Empty: a share of the dialogues that teach."""
    training_goals_file: str = ""
    """Dialogues in the layout of ``goals``: which films of the training pool give goals first. It may name a file of
    ReDial's folder, such as ``train_data.jsonl``."""
    held_out_goals_file: str = ""
    """Dialogues in the layout of ``goals``: with the graph and the scenario seed they make the pools of goals."""
    knowledge_graph: str = ""
    """Films: a JSON file, or INSPIRED's ``movie_database.tsv`` (any name that ends in ``.tsv``)."""
    goals: Literal["inspired", "redial"] = "inspired"
    """Whose films the goals are drawn from, and so the layout of the files of goals."""
    labels: Literal["rso13", "inspired14"] = "rso13"
    scenario_seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    """Draws goals and held-out scenarios; absent: ``run.seed``. One value makes runs of many seeds comparable."""
    skip_bad: Natural = 0
    """Bad rows that are allowed in each file of dialogues or films, skipped and counted; one more is an error."""


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
    gpu_share: Share = 0.0
    """``vllm``: share of one GPU's memory that its server takes; 0: vLLM's own default. Servers that are up together,
    and the planner, must fit one GPU."""
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
    """Share of failed conversations above which a run ends with exit code 3: of a phase and of a sitting while they are
    played (of 20 where they have fewer, those that still live taken for good), of the whole run at its end."""
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
    retriever: Literal["attributes", "embedding"] = "attributes"
    """How items are ranked. ``embedding``: nearest to the embedded wishes, Eq. 4 as written. ``attributes``: first by
    the share of the wished-for genres, people and decades that an item has."""
    query: Literal["shared", "own"] = "shared"
    """What a system without inferred preferences searches with. ``shared``: all that the seeker said, one rule for all
    systems. ``own``: the words that its source searches with."""


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
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)$")] = "auto"
    """Where planner and entity index read and where updates are made: ``cpu``, ``cuda``, ``cuda:N``. ``auto``: the
    first GPU that torch sees, else the CPU. Of which kind it was is kept with the run, which another kind cannot
    continue."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the encoder computes with; of layers that learn the weights and their updates stay float32. bfloat16: 2.5
    times as fast on a CPU with AMX, slower on one without."""
    trainable_layers: Annotated[int, Meta(ge=0, le=48)] = 0
    """Top encoder layers that learn beside the head; 0 keeps the encoder frozen."""
    init: str = ""
    """Checkpoint folder to start from instead of a warm-up."""
    max_tokens: Annotated[int, Meta(ge=16, le=4096)] = 128
    """Token budget of the text that trained layers read, newest turns first; a frozen encoder reads all sentences."""
    preferences: bool = False
    """Whether the text that trained layers read holds the last preference text (C1 of the turn before)."""
    facts: bool = False
    """Whether it holds the facts that the retriever found in the turn before (C2)."""
    head: Literal["linear", "classification"] = "linear"
    """Of trained layers. ``linear``: on the state's numbers and three means of token states, zero at first.
    ``classification``: RoBERTa's, on the first token's state, random at first."""


class Warmup(Struct, frozen=True, kw_only=True):
    """Supervised fine-tuning on human labels (Eq. 6); the best epoch on held-out dialogues is kept."""

    epochs: Annotated[int, Meta(ge=0, le=10_000)] = 30
    learning_rate: Positive = 5e-3
    encoder_learning_rate: Positive = 1e-4
    """Of trainable encoder layers; the paper has one rate for all (preset ``paper``)."""


class RL(Struct, frozen=True, kw_only=True):
    """Entropy-regularised policy gradient (Eq. 7, Eq. 8) as a clipped actor-critic."""

    epochs: Annotated[int, Meta(ge=0, le=100_000)] = 10
    dialogues_per_epoch: Count = 32
    batch_episodes: Count = 16
    learning_rate: Positive = 2e-2
    """Of the head or the table: in trials 2e-2 learns faster than 1e-2 in 320 episodes, and as well in 1,000."""
    encoder_learning_rate: Positive = 1e-4
    """Of trainable encoder layers."""
    gamma: Share = 0.99
    horizon: Literal["absorbing", "terminal", "literal"] = "absorbing"
    entropy_coefficient: NonNegative = 0.03
    advantage: Literal["critic", "turn", "batch", "episode", "none"] = "critic"
    gae_lambda: Share = 0.9
    """Of the advantage ``critic``: 1 trusts returns, 0 trusts the critic."""
    passes: Annotated[int, Meta(ge=1, le=1000)] = 8
    """Steps on the same episodes, each on all of them; fewer once the policy has moved far. The paper has 1."""
    averaged: Literal["turns", "dialogues"] = "turns"
    """``turns``: returns and entropies are summed over an update's turns and divided by episodes x T_max.
    ``dialogues``: of each dialogue the sum of its turns and its mean entropy, then the mean over dialogues (Eq. 7)."""
    decay: Literal["none", "linear"] = "none"
    """Of the learning rates over the updates. ``linear``: to 0 after the last one."""
    policy_lag: Annotated[int, Meta(ge=0, le=10_000)] = 3
    """L, in updates: episode e acts with version max(0, e // batch_episodes - L)."""


class Reward(Struct, frozen=True, kw_only=True):
    """The judge's reading (decisions 6 and 7)."""

    mode: Literal["samples", "multinomial", "expected"] = "multinomial"
    samples: Annotated[int, Meta(ge=1, le=64)] = 10
    quorum: Annotated[int, Meta(ge=1, le=64)] = 5
    temperature: Annotated[float, Meta(gt=0.0, le=2.0)] = 1.0
    mass_floor: Share = 0.05
    """Probability of all labels together below which a label read (a judge's, an examiner's, a prompted planner's) is
    missing: the model wants to say something else, and the small rest means nothing."""
    threshold: Share = 0.75
    """tau: a reward above it ends the conversation."""
    distilled: str = ""
    """Folder of a judge that `distill-judge` made from another run's rewards: it rewards in place of the model of
    ``roles.reward``, whatever ``mode`` says, and never evaluates. For models that are too small to judge."""


class Evaluation(Struct, frozen=True, kw_only=True):
    """Evaluations before warm-up, after warm-up and after RL, on the same held-out goals."""

    dialogues: Count = 150
    """Held-out goals; n of them are the first n of every larger number."""
    pool: Literal["final", "development"] = "final"
    """Which held-out goals: settings are chosen on ``development``, and judged on ``final``. Both are drawn by
    ``data.scenario_seed`` and the data alone, and no goal of one is in the other or trains."""
    protocol: Literal["judge", "ievalm"] = "judge"
    """Who ends an evaluation's conversation. ``judge``: reward above tau, or the seeker. ``ievalm``: the harness,
    within 5 turns, as soon as the target is among the first 50 of the ranking; docs/recommend.md names its biases."""
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1)] = ("before", "warmup", "rl")
    """Which of them are played; a planner that does not learn has only ``before``."""
    measures: tuple[Extra, ...] = ()
    """What is measured of the evaluations' dialogues beside what the log gives, each evaluation at its end. ``wi``: the
    evaluator is asked once a dialogue; ``prs``: three times; ``cred``: once a turn that speaks of a film; ``dist_2``
    asks nothing. A comparison has all of them. A finished run is given more by `resume DIR --set`."""


class Crs(Struct, frozen=True, kw_only=True):
    """Recommenders that are trained on human dialogues: UniCRS and BARCOR (docs/trained.md)."""

    dialogues: str = ""
    """File to train on: ``.jsonl`` (ReDial), ``.tsv`` (INSPIRED) or ``.csv`` (OpenDialKG); empty: the file that
    training goals are drawn from."""
    reader: str = "minilm"
    """UniCRS's encoder, as ``planner.encoder``; the paper's is ``roberta-base``."""
    speaker: str = ""
    """UniCRS's GPT-2, a folder or hub id; the paper's is ``microsoft/DialoGPT-small``. Empty: a small one that is
    trained here."""
    bart: str = ""
    """BARCOR's BART, a folder or hub id; the paper's is ``facebook/bart-base``. Empty: small ones trained here."""
    text: Literal["template", "actor", "said"] = "template"
    """The message. ``template``: the system's own sentence, its slots filled from the ranking; ``actor``: the model of
    ``roles.actor`` speaks about the first films; ``said``: one fixed sentence."""
    tokens: Annotated[int, Meta(ge=16, le=1024)] = 48
    """Of the dialogue, its newest ones."""
    batch: Count = 64
    language_epochs: Natural = 2
    """Of a speaker that is trained here."""
    language_rate: Positive = 1e-3
    align_epochs: Natural = 2
    """UniCRS: of entity alignment."""
    align_rate: Positive = 1e-3
    talk_epochs: Natural = 2
    """Of responses."""
    talk_rate: Positive = 1e-3
    recommend_epochs: Natural = 5
    """Of recommendation. Of all stages the epoch with the least loss on the tuning dialogues is kept."""
    recommend_rate: Positive = 1e-3


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
    crs: Crs = Crs()
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
        """The roles that a model plays; the planner's only where it is a prompted one, the reward's where no distilled
        judge takes its place."""
        idle = set()
        if self.planner.kind != "prompted" or "planner" in self.network.without:
            idle.add("planner")
        if self.reward.distilled:
            idle.add("reward")
        return tuple(role for role in self.roles.__struct_fields__ if role not in idle)

    @property
    def learns(self) -> bool:
        """Whether its planner is one that learns."""
        return self.planner.kind in ("encoder", "tabular")

    @property
    def training_episodes(self) -> int:
        """RL episodes of the whole run."""
        return self.rl.epochs * self.rl.dialogues_per_epoch


DATA_FILES = (
    "data.inspired",
    "data.redial_dir",
    "data.label_file",
    "data.validation_file",
    "data.training_goals_file",
    "data.held_out_goals_file",
    "data.knowledge_graph",
    "reward.distilled",
    "crs.dialogues",
)
"""Keys that name files or folders of data, or of what was made from data."""
OPERATIONAL = ("run.directory", "budget", "scheduler", "planner.device", "evaluation.measures", *DATA_FILES)
"""Keys and tables that no result depends on: a run may be resumed with other values of them. Of data files the content
counts, not the place: its SHA-256 is kept and compared beside the config. No dialogue depends on what is measured."""


OPERATIONAL_OF_MODELS = frozenset(
    {
        *("base_url", "port", "python", "gpu_share", "api_key_env", "timeout_s", "startup_s", "retry_s"),
        *("max_connections", "restarts"),
    }
)
"""Keys of every ``[models.NAME]`` that say where a model is and how it is reached, not which model it is."""


def operational(key: str) -> bool:
    """Whether a dotted key is one of, or inside one of, `OPERATIONAL`, or one of a model's `OPERATIONAL_OF_MODELS`."""
    table, _, last = key.rpartition(".")
    # A variable of a server's environment may have any name.
    if table.startswith("models.") and not table.endswith(".environment") and last in OPERATIONAL_OF_MODELS:
        return True
    return any(key == name or key.startswith(f"{name}.") for name in OPERATIONAL)


def settings(config: Config) -> dict[str, Any]:
    """Every key of a config with its dotted path."""
    return flattened(msgspec.to_builtins(config))


def flattened(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value of a tree of plain values."""
    return dict(_flat(tree, ""))


def _flat(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
