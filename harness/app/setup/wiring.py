"""Config -> live objects: the only file that names every concrete class.

`planner_of` and `index_of` load what runs in this process; `open_models` starts the model servers and opens their
clients; `open_players` puts the experts, the seeker and the judges on their lanes. Whatever runs is an async context
manager and ends with its block.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from pathlib import Path

import msgspec
import platformdirs
import trio

from experts.actor import Actor
from experts.baselines.trained import Answer, Trained, TrainedCRS, answer
from experts.entity_index import EntityIndex, build_index
from experts.fact_retriever import RANKED, FactRetriever
from experts.network import NetworkOfExperts
from experts.planner import PolicyPlanner
from experts.preference_reasoner import PreferenceReasoner
from experts.prompted_planner import PromptedPlanner
from experts.prompts import JudgeRole
from experts.reward import RewardExpert, RewardMode
from harness.app.console.progress import Progress
from harness.app.settings.config import IEVALM_DEPTH, Config, Model
from harness.app.settings.config import Planner as PlannerConfig
from harness.app.setup.baselines import BASELINES
from harness.app.setup.collector import seldom_collected
from harness.app.setup.gpu import refuse_overfull
from harness.app.setup.inputs import Inputs, episode_seed
from harness.app.setup.rule_policy import RulePolicy
from harness.app.setup.servers import open_server
from harness.app.setup.trained import COPY, TRAINED, corpus_of, folder_of, read
from harness.core.conversation import Cast, Spent
from harness.core.errors import ExpertError, InputError
from harness.core.lane import Lane, batch_lane, call_lane
from harness.core.messages import Scenario, Score, SeekerReply, State
from harness.core.model.ledger import Ledger
from harness.core.model.llm import OpenAIChat
from harness.core.model.retry import RetryPolicy
from harness.core.model.server import ensure_port_free
from harness.core.seams import ChatModel, Judge, Policy, Recommender, Served
from harness.core.seeds import derive
from harness.domain.device import AUTO, CPU, device_of
from harness.domain.entities import Entities
from harness.domain.ranking import Query
from harness.domain.strategies import Strategy
from harness.domain.text_encoder import MINILM, Dtype, TextEncoder, load_encoder, use_one_thread
from learner.crs.copying import WithCopy
from learner.crs.settings import SLOT
from learner.distilled_judge import DistilledJudge, load_distilled
from learner.encoder_policy import EncoderPolicy
from learner.policy import FixedPolicy, TrainablePolicy, UniformPolicy
from learner.tabular import TabularPolicy
from simulator.seeker import LLMSeeker

MAX_BATCH = 64
"""Items that one lane takes at a time; more would only wait in a worker thread instead of the inbox."""
INBOX = 4096


def loaded_encoder(name: str, dtype: Dtype = "float32", device: str = AUTO) -> TextEncoder:
    """A text encoder, loaded once a process; on one torch thread, because two threads change the last bits."""
    return _loaded(name, dtype, str(device_of(device)))


@lru_cache(maxsize=4)
def _loaded(name: str, dtype: Dtype, device: str) -> TextEncoder:
    use_one_thread()
    return load_encoder(name, dtype, device)


def retriever_encoder(device: str = AUTO) -> TextEncoder:
    """The entity index's encoder: always the packaged MiniLM, which is trained for sentence similarity."""
    return loaded_encoder(MINILM, "float32", device)


def planner_of(config: Config, strategies: tuple[Strategy, ...]) -> TrainablePolicy | None:
    """A fresh planner that can learn, or None where the config's planner does not."""
    keys = tuple(strategy.key for strategy in strategies)
    match config.planner.kind:
        case "encoder":
            drawn = derive(config.run.seed, "planner", "head") if config.planner.head == "classification" else None
            return _untrained(config.planner, keys, drawn).snapshot()
        case "tabular":
            return TabularPolicy(keys)
        case _:
            return None


@lru_cache(maxsize=4)
def _untrained(planner: PlannerConfig, keys: tuple[str, ...], drawn: int | None) -> EncoderPolicy:
    """The planner that others of its settings are copied from: the copies share the frozen encoder's results."""
    learns = planner.trainable_layers > 0
    return EncoderPolicy(
        # What learns is a copy on the device; the original would only take its memory.
        loaded_encoder(planner.encoder, "float32" if learns else planner.dtype, CPU if learns else planner.device),
        keys,
        trainable_layers=planner.trainable_layers,
        max_tokens=planner.max_tokens,
        preferences=planner.preferences,
        facts=planner.facts,
        classifier_seed=drawn,
        dtype=planner.dtype,
        device=device_of(planner.device),
    )


