"""Where the planner lives, and batches of one shape: on the CPU with the code that a GPU runs."""

from __future__ import annotations

import random
from io import StringIO
from pathlib import Path

import msgspec
import pytest
import torch
from rich.console import Console
from support.encoders import write_tiny_encoder
from support.experts import an_encoder_policy, learning
from support.fakes import state_of
from support.logged import MAX_TURNS, episodes
from test_policy import KEYS, STATES, disturb, state

from experts.planner import PlannerQuery, PolicyPlanner
from harness.app.commands.doctor import findings
from harness.app.identity.sittings import identity_of, sit_down
from harness.app.job.main_job import begin_or_go_on
from harness.app.settings.config import Config
from harness.app.settings.configfile import load_config
from harness.core.errors import ConfigError, InputError
from harness.core.messages import Decision
from harness.domain.device import device_of, kind_of, name_of
from harness.domain.strategies import STRATEGIES
from harness.domain.text_encoder import TextEncoder, load_encoder
from learner.checkpoint import load_checkpoint, save_checkpoint, weights_hash
from learner.encoder_policy import EncoderPolicy
from learner.segments import FIXED_TOKENS, fixed_shape
from learner.updates import Learner

TINY = Path(__file__).parent.parent / "experiments" / "tiny.toml"
MANY = [*STATES, *(state(turns, words) for turns in range(8) for words in (0, 4, 40))]


