"""A trained system on disk: safetensors and one JSON file, written whole or not at all, verified before it is read.

unicrs/
  crs.json             what it is, what it was trained on, SHA-256 of each file
  weights.safetensors  what was learned
  tokenizer.json       of a tokenizer that was made here
  training/            a training under way: weights, Adam's moments, how far it is; gone when it ends
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from harness.core.errors import InputError, RunStopped
from harness.core.log.rundir import write_atomically
from harness.core.messages import Struct
from learner.crs.fit import At, Epoch
from learner.crs.settings import BARCORSettings, UniCRSSettings

META, WEIGHTS, TOKENIZER, TRAINING = "crs.json", "weights.safetensors", "tokenizer.json", "training"
KINDS = ("unicrs", "barcor")


class Meta(Struct, frozen=True, kw_only=True):
    """``crs.json``."""

    kind: str
    name: str
    """What tables call it: ``unicrs`` on the paper's pretrained models, else ``unicrs-lite``."""
    unicrs: UniCRSSettings | None = None
    barcor: BARCORSettings | None = None
    seed: int
    graph: str
    """SHA-256 of the film graph."""
    backbones: dict[str, str]
    """Pretrained model -> SHA-256 of its weights."""
    training: tuple[str, ...]
    """Ids of the dialogues that it was trained on, sorted."""
    tuning: tuple[str, ...]
    curve: tuple[Epoch, ...]
    copy: tuple[float, ...] = ()
    """Share of targets that repeat a named film, then of these by how long ago it was named; for ``+copy``."""
    digest: str
    """SHA-256 over names, shapes and bytes of all weights."""
    files: dict[str, str]


def digest_of(weights: dict[str, Tensor]) -> str:
    """SHA-256 over names, shapes and bytes, in order of name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save(folder: Path, meta: Meta, weights: dict[str, Tensor], tokenizer: str) -> None:
    """Write a trained system; `RunStopped` where the disk is full."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = {WEIGHTS: safetensors.torch.save(_plain(weights))}
        if tokenizer:
            files[TOKENIZER] = tokenizer.encode()
        for name, content in files.items():
            write_atomically(folder / name, content)
        sealed = msgspec.structs.replace(
            meta, files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        )
        # Last: a folder without it is no trained system.
        write_atomically(folder / META, msgspec.json.format(msgspec.json.encode(sealed)))
        shutil.rmtree(folder / TRAINING, ignore_errors=True)
    except OSError as error:
        raise RunStopped(f"{folder} cannot be written: {error.strerror or error}") from error


def is_saved(folder: Path) -> bool:
    """Whether a training came to its end here."""
    return (folder / META).is_file()


def read_meta(folder: Path) -> Meta:
    """What a trained system is; `InputError` where there is none."""
    try:
        return msgspec.json.decode((folder / META).read_bytes(), type=Meta)
    except FileNotFoundError:
        raise InputError(f"{folder} holds no trained system (no {META}); `train-crs` makes one") from None
    except msgspec.MsgspecError as error:
        raise InputError(f"{folder / META} cannot be read: {error}") from error


def read(folder: Path) -> tuple[Meta, dict[str, Tensor], str]:
    """Meta, weights and the tokenizer's text ("" where it was not made here), verified."""
    meta = read_meta(folder)
    found: dict[str, bytes] = {}
    for name, expected in meta.files.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise InputError(f"{folder}: the file {name!r} is missing")
        found[name] = (folder / name).read_bytes()
        if hashlib.sha256(found[name]).hexdigest() != expected:
            raise InputError(f"{folder / name} is damaged (its SHA-256 differs from {META})")
    try:
        weights = safetensors.torch.load(found[WEIGHTS])
    except (KeyError, SafetensorError) as error:
        raise InputError(f"{folder / WEIGHTS} cannot be read: {error}") from error
    return meta, weights, found.get(TOKENIZER, b"").decode()


class _Kept(Struct, frozen=True, kw_only=True):
    key: str
    at: At
    sha256: str


class FolderKeeper:
    """Keeps a training under way in a folder; what belongs to other settings or is damaged is begun anew.

    Args:
        folder: of the trained system.
        key: of settings and data.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder / TRAINING, key

    def kept(self) -> tuple[At, dict[str, Tensor]] | None:
        """How far the training is, with all that it needs; None where it has to begin."""
        try:
            state = msgspec.json.decode((self._folder / "at.json").read_bytes(), type=_Kept)
            content = (self._folder / f"{state.sha256[:16]}.safetensors").read_bytes()
        except (OSError, msgspec.MsgspecError):
            return None
        if state.key != self._key or hashlib.sha256(content).hexdigest() != state.sha256:
            return None
        return state.at, safetensors.torch.load(content)

    def keep(self, at: At, tensors: dict[str, Tensor]) -> None:
        """Write beside the last state, then point at it, so a kill at any moment leaves one whole state."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            content = safetensors.torch.save(_plain(tensors))
            sha256 = hashlib.sha256(content).hexdigest()
            name = f"{sha256[:16]}.safetensors"
            write_atomically(self._folder / name, content)
            write_atomically(self._folder / "at.json", msgspec.json.encode(_Kept(key=self._key, at=at, sha256=sha256)))
            for old in self._folder.glob("*.safetensors"):
                if old.name != name:
                    old.unlink()
        except OSError as error:
            raise RunStopped(f"{self._folder} cannot be written: {error.strerror or error}") from error


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
