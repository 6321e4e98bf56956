"""iEvaLM's protocol: evaluations alone are played by it, its success has floors, and its biases stand beside it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support.episodes import events_of
from support.forked import Forkery
from support.runs import TINY

from harness.app.evaluation.protocol import IEVALM_MEASURES, protocol_measures, turn_limit, within
from harness.app.settings.config import Config, Conversation, Evaluation
from harness.core.log.episode import Episode, build
from harness.core.messages import TRAIN, Item
from harness.domain.knowledge_graph import KnowledgeGraph

IEVALM = Config(evaluation=Evaluation(protocol="ievalm"))
GRAPH = KnowledgeGraph.from_items([Item(id=str(n), title=f"Film {n}", year=1900 + n) for n in range(100)])


def test_only_evaluations_are_played_by_it() -> None:
    assert (within(IEVALM, "rl"), turn_limit(IEVALM, "rl")) == (50, 5)
    assert (within(IEVALM, TRAIN), turn_limit(IEVALM, TRAIN)) == (0, 10)
    assert (within(Config(), "rl"), turn_limit(Config(), "rl")) == (0, 10)
    short = msgspec.structs.replace(IEVALM, conversation=Conversation(max_turns=3))
    assert turn_limit(short, "rl") == 3


def values(episode: Episode, popular: tuple[str, ...] = ()) -> list[float | None]:
    return [measure(episode) for measure in protocol_measures(IEVALM, GRAPH, popular).values()]


def test_success_and_its_floors() -> None:
    """The target is item 1; with 100 films a random list of 50 misses it every second time."""
    found = build(events_of("e", 0, turns=2, stop="target"))
    chance = pytest.approx(1 - 0.5**found.started.max_turns)
    assert values(found) == [1.0, chance, 0.0, 0.0]
    assert values(found, popular=("2", "1")) == [1.0, chance, 1.0, 1.0]
    missed = msgspec.structs.replace(
        build(events_of("e", 0, turns=2)),
        transitions=tuple(msgspec.structs.replace(t, response="Film 1 (1901)?") for t in found.transitions),
    )
    assert values(missed) == [0.0, chance, 0.0, 1.0]
    silent = msgspec.structs.replace(
        found, transitions=tuple(msgspec.structs.replace(t, ranking=()) for t in found.transitions)
    )
    assert values(silent) == [None] * 4
    assert tuple(protocol_measures(IEVALM, GRAPH, ())) == IEVALM_MEASURES
    assert protocol_measures(Config(), GRAPH, ()) == {}


def test_a_run_by_it_names_its_biases_and_can_be_replayed(forkery: Forkery, tmp_path: Path) -> None:
    keys = ("evaluation.protocol=ievalm", "planner.kind=uniform", "conversation.max_turns=6")
    done = forkery.run("run", TINY, "--run-dir", tmp_path / "run", "--quiet", *(a for k in keys for a in ("--set", k)))
    assert done.wait() == 0, done.errors()
    shown = " ".join(done.output().split())
    assert "iEvaLM SR@50" in shown
    assert "biased in three ways" in shown
    assert "evaluated by iEvaLM's protocol" in shown
    verified = forkery.run("replay", tmp_path / "run", "--verify", "--quiet")
    assert verified.wait() == 0, verified.said()