@pytest.fixture(scope="module", params=["bert", "roberta"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return load_encoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny", kind=request.param))


def fixed(encoder: TextEncoder, **wishes: object) -> EncoderPolicy:
    policy = an_encoder_policy(encoder, KEYS, **({"trainable_layers": 2, "fixed": True} | wishes))
    disturb(policy)
    return policy


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_state_has_the_same_bits_in_every_company(tiny: TextEncoder, dtype: str) -> None:
    policy = fixed(tiny, dtype=dtype)
    rows, _ = fixed_shape(64, 64)
    assert len(MANY) > rows  # so that there is more than one batch
    alone = [policy.distribution(each) for each in MANY]
    assert len(set(alone)) > 20
    for seed in range(5):
        order = random.Random(seed).sample(range(len(MANY)), random.Random(seed).randint(2, len(MANY)))
        assert policy.distributions([MANY[i] for i in order]) == [alone[i] for i in order]
    # With gradients, and from a snapshot, as the learner sees them later.
    later = policy.snapshot()
    again = later.log_probabilities([later.prepare(each) for each in MANY], batched=True)
    assert again.requires_grad
    assert [tuple(row) for row in again.exp().tolist()] == alone


def test_a_batch_of_one_shape_says_what_a_state_alone_says(tiny: TextEncoder) -> None:
    policy = fixed(tiny)
    alone = an_encoder_policy(tiny, KEYS, trainable_layers=2)
    alone.load_weights(policy.weights())
    torch.testing.assert_close(
        torch.tensor(policy.distributions(MANY)), torch.tensor(alone.distributions(MANY)), rtol=1e-4, atol=1e-6
    )


def test_gradients_of_small_batches_add_up_to_those_of_all_states(tiny: TextEncoder) -> None:
    policy = fixed(tiny)
    whole = an_encoder_policy(tiny, KEYS, trainable_layers=2)
    whole.load_weights(policy.weights())
    targets = torch.randn(len(MANY), 13, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    found = []
    for each in (policy, whole):
        rows = each.log_probabilities([each.prepare(one) for one in MANY], batched=True)
        parameters = [p for group in each.parameter_groups().values() for p in group]
        found.append(torch.autograd.grad((rows * targets).sum(), parameters))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_step_keeps_one_batch_in_memory_and_not_all(tiny: TextEncoder) -> None:
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    sizes = []
    for shape in (True, False):
        policy = fixed(tiny, fixed=shape)
        prepared = [policy.prepare(each) for each in MANY]
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            policy.log_probabilities(prepared, batched=True)
        sizes.append(sum(kept))
    assert sizes[0] < sizes[1] / 100


def test_shapes_hold_a_thousand_tokens() -> None:
    assert [fixed_shape(tokens, 512) for tokens in (128, 250, 512, 4096)] == [(8, 128), (4, 256), (2, 512), (2, 512)]
    assert FIXED_TOKENS == 1024


def test_an_update_in_batches_of_one_shape_has_ratios_of_1_and_can_be_resumed(
    tiny: TextEncoder, tmp_path: Path
) -> None:
    keys = KEYS[:3]

    def learner() -> Learner:
        policy = an_encoder_policy(tiny, keys, trainable_layers=2, fixed=True, dtype="bfloat16")
        sizes = {"batch_episodes": 4, "total_episodes": 400, "max_turns": MAX_TURNS, "learning_rate": 0.05}
        return Learner(policy, reference=policy.snapshot(), **sizes, **learning(passes=2))  # type: ignore[arg-type]

    first = learner()
    for update in range(2):
        batch = episodes(first.policy.snapshot(), keys, range(4 * update, 4 * update + 4), version=update)
        report = first.update(batch)
        assert (report.passes[0].kl, report.passes[0].clipped_share) == (0.0, 0.0)
        assert report.effective_sample_size == report.rewarded_turns
    saved = save_checkpoint(tmp_path, first.policy, version=2, learner=first.state())
    again = learner()
    load_checkpoint(saved).restore_learner(again)
    batch = episodes(first.policy.snapshot(), keys, range(8, 12), version=2)
    assert again.update(batch) == first.update(batch)
    assert weights_hash(again.policy) == weights_hash(first.policy)
    # Weights that learn stay float32, so what a step adds is not rounded away.
    assert {tensor.dtype for tensor in first.policy.weights().values()} == {torch.float32}
    with pytest.raises(InputError, match="dtype = bfloat16, here it is float32"):
        load_checkpoint(saved).restore(an_encoder_policy(tiny, keys, trainable_layers=2))
    built = load_checkpoint(saved).policy()
    assert isinstance(built, EncoderPolicy)
    assert built.dtype == "bfloat16"


class Counting:
    """A policy that answers for many states at once, and says how many it was asked for."""

    def __init__(self, first: float) -> None:
        self.asked: list[int] = []
        self._row = (first, 1.0 - first, *[0.0] * 11)

    def distribution(self, state):
        raise AssertionError("one by one")

    def distributions(self, states):
        self.asked.append(len(states))
        return [self._row] * len(states)


def test_the_planner_asks_once_a_version_and_keeps_the_order() -> None:
    policies = {0: Counting(1.0), 1: Counting(0.0)}
    planner = PolicyPlanner(policies.__getitem__, STRATEGIES)
    versions = [0, 1, 1, 0, 1]
    queries = [
        PlannerQuery(state=state_of("hi", seed=row), policy_version=version) for row, version in enumerate(versions)
    ]
    decided = planner.decide(queries)
    assert [(one.index, one.policy_version) for one in decided if isinstance(one, Decision)] == [
        (version, version) for version in versions
    ]
    assert (policies[0].asked, policies[1].asked) == ([2], [3])


@pytest.mark.parametrize(
    ("seen", "wanted", "found"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (2, "auto", "cuda:0"),
        (2, "cuda", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
        (2, "cpu", "cpu"),
    ],
)
def test_auto_is_the_first_gpu_that_torch_sees(
    monkeypatch: pytest.MonkeyPatch, seen: int, wanted: str, found: str
) -> None:
    see(monkeypatch, seen)
    assert str(device_of(wanted)) == found


def see(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (50 * 1024**3, 80 * 1024**3))
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda wanted: None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.mark.parametrize(
    ("seen", "wanted", "said"),
    [
        (0, "cuda", r"planner.device = 'cuda': torch sees no GPU here"),
        (1, "cuda:1", r"torch sees one GPU, cuda:0 here"),
        (2, "cuda:4", r"torch sees 2 GPUs, cuda:0 to cuda:1 here"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, seen: int, wanted: str, said: str
) -> None:
    see(monkeypatch, seen)
    with pytest.raises(InputError, match=said):
        device_of(wanted)


def test_a_run_on_a_device_that_is_not_there_makes_no_directory(tmp_path: Path) -> None:
    config = load_config(TINY, ["planner.device=cuda:7"])
    with pytest.raises(InputError, match=r"planner\.device = 'cuda:7': torch sees"):
        begin_or_go_on(config, tmp_path / "run", Console(quiet=True), quiet=True)
    assert not (tmp_path / "run").exists()
    for other in ("gpu", "cuda:-1", "cuda:x", "mps"):
        with pytest.raises(ConfigError, match=r"planner\.device"):
            load_config(TINY, [f"planner.device={other}"])


def test_a_run_is_not_continued_on_another_kind_of_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_cpu = identity_of(Config())
    assert on_cpu.device == "cpu"
    see(monkeypatch, 2)
    assert [name_of(wanted) for wanted in ("auto", "cuda:1", "cpu")] == ["cuda Card 0", "cuda Card 1", "cpu"]
    assert kind_of("cuda Card 0") == "cuda"
    on_gpu = identity_of(Config())
    assert on_gpu == msgspec.structs.replace(on_cpu, device="cuda Card 0")
    with pytest.raises(InputError, match=r"begun with its planner on cpu, and here it would live on cuda"):
        sit_down(tmp_path, on_cpu, on_gpu, accept_changes=True)
    assert not list(tmp_path.iterdir())
    # Another card of the kind is said.
    other = msgspec.structs.replace(on_gpu, device="cuda Card 1")
    said = sit_down(tmp_path, on_gpu, other, accept_changes=False)
    assert said == ["from episode 1 on: another device of the planner: cuda Card 0 -> cuda Card 1"]
    # The place is no setting that decides a result, so a config that names it is the same experiment.
    planner = msgspec.structs.replace(Config().planner, device="cuda:1")
    assert msgspec.structs.replace(Config(), planner=planner).digest == Config().digest


def test_doctor_says_where_the_planner_will_live(monkeypatch: pytest.MonkeyPatch) -> None:
    def line() -> str:
        return next(one.text for one in findings(None) if one.text.startswith("the planner lives"))

    monkeypatch.setattr("harness.app.commands.doctor._encoder", lambda name: "")
    see(monkeypatch, 0)
    assert "on the CPU (planner.device = auto, since torch sees no GPU)" in line()
    see(monkeypatch, 1)
    assert "on cuda:0 (planner.device = auto): Card 0, 50.0 of 80.0 GiB free" in line()


def test_the_sentence_of_a_wrong_device_is_doctors_too() -> None:
    from harness.app.commands.doctor import doctor
    from harness.core.errors import CheckFailed

    out = StringIO()
    with pytest.raises(CheckFailed):
        doctor(TINY, ["planner.device=cuda:9"], Console(file=out, width=200))
    assert "FAILED planner: planner.device = 'cuda:9': torch sees" in out.getvalue()
