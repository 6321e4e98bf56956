"""The planner on a real GPU: RoBERTa's size with random weights. Run: ``pytest -m gpu -s``, which prints its figures.

Nothing here needs a download. The entity index's encoder is a small random one, as no card is needed to test it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks.planner_device import KEYS, LIMIT_GIB, learner_of, long_episodes, planner_of, play, update
from benchmarks.random_roberta import write_random_roberta
from harness.app.job.main_job import begin_or_go_on
from harness.app.settings.configfile import load_config
from harness.app.setup import wiring
from harness.core.errors import InputError
from harness.core.log.loggedepisodes import read_episodes
from harness.core.messages import State
from harness.domain.text_encoder import Dtype, load_encoder
from learner.checkpoint import load_checkpoint, weights_hash
from learner.encoder_policy import EncoderPolicy

DEVICE = "cuda"
TINY = Path(__file__).parent.parent / "experiments" / "tiny.toml"
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")]


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_roberta(tmp_path_factory.mktemp("encoders") / "roberta")


def disturbed(policy: EncoderPolicy) -> EncoderPolicy:
    """With a head that has left zero, the same on every device."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for kind in ("text", "numbers"):
            for parameter in policy.parameter_groups()[kind]:
                parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter.device))
    return policy


def states_of(policy: EncoderPolicy, episodes: int) -> list[State]:
    return [state for episode in long_episodes(policy, episodes, 9) for state in episode.states()[:9]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_probabilities_acted_are_probabilities_recomputed(roberta: Path, dtype: Dtype) -> None:
    policy = disturbed(planner_of(roberta, DEVICE, dtype))
    states = states_of(policy, 3)
    alone = [policy.distribution(state) for state in states]
    assert len(set(alone)) > len(states) / 2
    assert policy.distributions(states) == alone
    assert policy.distributions(states[::-1]) == alone[::-1]
    later = policy.snapshot()
    rows = later.log_probabilities([later.prepare(state) for state in states])
    assert rows.requires_grad
    assert [tuple(row) for row in rows.exp().tolist()] == alone


def test_a_gpu_says_what_the_cpu_says(roberta: Path) -> None:
    there, here = (disturbed(planner_of(roberta, device)) for device in (DEVICE, "cpu"))
    states = states_of(there, 1)[:3]
    ours, theirs = (torch.tensor(policy.distributions(states)) for policy in (there, here))
    print(f"\nlargest difference of a probability between {DEVICE} and cpu: {float((ours - theirs).abs().max()):.1e}")
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_update_of_160_states_fits_4_gib_and_repeats_itself(roberta: Path, dtype: Dtype) -> None:
    hashes = []
    for _ in range(2):
        acting = disturbed(planner_of(roberta, DEVICE, dtype))
        played = long_episodes(acting)
        learner = learner_of(acting.snapshot(), len(played))
        seconds, peak = update(learner, played)
        states = sum(len(episode.transitions) for episode in played)
        print(f"\n{dtype}: update of {states} states in {seconds:.2f} s, peak {peak:.2f} GiB, {states / seconds:.0f}/s")
        assert states == 160
        assert peak is not None
        assert peak < LIMIT_GIB
        hashes.append(weights_hash(learner.policy))
        del acting, learner
    assert hashes[0] == hashes[1]


PAPER = ("planner.trainable_layers=12", "planner.head=classification", "planner.preferences=true", "planner.facts=true")


@pytest.mark.parametrize("wishes", [PAPER, ("planner.trainable_layers=0",)], ids=["the paper's planner", "frozen"])
def test_a_run_of_the_same_seed_repeats_itself(roberta: Path, wishes: tuple[str, ...]) -> None:
    found = [play(roberta, DEVICE, *wishes) for _ in range(2)]
    for turns, seconds, digest in found:
        print(f"\nrun of {turns} turns in {seconds:.1f} s, digest {digest[:16]}")
    assert found[0][2] == found[1][2]


def test_a_checkpoint_acts_again_as_logged_and_loads_on_either_device(
    roberta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = write_random_roberta(tmp_path / "small", layers=2, width=32, heads=2, vocabulary=400)
    monkeypatch.setattr(wiring, "MINILM", str(small))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wishes = [f"planner.encoder={roberta}", "planner.trainable_layers=12", "warmup.epochs=1", "rl.epochs=0"]
    config = load_config(TINY, [*wishes, f"planner.device={DEVICE}"])
    assert begin_or_go_on(config, tmp_path / "run", Console(quiet=True), quiet=True).complete
    warmed = [one for one in read_episodes(tmp_path / "run" / "episodes.jsonl") if one.started.phase == "warmup"]
    states = [state for episode in warmed for state in episode.states()[: len(episode.transitions)]]
    acted = [one.decision.probabilities for episode in warmed for one in episode.transitions if one.decision]
    saved = load_checkpoint(tmp_path / "run" / "checkpoints" / "v000000")
    policy = saved.policy(lambda encoder, dtype: load_encoder(encoder, dtype, DEVICE))
    assert policy.strategies == KEYS
    assert [tuple(policy.distribution(state)) for state in states] == acted
    elsewhere = saved.policy()
    close = torch.tensor([tuple(elsewhere.distribution(state)) for state in states[:2]])
    torch.testing.assert_close(close, torch.tensor(acted[:2]), rtol=1e-2, atol=1e-4)
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(InputError, match="begun with its planner on cuda, and here it would live on cpu"):
        begin_or_go_on(
            load_config(TINY, [*wishes, "planner.device=cpu"]), tmp_path / "run", Console(quiet=True), quiet=True
        )