def fixed_planner_of(config: Config, inputs: Inputs) -> Policy:
    """The planner of a config whose planner does not learn; the uniform one for all others."""
    keys = tuple(strategy.key for strategy in inputs.strategies)
    match config.planner.kind:
        case "fixed":
            return FixedPolicy(keys, *(config.planner.schedule or (config.planner.strategy,)))
        case "rule":
            personas = {episode_seed(config, s): s.persona for s in (*inputs.held_out, *inputs.training)}
            return RulePolicy(keys, config.planner.rule, personas)
        case "prompted":
            return _AskedAsModel()
        case _:
            return UniformPolicy(keys)


class _AskedAsModel:
    """Placeholder where a policy is wanted and the planner is a prompted one; raises if asked."""

    def distribution(self, state: State) -> tuple[float, ...]:
        raise ExpertError('planner.kind = "prompted" chooses as a model (experts.prompted_planner), not as a policy')


def with_given_policy(config: Config) -> Config:
    """The config for players whose planner is the caller's policy, whatever planner it names itself."""
    return msgspec.structs.replace(config, planner=msgspec.structs.replace(config.planner, kind="uniform"))


def index_of(config: Config, inputs: Inputs, progress: Callable[[int, int], None]) -> EntityIndex:
    """The entity index of the run's graph, from the user's cache where it is there; blocks."""
    encoder = retriever_encoder(config.planner.device)
    # A GPU rounds differently, so its vectors are others' than the CPU's.
    rounding = "" if encoder.device.type == CPU else f"-{encoder.device.type}"
    return build_index(
        inputs.graph,
        encoder.embed,
        model_sha256=f"{encoder.sha256}{rounding}",
        cache_dir=Path(platformdirs.user_cache_dir("rso-harness")) / "entity-index",
        progress=progress,
    )


@asynccontextmanager
async def open_models(
    config: Config, inputs: Inputs, folder: Path, progress: Progress
) -> AsyncIterator[Mapping[str, OpenAIChat]]:
    """Name -> client of every model that some role uses; their servers are up, and end with the block."""
    async with AsyncExitStack() as stack:
        clients: dict[str, OpenAIChat] = {}
        for name in config.models_in_use:
            model = config.models[name]
            base_url = await stack.enter_async_context(open_server(name, model, inputs.graph, folder, progress))
            clients[name] = await stack.enter_async_context(client_of(name, model, base_url))
        yield clients


def client_of(name: str, model: Model, base_url: str) -> OpenAIChat:
    """The client of one configured model; `InputError` where its key is not set."""
    return OpenAIChat(
        base_url,
        model.model,
        api_key=_key_of(name, model),
        timeout_s=model.timeout_s,
        max_connections=model.max_connections,
        # A server that the harness starts again is away for as long as its start takes.
        retry=RetryPolicy(budget_s=max(model.retry_s, model.startup_s if restartable(model) else 0.0)),
    )


def check_models(config: Config) -> None:
    """`InputError` where a used model cannot be reached (no key, a port in use, no Python for its server), where
    servers and planner do not fit one GPU, or where the planner's device is not there."""
    refuse_overfull(config)
    device_of(config.planner.device)
    for name in config.models_in_use:
        model = config.models[name]
        _key_of(name, model)
        if not model.base_url:
            if model.port:
                ensure_port_free(model.port)
            if model.python and shutil.which(model.python) is None:
                raise InputError(f"models.{name}.python: there is no program {model.python}")


def _key_of(name: str, model: Model) -> str | None:
    if not model.api_key_env:
        return None
    key = os.environ.get(model.api_key_env)
    if not key:
        raise InputError(f"models.{name}.api_key_env: the environment variable {model.api_key_env} is not set")
    return key


def restartable(model: Model) -> bool:
    """Whether the harness starts this model's server, and again if it dies."""
    return model.backend in ("vllm", "scripted") and not model.base_url and model.restarts > 0


def secrets_of(config: Config) -> tuple[str, ...]:
    """Every key that the config's models use, for redaction."""
    names = {model.api_key_env for model in config.models.values() if model.api_key_env}
    return tuple(value for name in sorted(names) if (value := os.environ.get(name)))


