"""A judge distilled from another judge's scores: a linear reading of what the seeker said last, in [0, 1].

For training against a language model that is too small to judge. Another judge's rewards in a finished run are the
targets, frozen MiniLM vectors of the seeker's sentences the inputs, ridge regression the fit (`learner.distillation`).
It knows its teacher's taste on the texts of that run and nothing else, so it rewards and never evaluates.

    DIR/judge.json          teacher, figures on held-out dialogues, SHA-256 of the weights and of the encoder
    DIR/judge.safetensors   weights (3 H + 1,): first sentence and mean of the others of the last reply, mean of the
                            message before it, and a constant
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import safetensors.numpy
import trio
from numpy.typing import NDArray
from safetensors import SafetensorError

from harness.core.errors import InputError
from harness.core.messages import Score, State, Struct
from harness.domain.text_encoder import TextEncoder
from learner.sentences import SentenceReader

META, WEIGHTS = "judge.json", "judge.safetensors"
_TENSOR = "weights"


class Agreement(Struct, frozen=True, kw_only=True):
    """How readings agree with the teacher's rewards."""

    n: int
    r2: float | None
    """1 - squared error / variance of the teacher's; None where the teacher's do not vary."""
    rank: float | None
    """Spearman's correlation; None where either does not vary."""
    error: float
    """Mean absolute error, rewards being in [0, 1]."""
    spread: float
    """Standard deviation of the teacher's rewards."""


class Taught(Struct, frozen=True, kw_only=True):
    """judge.json: what the judge was made from, and how well it repeats its teacher."""

    teacher: str
    """The teacher in words, such as ``the scripted judge``."""
    run_digest: str
    """Of the run whose log taught it."""
    encoder: str
    encoder_sha256: str
    ridge: float
    turns: int
    dialogues: int
    """That it was fitted to; a missing reward teaches nothing."""
    missing: int
    """Turns of the run without a reward."""
    held_out: Agreement
    """On turns of dialogues with people and goals that no fitted dialogue has."""
    held_out_dialogues: Agreement
    """The same by dialogue: the means over its turns."""
    new_words: Agreement
    """On replies whose first sentence no fitted reply began with, by five-fold cross-validation over first sentences:
    nearest to what it does on another speaker's words."""
    weights_sha256: str

    @property
    def sentence(self) -> str:
        """What a reader of a table must know."""
        return (
            f"rewards by a model distilled from {self.teacher}: a linear reading of the seeker's last words, which "
            f"repeats its teacher on held-out dialogues with R^2 {_number(self.held_out.r2)} (rank correlation "
            f"{_number(self.held_out.rank)}, {self.held_out.n:,} turns), on replies that begin with new words with R^2 "
            f"{_number(self.new_words.r2)} (rank correlation {_number(self.new_words.rank)}). Of other speakers' words "
            "it knows nothing better; it never evaluates."
        )


def words_read(reader: SentenceReader, state: State) -> NDArray[np.float64] | None:
    """The inputs (3 H + 1,) of a state that ends with the seeker's reply; None where the seeker has said nothing."""
    if not state.turns or not state.turns[-1].reply.strip():
        return None
    newest = reader.read(state).newest.numpy().astype(np.float64)
    before = reader.read(msgspec.structs.replace(state, turns=state.turns[:-1])).newest.numpy().astype(np.float64)
    return np.concatenate([newest[0], _mean(newest[1:]), _mean(before), [1.0]])


def rewards_read(weights: NDArray[np.float64], inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rewards (...,) in [0, 1] of inputs (..., 3 H + 1)."""
    read: NDArray[np.float64] = np.clip(inputs @ weights, 0.0, 1.0)
    return read


class DistilledJudge:
    """A `Judge`: no model is asked, nothing is drawn. A state without words of the seeker has no reward."""

    def __init__(self, taught: Taught, weights: NDArray[np.float64], encoder: TextEncoder) -> None:
        if encoder.sha256 != taught.encoder_sha256:
            raise InputError(
                f"the distilled judge reads with an encoder of SHA-256 {taught.encoder_sha256}, not {encoder.sha256}"
            )
        if weights.shape != (3 * encoder.width + 1,):
            raise InputError(f"the distilled judge's weights have shape {weights.shape}, which do not fit its encoder")
        self.taught = taught
        self._weights = weights
        self._reader = SentenceReader(encoder)

    async def score(self, state: State) -> Score:
        # A new sentence takes the encoder some milliseconds, in which the event loop must go on.
        return await trio.to_thread.run_sync(self.read, state)

    def read(self, state: State) -> Score:
        """`score`, blocking."""
        inputs = words_read(self._reader, state)
        if inputs is None:
            return Score()
        return Score(reward=float(rewards_read(self._weights, inputs)))


def save_distilled(folder: Path, taught: Taught, weights: NDArray[np.float64]) -> Taught:
    """Write a new folder; returns ``taught`` with the SHA-256 of its weights. `InputError` where it is there."""
    if folder.exists():
        raise InputError(f"{folder} is there already; a distilled judge is written into a new folder")
    content = safetensors.numpy.save({_TENSOR: weights})
    sealed = msgspec.structs.replace(taught, weights_sha256=hashlib.sha256(content).hexdigest())
    try:
        folder.mkdir(parents=True)
        (folder / WEIGHTS).write_bytes(content)
        (folder / META).write_bytes(msgspec.json.format(msgspec.json.encode(sealed), indent=2) + b"\n")
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from error
    return sealed


def load_distilled(folder: Path) -> tuple[Taught, NDArray[np.float64]]:
    """Read a folder back; `InputError` where it is none, or its weights are not those that it names."""
    try:
        taught = msgspec.json.decode((folder / META).read_bytes(), type=Taught)
        content = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise InputError(
            f"{folder} holds no distilled judge ({Path(error.filename or folder).name}: {error.strerror}); "
            "`distill-judge RUN --out DIR` makes one"
        ) from None
    except msgspec.MsgspecError as error:
        raise InputError(f"{folder / META} cannot be read: {error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != taught.weights_sha256:
        raise InputError(f"{folder / WEIGHTS} is damaged: its SHA-256 is {found}, {META} says {taught.weights_sha256}")
    try:
        return taught, safetensors.numpy.load(content)[_TENSOR]
    except (SafetensorError, KeyError) as error:
        raise InputError(f"{folder / WEIGHTS} cannot be read: {error}") from None


def _mean(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = vectors.sum(axis=0) / max(len(vectors), 1)
    return mean


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
