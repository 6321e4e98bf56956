"""`warmup` and `label-eval` through the command line: a checkpoint, its measures, and what they must refuse."""

import json
import math
from pathlib import Path

import pytest
from support.forked import ROOT, Forkery
from support.runs import TINY

LABELS = ROOT / "fixtures" / "tiny" / "inspired_synthetic.tsv"


@pytest.fixture(scope="module")
def checkpoint(forkery: Forkery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "warmup"
    done = forkery.run("warmup", TINY, "--run-dir", folder, "--quiet", "--set", "planner.kind=tabular")
    assert done.poll() == 0, done.errors()
    assert not (folder / "episodes.jsonl").exists()
    return folder / "checkpoints" / "v000000"


def test_measures_stand_beside_the_baselines(forkery: Forkery, checkpoint: Path) -> None:
    done = forkery.run("label-eval", checkpoint, "--inspired", LABELS, "--json")
    assert done.poll() == 0, done.errors()
    measures = json.loads(done.output())
    assert set(measures) == {"model", "majority", "tfidf_logreg"}
    for values in measures.values():
        assert set(values) == {"nll", "first_label_accuracy", "any_label_accuracy", "macro_f1", "n"}
        assert values["n"] == measures["model"]["n"] > 100
    # Measured on what it was fitted to, so these orders are certain.
    assert measures["tfidf_logreg"]["nll"] < measures["majority"]["nll"]
    assert measures["model"]["nll"] < math.log(13)
    shown = forkery.run("label-eval", checkpoint, "--inspired", LABELS)
    assert "macro-F1" in shown.output()
    assert "Seed 0. Planner of a run with these decisions: horizon absorbing" in " ".join(shown.output().split())
    assert "opinion_inquiry" in shown.output()
    assert "were trained on" in shown.output()


def test_bad_rows_are_named_and_may_be_allowed(forkery: Forkery, checkpoint: Path, tmp_path: Path) -> None:
    header, first, *rows = LABELS.read_text(encoding="utf-8").splitlines()
    cells = first.split("\t")
    cells[header.split("\t").index("movie_dict")] = "{broken"
    bad = tmp_path / "bad.tsv"
    bad.write_text("\n".join([header, "\t".join(cells), *rows]) + "\n", encoding="utf-8")
    refused = forkery.run("label-eval", checkpoint, "--inspired", bad)
    assert refused.poll() == 2
    assert "bad.tsv:2:movie_dict" in refused.errors()
    allowed = forkery.run("label-eval", checkpoint, "--inspired", bad, "--skip-bad", "1")
    assert allowed.poll() == 0, allowed.errors()
    assert "1 bad rows" in allowed.output()


def test_what_is_no_checkpoint_or_no_planner_is_one_sentence(forkery: Forkery, tmp_path: Path) -> None:
    refused = forkery.run("label-eval", tmp_path, "--inspired", LABELS)
    assert (refused.poll(), refused.errors().count("\n")) == (2, 1)
    refused = forkery.run("warmup", TINY, "--run-dir", tmp_path / "run", "--set", "planner.kind=uniform")
    assert refused.poll() == 2
    assert "learns nothing" in refused.errors()
    assert not (tmp_path / "run").exists()
