"""A RoBERTa with random weights in a folder: its sizes and its cost without its training, and without a download.

The tokenizer is a small one of bytes, so that any text can be read; a token is about a character or a short word.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

_SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
_READ = (
    "turn 1 of 10 | seeker: hello, I would like to see a film tonight, something with robots in it, please",
    "recommender (credibility): how about The Matrix (1999)? it was made by people who know what they do",
    "seeker: well, I do not like that kind of film; who plays in it? thank you, that sounds good to me",
)


def write_random_roberta(
    folder: Path, *, layers: int = 12, width: int = 768, heads: int = 12, vocabulary: int = 50_265, seed: int = 0
) -> Path:
    """By default of `roberta-base`'s sizes, in the save_pretrained layout; returns ``folder``."""
    config = RobertaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_READ, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **_SPECIAL)
