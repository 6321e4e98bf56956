"""A policy on disk: safetensors and one JSON file, written whole or not at all, verified before it is read.

    v000123/
      checkpoint.json        version, strategies, encoder, config digest, log position, SHA-256 of every file
      policy.safetensors     head and inputs' scaling, or the table
      learner.safetensors    Adam's moments and the critic (absent where none were given)
      encoder/               save_pretrained layout, where encoder layers were trained

A checkpoint is written aside, synced, and renamed into place, so a kill leaves the previous one. No
file is a pickle, and a folder that holds one is refused. Left out: which checkpoints to keep.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from harness.core.errors import InputError, RunStopped
from harness.core.messages import Struct
from harness.domain.text_encoder import Dtype, TextEncoder, load_encoder, quiet
from learner.encoder_policy import EncoderPolicy, HeadKind
from learner.policy import TrainablePolicy
from learner.tabular import TabularPolicy
from learner.updates import Learner

_META, _POLICY, _LEARNER, _ENCODER = "checkpoint.json", "policy.safetensors", "learner.safetensors", "encoder"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_NAME = re.compile(r"v(\d{6,})")


class EncoderMeta(Struct, frozen=True, kw_only=True):
    """Which encoder a policy uses, and how."""

    name: str
    sha256: str
    """Of the weights before any training."""
    trainable_layers: int
    max_tokens: int
    preferences: bool
    dtype: Dtype = "float32"
    facts: bool = False
    head: HeadKind = "linear"


class CheckpointMeta(Struct, frozen=True, kw_only=True):
    """checkpoint.json."""

    version: int
    strategies: tuple[str, ...]
    encoder: EncoderMeta | None
    """None: a tabular policy."""
    config_digest: str
    log_position: int
    """Bytes of the event log that the version's updates had consumed, as the caller counts them; 0: none."""
    weights_hash: str
    files: dict[str, str]
    """Path inside the folder -> SHA-256."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and verified."""

    folder: Path
    meta: CheckpointMeta
    weights: dict[str, Tensor]
    learner: dict[str, Tensor] | None
    """`Learner.state`; None where none was saved."""

    def restore(self, policy: TrainablePolicy) -> None:
        """Put the weights into a policy of the same kind; `InputError` names what differs."""
        self._check(policy)
        policy.load_weights(self.weights)

    def restore_learner(self, learner: Learner) -> None:
        """Put weights, moments, critic and version into a learner, so that it goes on as if it had never stopped. A
        checkpoint with weights alone is refused: Adam and the critic would start again without notice.
        """
        if self.learner is None:
            raise InputError(
                f"checkpoint {self.folder.name!r} holds no state of a learner (an exported or a warmed-up planner has "
                "none), so training cannot go on from it; planner.init starts a new training from it"
            )
        self.restore(learner.policy)
        learner.load_state(self.learner)
        learner.version = self.meta.version

    def policy(self, load: Callable[[str, Dtype], TextEncoder] = load_encoder) -> TrainablePolicy:
        """The policy, from the checkpoint and its encoder alone."""
        meta = self.meta.encoder
        built: TrainablePolicy
        if meta is None:
            built = TabularPolicy(self.meta.strategies, max_turns=self.weights["table"].shape[0])
        else:
            built = EncoderPolicy(
                load(meta.name, "float32" if meta.trainable_layers else meta.dtype),
                self.meta.strategies,
                trainable_layers=meta.trainable_layers,
                max_tokens=meta.max_tokens,
                preferences=meta.preferences,
                facts=meta.facts,
                classifier_seed=0 if meta.head == "classification" else None,
                dtype=meta.dtype,
            )
        self.restore(built)
        return built

    def _check(self, policy: TrainablePolicy) -> None:
        name, saved, mine = self.folder.name, self.meta.encoder, _encoder_meta(policy)
        if self.meta.strategies != policy.strategies:
            raise InputError(f"checkpoint {name!r} is of other strategies: {', '.join(self.meta.strategies)}")
        for field in EncoderMeta.__struct_fields__:
            theirs, ours = getattr(saved, field, None), getattr(mine, field, None)
            # The weights are compared, not the encoder's name.
            if field != "name" and theirs != ours:
                raise InputError(f"checkpoint {name!r} was made with encoder {field} = {theirs}, here it is {ours}")
        for key, tensor in policy.weights().items():
            if key not in self.weights or self.weights[key].shape != tensor.shape:
                raise InputError(f"checkpoint {name!r} does not fit this planner: {key} is missing or misshapen")


