"""`warmup` and `label-eval` through the command line: a checkpoint, its measures, and what they must refuse."""

import json
import math
from pathlib import Path

import pytest
from test_main_job import ROOT, TINY, harness

LABELS = ROOT / "fixtures" / "tiny" / "inspired_synthetic.tsv"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "warmup"
    done = harness("warmup", TINY, "--run-dir", folder, "--quiet", "--set", "planner.kind=tabular")
    assert done.returncode == 0, done.stderr
    assert not (folder / "episodes.jsonl").exists()
    return folder / "checkpoints" / "v000000"


def test_measures_stand_beside_the_baselines(checkpoint: Path) -> None:
    done = harness("label-eval", checkpoint, "--inspired", LABELS, "--json")
    assert done.returncode == 0, done.stderr
    measures = json.loads(done.stdout)
    assert set(measures) == {"model", "majority", "tfidf_logreg"}
    for values in measures.values():
        assert set(values) == {"nll", "first_label_accuracy", "any_label_accuracy", "macro_f1", "n"}
        assert values["n"] == measures["model"]["n"] > 100
    # Measured on what it was fitted to, so these orders are certain.
    assert measures["tfidf_logreg"]["nll"] < measures["majority"]["nll"]
    assert measures["model"]["nll"] < math.log(13)
    shown = harness("label-eval", checkpoint, "--inspired", LABELS)
    assert "macro-F1" in shown.stdout
    assert "Seed 0. Planner of a run with these decisions: horizon absorbing" in " ".join(shown.stdout.split())
    assert "opinion_inquiry" in shown.stdout
    assert "were trained on" in shown.stdout


def test_bad_rows_are_named_and_may_be_allowed(checkpoint: Path, tmp_path: Path) -> None:
    header, first, *rows = LABELS.read_text(encoding="utf-8").splitlines()
    cells = first.split("\t")
    cells[header.split("\t").index("movie_dict")] = "{broken"
    bad = tmp_path / "bad.tsv"
    bad.write_text("\n".join([header, "\t".join(cells), *rows]) + "\n", encoding="utf-8")
    refused = harness("label-eval", checkpoint, "--inspired", bad)
    assert refused.returncode == 2
    assert "bad.tsv:2:movie_dict" in refused.stderr
    allowed = harness("label-eval", checkpoint, "--inspired", bad, "--skip-bad", "1")
    assert allowed.returncode == 0, allowed.stderr
    assert "1 bad rows" in allowed.stdout


def test_what_is_no_checkpoint_or_no_planner_is_one_sentence(tmp_path: Path) -> None:
    refused = harness("label-eval", tmp_path, "--inspired", LABELS)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    refused = harness("warmup", TINY, "--run-dir", tmp_path / "run", "--set", "planner.kind=uniform")
    assert refused.returncode == 2
    assert "learns nothing" in refused.stderr
    assert not (tmp_path / "run").exists()
