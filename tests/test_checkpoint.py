"""Checkpoints: what is saved is what is loaded, and nothing else is."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from support.encoders import write_tiny_encoder
from support.experts import an_encoder_policy, learning
from support.logged import MAX_TURNS, episodes

from harness.core.errors import InputError, RunStopped
from harness.domain.text_encoder import TextEncoder, load_encoder
from learner.checkpoint import (
    CheckpointMeta,
    checkpoint_name,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
    weights_hash,
)
from learner.encoder_policy import EncoderPolicy
from learner.policy import TrainablePolicy
from learner.tabular import TabularPolicy
from learner.updates import Learner

KEYS = ("opinion_inquiry", "credibility", "encouragement")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return load_encoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


def fresh(kind: str, tiny: TextEncoder) -> TrainablePolicy:
    if kind == "tabular":
        return TabularPolicy(KEYS, max_turns=MAX_TURNS)
    return an_encoder_policy(tiny, KEYS, trainable_layers={"frozen": 0, "top": 1, "all": 2}[kind])


def learner_of(policy: TrainablePolicy) -> Learner:
    return Learner(
        policy,
        reference=policy.snapshot(),
        batch_episodes=2,
        total_episodes=200,
        max_turns=MAX_TURNS,
        learning_rate=0.05,
        **learning(),
    )


def trained(kind: str, tiny: TextEncoder) -> Learner:
    learner = learner_of(fresh(kind, tiny))
    for u in range(2):
        learner.update(episodes(learner.policy.snapshot(), KEYS, range(2 * u, 2 * u + 2), version=u))
    return learner


@pytest.mark.parametrize("kind", ["tabular", "frozen", "top", "all"])
def test_a_resumed_learner_goes_on_as_if_never_stopped(
    tmp_path: Path, tiny: TextEncoder, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learner.critic.READY_EPISODES", 2)
    learner = trained(kind, tiny)
    folder = save_checkpoint(
        tmp_path / "checkpoints",
        learner.policy,
        version=2,
        config_digest="abc",
        log_position=77,
        learner=learner.state(),
    )
    assert folder == tmp_path / "checkpoints" / "v000002"
    saved = load_checkpoint(folder)
    assert (saved.meta.version, saved.meta.config_digest, saved.meta.log_position) == (2, "abc", 77)
    resumed = learner_of(fresh(kind, tiny))
    saved.restore_learner(resumed)
    assert resumed.version == saved.meta.version
    assert weights_hash(resumed.policy) == saved.meta.weights_hash == weights_hash(learner.policy)
    batch = episodes(learner.policy.snapshot(), KEYS, [4, 5], version=2)
    assert resumed.update(batch) == learner.update(batch)
    assert weights_hash(resumed.policy) == weights_hash(learner.policy) != saved.meta.weights_hash


def test_training_goes_on_with_its_moments_or_not_at_all(tmp_path: Path, tiny: TextEncoder) -> None:
    learner = trained("tabular", tiny)
    bare = load_checkpoint(save_checkpoint(tmp_path / "bare", learner.policy, version=2))
    resumed = learner_of(fresh("tabular", tiny))
    before = weights_hash(resumed.policy)
    with pytest.raises(InputError, match=r"'v000002' holds no state of a learner .* planner\.init"):
        bare.restore_learner(resumed)
    assert weights_hash(resumed.policy) == before
    bare.restore(resumed.policy)
    unmoved = learner_of(fresh("tabular", tiny))
    kept = save_checkpoint(tmp_path / "unmoved", unmoved.policy, version=1, learner=unmoved.state())
    load_checkpoint(kept).restore_learner(resumed)  # every update was refused: nothing to forget


@pytest.mark.parametrize("kind", ["tabular", "frozen", "top", "all"])
def test_a_policy_can_be_built_from_its_checkpoint_alone(tmp_path: Path, tiny: TextEncoder, kind: str) -> None:
    policy = trained(kind, tiny).policy
    built = load_checkpoint(save_checkpoint(tmp_path, policy, version=2)).policy()
    assert weights_hash(built) == weights_hash(policy)
    state = episodes(policy, KEYS, [0])[0].states()[2]
    assert built.distribution(state) == policy.distribution(state)


def test_trained_layers_are_saved_as_an_encoder_that_anyone_can_load(
    tmp_path: Path, tiny: TextEncoder, capfd: pytest.CaptureFixture[str]
) -> None:
    policy = trained("top", tiny).policy
    assert isinstance(policy, EncoderPolicy)
    capfd.readouterr()
    folder = save_checkpoint(tmp_path, policy, version=2)
    assert tuple(capfd.readouterr()) == ("", "")
    encoder = load_encoder(folder / "encoder")
    for name, parameter in policy.model.named_parameters():
        assert torch.equal(dict(encoder.model.named_parameters())[name], parameter)
    assert encoder.tokens("hello there") == tiny.tokens("hello there")


def test_weights_hash_sees_every_weight(tiny: TextEncoder) -> None:
    policy = fresh("top", tiny)
    seen = {weights_hash(policy)}
    for tensor in policy.weights().values():
        tensor.view(-1)[-1] = 3.25  # not added: bounds that are not fitted yet are infinite
        seen.add(weights_hash(policy))
    assert len(seen) == len(policy.weights()) + 1


def test_the_newest_finished_checkpoint_is_found(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "absent") is None
    policy = TabularPolicy(KEYS)
    for version in (0, 7, 12):
        save_checkpoint(tmp_path, policy, version=version)
    (tmp_path / ".v000013.partial").mkdir()
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.name == checkpoint_name(12)
    assert newest_checkpoint(tmp_path, at_most=11) == tmp_path / "v000007"


def test_a_kill_while_writing_leaves_no_checkpoint_and_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = TabularPolicy(KEYS)
    save_checkpoint(tmp_path, policy, version=1)

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        with pytest.raises(Killed):
            save_checkpoint(tmp_path, policy, version=2)
    assert newest_checkpoint(tmp_path) == tmp_path / "v000001"
    save_checkpoint(tmp_path, policy, version=2)
    assert load_checkpoint(tmp_path / "v000002").meta.version == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v000001", "v000002"]


def test_everything_is_on_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(handle: int) -> None:
        calls.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def renamed(self: Path, target: Path) -> Path:
        calls.append("RENAME")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    save_checkpoint(tmp_path, TabularPolicy(KEYS), version=1)
    at = calls.index("RENAME")
    assert {"policy.safetensors", "checkpoint.json", ".v000001.partial"} == set(calls[:at])
    assert calls[at + 1 :] == [tmp_path.name]


def test_an_equal_checkpoint_stays_and_a_damaged_or_other_one_is_replaced(tmp_path: Path) -> None:
    policy = TabularPolicy(KEYS)
    folder = save_checkpoint(tmp_path, policy, version=1)
    written = (folder / "checkpoint.json").stat().st_mtime_ns
    save_checkpoint(tmp_path, policy, version=1)
    assert (folder / "checkpoint.json").stat().st_mtime_ns == written
    with torch.no_grad():
        policy.table += 1.0
    save_checkpoint(tmp_path, policy, version=1)
    assert load_checkpoint(folder).meta.weights_hash == weights_hash(policy)


def test_a_full_disk_is_a_clean_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(RunStopped, match="'v000001' cannot be written: No space left on device"):
            save_checkpoint(tmp_path, TabularPolicy(KEYS), version=1)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path, TabularPolicy(KEYS), version=1)


def test_damaged_files_are_refused_before_they_are_read(saved: Path) -> None:
    path = saved / "policy.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"policy\.safetensors is damaged"):
        load_checkpoint(saved)
    path.unlink()
    with pytest.raises(InputError, match=r"the file 'policy\.safetensors' is missing"):
        load_checkpoint(saved)


def test_pickles_are_refused(saved: Path) -> None:
    (saved / "optimizer.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match=r"holds the pickle optimizer\.pt, which is refused"):
        load_checkpoint(saved)


def test_files_outside_of_the_checkpoint_are_not_read(saved: Path) -> None:
    shutil.copy(saved / "policy.safetensors", saved.parent / "policy.safetensors")
    meta = msgspec.json.decode((saved / "checkpoint.json").read_bytes(), type=CheckpointMeta)
    files = {"../policy.safetensors": meta.files["policy.safetensors"]}
    (saved / "checkpoint.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(meta, files=files)))
    with pytest.raises(InputError, match=r"'\.\./policy\.safetensors' is missing"):
        load_checkpoint(saved)


def test_what_is_no_checkpoint_is_one_sentence(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        load_checkpoint(tmp_path / "absent")
    (saved / "checkpoint.json").write_text('{"version": "one"}')
    with pytest.raises(InputError, match=r"checkpoint\.json cannot be read"):
        load_checkpoint(saved)
    (saved / "checkpoint.json").unlink()
    with pytest.raises(InputError, match=r"holds no checkpoint\.json"):
        load_checkpoint(saved)


def test_a_foreign_checkpoint_names_what_differs(tmp_path: Path, tiny: TextEncoder, saved: Path) -> None:
    with pytest.raises(InputError, match="is of other strategies: opinion_inquiry"):
        load_checkpoint(saved).restore(TabularPolicy(KEYS[:2]))
    with pytest.raises(InputError, match="table is missing or misshapen"):
        load_checkpoint(saved).restore(TabularPolicy(KEYS, max_turns=3))
    frozen = load_checkpoint(save_checkpoint(tmp_path / "frozen", an_encoder_policy(tiny, KEYS), version=0))
    with pytest.raises(InputError, match="encoder trainable_layers = 0, here it is 1"):
        frozen.restore(an_encoder_policy(tiny, KEYS, trainable_layers=1))
    with pytest.raises(InputError, match="encoder max_tokens = 128, here it is 64"):
        frozen.restore(an_encoder_policy(tiny, KEYS, max_tokens=64))
    other = load_encoder(write_tiny_encoder(tmp_path / "other", seed=9))
    with pytest.raises(InputError, match="encoder sha256 = "):
        frozen.restore(an_encoder_policy(other, KEYS))
