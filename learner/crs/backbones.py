"""The models that UniCRS and BARCOR stand on: the paper's by folder or hub id, or small ones that are trained here.

The small ones are a GPT-2 and a BART of 4 layers, 256 wide, with a byte-level BPE tokenizer made from the training
dialogues. Only safetensors are read, and never code from a folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModel,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
)

from harness.core.errors import InputError
from harness.domain.text_encoder import quiet, weights_sha256
from learner.crs.settings import SLOT

START, PADDING, END = "<s>", "<pad>", "</s>"
WORDS = 8000
"""Most tokens of a tokenizer that is made here."""
WIDTH, LAYERS, HEADS, POSITIONS = 256, 4, 4, 512
DROPOUT = 0.1


def tokenizer_of(texts: Iterable[str]) -> Any:
    """A byte-level BPE tokenizer of these texts; the same texts give the same tokenizer."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=WORDS,
            min_frequency=2,
            special_tokens=[START, PADDING, END, SLOT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer_from(made.to_str())


def tokenizer_from(written: str) -> Any:
    """The tokenizer of a ``tokenizer.json`` made here."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(written),
        bos_token=START,
        pad_token=PADDING,
        eos_token=END,
        sep_token=END,
        cls_token=START,
        clean_up_tokenization_spaces=False,
    )


def small_gpt2(words: int) -> Any:
    """A GPT-2 of random weights for a tokenizer of ``words`` tokens."""
    return GPT2Model(
        GPT2Config(
            vocab_size=words,
            n_positions=POSITIONS,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            bos_token_id=0,
            eos_token_id=2,
            attn_pdrop=DROPOUT,
            resid_pdrop=DROPOUT,
            embd_pdrop=DROPOUT,
        )
    )


def small_bart(words: int) -> Any:
    """A BART of random weights for a tokenizer of ``words`` tokens: `LAYERS` layers in all, half of them decode."""
    return BartForConditionalGeneration(
        BartConfig(
            vocab_size=words,
            max_position_embeddings=POSITIONS,
            d_model=WIDTH,
            encoder_layers=LAYERS // 2,
            decoder_layers=LAYERS // 2,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=4 * WIDTH,
            decoder_ffn_dim=4 * WIDTH,
            dropout=DROPOUT,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=2,
            forced_eos_token_id=2,
        )
    )


class Backbone:
    """A pretrained model with its tokenizer, and what identifies it."""

    def __init__(self, name: str, model: Any, tokenizer: Any, sha256: str) -> None:
        self.name, self.model, self.tokenizer, self.sha256 = name, model, tokenizer, sha256


def gpt2(name: str) -> Backbone:
    """A GPT-2 (such as microsoft/DialoGPT-small) by folder or hub id; `InputError` where it is none."""
    return _pretrained(name, AutoModel, "gpt2")


def bart(name: str) -> Backbone:
    """A BART (such as facebook/bart-base) by folder or hub id; `InputError` where it is none."""
    return _pretrained(name, AutoModelForSeq2SeqLM, "bart")


def _pretrained(name: str, kind: Any, model_type: str) -> Backbone:
    folder = _folder(name)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model = kind.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype="float32"
            )
    except Exception as error:  # transformers raises many kinds; each means that the folder is unreadable
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"model {name!r} cannot be read: {reason}") from error
    if model.config.model_type != model_type:
        raise InputError(f"model {name!r} is a {model.config.model_type}, and here a {model_type} is needed")
    return Backbone(name, model, tokenizer, weights_sha256(folder))


def _folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise InputError(f"model {name!r}: there is no such folder")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"]))
    except Exception as error:  # many kinds (offline, unknown, gated); each means that the model is not available
        raise InputError(
            f"model {name!r} is no local folder, and as a hub id it cannot be fetched ({type(error).__name__})"
        ) from error