class NetworkPlayers:
    """RSO's cast: the network of experts with its planner pinned to a version, the seeker and the judges.

    A ``baseline`` takes the network's place as recommender; the network is then the judge alone.
    """

    def __init__(
        self,
        network: NetworkOfExperts,
        seeker: _LanedSeeker,
        evaluator: _LanedJudge,
        ledger: Ledger,
        baseline: Recommender | None = None,
    ) -> None:
        self.network = network
        self._baseline = baseline
        self.ledger = ledger
        self._seeker = seeker
        self._evaluator = evaluator

    def cast(self, version: int, *, evaluating: bool) -> Cast:
        return Cast(
            recommender=self._baseline or self.network.at(version),
            seeker=self._seeker,
            judge=self.network,
            evaluator=self._evaluator if evaluating else None,
        )

    def spent(self, episode: str) -> Spent:
        return self.ledger.take(episode)


def distilled_judge_of(config: Config) -> DistilledJudge:
    """The judge of ``reward.distilled``; it rewards only. Blocks: its encoder may have to be loaded."""
    taught, weights = load_distilled(Path(config.reward.distilled))
    return DistilledJudge(taught, weights, loaded_encoder(taught.encoder, device=CPU))


async def judge_of(
    config: Config, role: JudgeRole, served: Served, model: ChatModel, progress: Progress
) -> RewardExpert:
    """The judge of a role, read as the config says, or by samples where the server gives no log-probabilities.

    ``model``: what it calls; ``served``: the same or what is below it, which knows what the server can do. A distilled
    judge, which asks no model, is `distilled_judge_of`.
    """
    mode: RewardMode = config.reward.mode
    if mode != "samples" and not (await served.capabilities()).label_logprobs:
        progress.say(f"{role}: the server gives no label log-probabilities, so the rewards are sampled")
        mode = "samples"
    return RewardExpert(
        model,
        role=role,
        mode=mode,
        samples=config.reward.samples,
        quorum=config.reward.quorum,
        temperature=config.reward.temperature,
        mass_floor=config.reward.mass_floor,
    )


