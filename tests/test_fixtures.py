"""The fixtures hold what README promises, and their programs make the very same bytes again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.domain.knowledge_graph import KnowledgeGraph
from harness.domain.strategies import strategy_set
from simulator.datasets.inspired import InspiredDataset
from simulator.goal_pools import GoalPools
from simulator.goals import draw_goals

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "fixtures"
REDIAL = ROOT.parent / "shared" / "data" / "redial"
REAL = ROOT.parent / "shared" / "data" / "inspired" / "dev.tsv"
LABELS = strategy_set("inspired14")


@pytest.fixture(scope="module")
def films() -> KnowledgeGraph:
    return KnowledgeGraph.load(FIXTURES / "films.json")


@pytest.fixture(scope="module")
def synthetic() -> InspiredDataset:
    return InspiredDataset(FIXTURES / "inspired_synthetic.tsv", strategies=LABELS)


def remake(tmp_path: Path, program: str, *arguments: str) -> Path:
    copy = tmp_path / "fixtures"
    shutil.copytree(FIXTURES, copy, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, copy / program, *arguments], check=True, cwd=ROOT, timeout=60)
    return copy


def test_films_are_facts_with_all_that_goals_need(films: KnowledgeGraph) -> None:
    assert len(films.items) >= 1000
    for item in films.items:
        assert item.year is not None
        assert 1900 < item.year < 2030
        assert item.genres
        assert item.directors
        assert len(item.stars) >= 2
        texts = (item.title, *item.genres, *item.directors, *item.stars)
        assert all(0 < len(text) < 80 for text in texts), "facts are short: no plots"
        assert films.find(item.name) == item.id


@pytest.mark.skipif(not REDIAL.exists(), reason=f"ReDial is not at {REDIAL}")
def test_films_are_made_again_byte_by_byte(tmp_path: Path) -> None:
    copy = remake(tmp_path, "make_films.py", str(REDIAL))
    assert (copy / "films.json").read_bytes() == (FIXTURES / "films.json").read_bytes()


def test_dialogues_are_made_again_byte_by_byte(tmp_path: Path) -> None:
    copy = remake(tmp_path, "make_dialogues.py")
    assert (copy / "inspired_synthetic.tsv").read_bytes() == (FIXTURES / "inspired_synthetic.tsv").read_bytes()


def test_dialogues_are_marked_and_of_the_promised_shape(synthetic: InspiredDataset, films: KnowledgeGraph) -> None:
    dialogues = synthetic.dialogues()
    assert len(dialogues) >= 80
    assert all(dialogue.id.startswith("synthetic-") for dialogue in dialogues)
    assert synthetic.skipped == synthetic.damaged == 0
    states = [turn.state for dialogue in dialogues for turn in dialogue.labelled_turns]
    assert {state.turn for state in states} == set(range(1, 13))
    assert any(not state.opening for state in states)
    assert not any("{" in said.text for state in states for said in state.history), "no slot was left open"
    assert all(films.find(name) for dialogue in dialogues for name in dialogue.mentions)
    labels = Counter(label for dialogue in dialogues for turn in dialogue.labelled_turns for label in turn.labels)
    assert set(labels) == {strategy.key for strategy in LABELS}
    several = sum(len(turn.labels) > 1 for dialogue in dialogues for turn in dialogue.labelled_turns)
    assert several > 200


def test_facts_that_the_dialogues_state_are_true(films: KnowledgeGraph) -> None:
    lines = (FIXTURES / "inspired_synthetic.tsv").read_text(encoding="utf-8").split("\n")
    header = lines[0].split("\t")
    checked = 0
    for line in lines[1:-1]:
        cells = dict(zip(header, line.split("\t"), strict=True))
        if cells["expert_label"] != "credibility" or cells["second_label"] or ";" in cells["movies"]:
            continue
        item = films.find(cells["movies"]) if cells["movies"] else None
        if item is not None:
            stated = {a for a in films.attributes_in(cells["text"]) if a.kind == "person"}
            assert stated <= films.attributes(item), cells["text"]
            checked += 1
    assert checked > 30


def test_goals_in_number_can_be_drawn_from_the_dialogues(synthetic: InspiredDataset, films: KnowledgeGraph) -> None:
    goals, report = draw_goals(films, synthetic.dialogues(), count=600, seed=1)
    assert len(goals) == 600
    assert report.dropped == ()
    assert report.films > 200
    pools = GoalPools(films, synthetic.dialogues(), seed=1)
    for pool in ("final", "development"):
        drawn = pools.held_out(pool, 300)
        assert drawn.report.beyond == 0, "the dialogues' own films suffice for what a study plays"
        assert len({goal.target for goal in drawn.goals}) > 80
    assert len(pools.training(400, seed=1).goals) == 400


def shares(dataset: InspiredDataset) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for dialogue in dataset.dialogues():
        for turn in dialogue.labelled_turns:
            counts.update(turn.labels)
    return {label: count / counts.total() for label, count in counts.items()}


@pytest.mark.skipif(not REAL.exists(), reason=f"the real INSPIRED split is not at {REAL}")
def test_labels_are_as_frequent_as_people_use_them(synthetic: InspiredDataset) -> None:
    ours = shares(synthetic)
    theirs = shares(InspiredDataset(REAL, strategies=LABELS, skip_bad=41))
    assert sum(abs(ours.get(label, 0.0) - share) for label, share in theirs.items()) / 2 < 0.12