def weights_hash(policy: TrainablePolicy) -> str:
    """SHA-256 over names, shapes and bytes of all weights, in order of name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(policy.weights().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def checkpoint_name(version: int) -> str:
    """``v000123``."""
    return f"v{version:06d}"


def newest_checkpoint(root: Path, at_most: int | None = None) -> Path | None:
    """The finished checkpoint of the highest version (not above ``at_most``) in a folder of checkpoints."""
    if not root.is_dir():
        return None
    found = {int(match[1]): path for path in root.iterdir() if (match := _NAME.fullmatch(path.name))}
    versions = [version for version in found if at_most is None or version <= at_most]
    return found[max(versions)] if versions else None


def save_checkpoint(
    root: Path,
    policy: TrainablePolicy,
    *,
    version: int,
    config_digest: str = "",
    log_position: int = 0,
    learner: dict[str, Tensor] | None = None,
) -> Path:
    """Write ``root/v<version>`` and return it; an equal one that is already there stays. Blocks (syncs to disk).

    ``learner``: `Learner.state`. Raises `RunStopped` where the disk is full or cannot be written.
    """
    folder = root / checkpoint_name(version)
    partial = root / f".{folder.name}.partial"
    try:
        if folder.exists() and _is_same(folder, policy):
            return folder
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write_files(partial, policy, learner)
        files = {
            str(path.relative_to(partial)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        meta = CheckpointMeta(
            version=version,
            strategies=policy.strategies,
            encoder=_encoder_meta(policy),
            config_digest=config_digest,
            log_position=log_position,
            weights_hash=weights_hash(policy),
            files=files,
        )
        (partial / _META).write_bytes(msgspec.json.format(msgspec.json.encode(meta)))
        for path in (*partial.rglob("*"), partial):
            _sync(path)
        if folder.exists():  # damaged, or of another run: the log counts, not the old folder
            shutil.rmtree(folder)
        partial.rename(folder)
        _sync(root)
    except (OSError, SafetensorError) as error:  # safetensors raises disk errors as its own type
        shutil.rmtree(partial, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise RunStopped(f"checkpoint {folder.name!r} cannot be written: {reason}") from error
    return folder


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint whose files have the SHA-256 they should; `InputError` in one sentence otherwise."""
    name = folder.name
    if not folder.is_dir():
        raise InputError(f"checkpoint {str(folder)!r}: there is no such folder")
    for path in sorted(folder.rglob("*")):
        if path.suffix in _PICKLES:
            raise InputError(f"checkpoint {name!r} holds the pickle {path.name}, which is refused")
    try:
        meta = msgspec.json.decode((folder / _META).read_bytes(), type=CheckpointMeta)
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is no checkpoint, it holds no {_META} (a run's are in checkpoints/v..., an export's in planner)"
        ) from error
    except msgspec.MsgspecError as error:
        raise InputError(f"checkpoint {name!r}: {_META} cannot be read: {error}") from error
    tensors: dict[str, dict[str, Tensor]] = {}
    for inside, expected in meta.files.items():
        path = folder / inside
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise InputError(f"checkpoint {name!r}: the file {inside!r} is missing")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != expected:
            raise InputError(f"checkpoint {name!r}: {inside} is damaged (its SHA-256 differs from {_META})")
        if path.suffix == ".safetensors":
            try:
                tensors[inside] = safetensors.torch.load(content)
            except SafetensorError as error:
                raise InputError(f"checkpoint {name!r}: {inside} cannot be read: {error}") from error
    if _POLICY not in tensors:
        raise InputError(f"checkpoint {name!r} lists no {_POLICY}")
    trained = tensors.get(f"{_ENCODER}/model.safetensors", {})
    weights = tensors[_POLICY] | {f"encoder.{key}": tensor for key, tensor in trained.items()}
    return Checkpoint(folder=folder, meta=meta, weights=weights, learner=tensors.get(_LEARNER))


def _write_files(folder: Path, policy: TrainablePolicy, learner: dict[str, Tensor] | None) -> None:
    own = {name: tensor for name, tensor in policy.weights().items() if not name.startswith("encoder.")}
    safetensors.torch.save_file(_plain(own), folder / _POLICY)
    if learner is not None:
        safetensors.torch.save_file(_plain(learner), folder / _LEARNER)
    if isinstance(policy, EncoderPolicy) and policy.trainable_layers:
        with quiet():
            policy.model.save_pretrained(folder / _ENCODER, max_shard_size="1TB")  # one file, whatever its size
            policy.encoder.tokenizer.save_pretrained(folder / _ENCODER)


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _encoder_meta(policy: TrainablePolicy) -> EncoderMeta | None:
    if not isinstance(policy, EncoderPolicy):
        return None
    return EncoderMeta(
        name=policy.encoder.name,
        sha256=policy.encoder.sha256,
        trainable_layers=policy.trainable_layers,
        max_tokens=policy.max_tokens,
        preferences=policy.preferences,
        dtype=policy.dtype,
        facts=policy.facts,
        head=policy.head,
    )


def _is_same(folder: Path, policy: TrainablePolicy) -> bool:
    try:
        return load_checkpoint(folder).meta.weights_hash == weights_hash(policy)
    except InputError:
        return False


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