@asynccontextmanager
async def open_players(
    config: Config,
    inputs: Inputs,
    clients: Mapping[str, Served],
    policy_at: Callable[[int], Policy],
    index: EntityIndex,
    progress: Progress,
    *,
    baseline: str = "",
    trained: Path | None = None,
) -> AsyncIterator[NetworkPlayers]:
    """All experts on their lanes, at work until the block ends; ``baseline`` names another recommender than RSO.

    ``trained``: the folder of a trained ``baseline``; by default the one that `train-crs` makes for this config.

    ``policy_at`` is not asked where the config's planner is a prompted one (see `with_given_policy`).
    """
    ledger = Ledger()

    def model(role: str) -> ChatModel:
        return ledger.metered(clients[getattr(config.roles, role)])

    def in_flight(role: str) -> int:
        """As many calls as the role's model is sent at a time; the rest wait in the inbox, where they are counted."""
        if role == "reward" and config.reward.distilled:
            return 1  # it computes in this process
        return config.models[getattr(config.roles, role)].max_connections

    async def judge(role: JudgeRole) -> Judge:
        if role == "reward" and config.reward.distilled:
            return await trio.to_thread.run_sync(distilled_judge_of, config)
        return await judge_of(config, role, clients[getattr(config.roles, role)], model(role), progress)

    without: tuple[str, ...] = config.network.without
    if baseline:
        without = ("planner", "preference_reasoner", "fact_retriever")
    decoding, strategies = config.decoding, inputs.strategies

    async def planner() -> PolicyPlanner | PromptedPlanner | None:
        if "planner" in without:
            return None
        if config.planner.kind != "prompted":
            return PolicyPlanner(policy_at, strategies)
        offered = await clients[config.roles.planner].capabilities()
        if not offered.label_logprobs:
            progress.say("planner: the server gives no label log-probabilities, so its distribution is sampled")
        return PromptedPlanner(
            model("planner"),
            strategies,
            labels=offered.label_logprobs,
            temperature=decoding.planner.temperature,
            mass_floor=config.reward.mass_floor,
        )

    retriever = FactRetriever(
        inputs.graph,
        index,
        retriever_encoder(config.planner.device).embed,
        candidates=config.network.candidates,
        ranked=IEVALM_DEPTH if config.evaluation.protocol == "ievalm" else RANKED,
        ranking=config.network.retriever,
        query=config.network.query,
    )
    actor = Actor(
        model("actor"), strategies, temperature=decoding.actor.temperature, max_tokens=decoding.actor.max_tokens
    )
    network = NetworkOfExperts(
        planner=await planner(),
        reasoner=None
        if "preference_reasoner" in without
        else PreferenceReasoner(
            model("preference_reasoner"),
            temperature=decoding.preference_reasoner.temperature,
            max_tokens=decoding.preference_reasoner.max_tokens,
        ),
        retriever=None if "fact_retriever" in without else retriever,
        actor=actor,
        reward=await judge("reward"),
        max_batch=MAX_BATCH,
        max_in_flight=in_flight,
        capacity=INBOX,
    )
    talker = LLMSeeker(model("seeker"), temperature=decoding.seeker.temperature, max_tokens=decoding.seeker.max_tokens)
    examiner = await judge("evaluator")
    sizes = {"max_batch": MAX_BATCH, "capacity": INBOX}
    seeker = _LanedSeeker(
        call_lane("seeker", lambda query: talker.reply(*query), max_in_flight=in_flight("seeker"), **sizes)
    )
    evaluator = _LanedJudge(call_lane("evaluator", examiner.score, max_in_flight=in_flight("evaluator"), **sizes))
    async with network.open(), trio.open_nursery() as nursery:
        await nursery.start(seeker.lane.serve)
        await nursery.start(evaluator.lane.serve)
        other: Recommender | None = None
        if baseline:
            facts = batch_lane(
                "fact retriever", retriever.retrieve, max_batch=MAX_BATCH, capacity=INBOX, blocks=retriever.blocks
            )
            await nursery.start(facts.serve)
            if baseline in TRAINED:
                system = await _trained(config, inputs, baseline, trained)
                await nursery.start(system.lane.serve)
                other = TrainedCRS(
                    system.lane.ask,
                    inputs.graph,
                    Entities(inputs.graph),
                    slot=SLOT,
                    ranked=IEVALM_DEPTH if config.evaluation.protocol == "ievalm" else RANKED,
                    candidates=config.network.candidates,
                    text=config.crs.text,
                    actor=actor if config.crs.text == "actor" else None,
                )
            else:
                other = BASELINES[baseline](
                    model("actor"),
                    facts.ask,
                    inputs.graph,
                    temperature=decoding.actor.temperature,
                    max_tokens=decoding.actor.max_tokens,
                )
        progress.watch((*network.lanes, seeker.lane, evaluator.lane))
        with seldom_collected():
            yield NetworkPlayers(network, seeker, evaluator, ledger, other)
        nursery.cancel_scope.cancel()


class _Answering:
    """A trained system on its lane: it works in a worker thread, one dialogue after the other."""

    def __init__(self, name: str, system: Trained, counted: Sequence[float], *, writes: bool) -> None:
        ranker = WithCopy(system, counted) if name.endswith(COPY) else None
        self._writes = writes
        self._system = system if ranker is None else _Copying(ranker, system)
        self.lane: Lane[Query, Answer] = batch_lane(
            name, self._answer, max_batch=MAX_BATCH, capacity=INBOX, blocks=lambda queries: True
        )

    def _answer(self, queries: Sequence[Query]) -> list[Answer | ExpertError]:
        return [answer(self._system, query, writes=self._writes) for query in queries]


class _Copying:
    """``+copy``: the mixed ranking with the system's own sentences."""

    def __init__(self, ranker: WithCopy, system: Trained) -> None:
        self.rank, self.write = ranker.rank, system.write


async def _trained(config: Config, inputs: Inputs, kind: str, folder: Path | None) -> _Answering:
    def load() -> tuple[Trained, Sequence[float]]:
        place = folder_of(config, kind, corpus_of(config, inputs.graph)) if folder is None else folder
        return read(config, inputs.graph, place)

    system, counted = await trio.to_thread.run_sync(load)
    return _Answering(kind, system, counted, writes=config.crs.text == "template")


class _LanedSeeker:
    """A `Seeker` behind an inbox."""

    def __init__(self, lane: Lane[tuple[Scenario, State], SeekerReply]) -> None:
        self.lane = lane

    async def reply(self, scenario: Scenario, state: State) -> SeekerReply:
        return await self.lane.ask((scenario, state))


class _LanedJudge:
    """A `Judge` behind an inbox."""

    def __init__(self, lane: Lane[State, Score]) -> None:
        self.lane = lane

    async def score(self, state: State) -> Score:
        return await self.lane.ask(state)
