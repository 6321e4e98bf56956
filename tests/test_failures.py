"""Runs in which conversations fail, as children against the scripted server: their end, and playing again.

The rows of the reliability list are in the tests' names; the rules themselves are tested in ``test_outcomes.py``.
"""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.forked import Forkery
from support.runs import EPISODES, Past, Runs
from support.world import World

from harness.core.log.loggedepisodes import read_events
from harness.core.messages import EpisodeEnded, Withdrawn

pytestmark = pytest.mark.slow  # children: a second or two each

REFUSED = {"kind": "status", "status": 400, "text": "the model is overloaded with nonsense"}


@pytest.fixture
def runs(forkery: Forkery, shared_world: World, tmp_path: Path) -> Iterator[Runs]:
    yield Runs(forkery, shared_world, tmp_path)
    shared_world.faults()


@pytest.fixture(scope="module")
def reference(forkery: Forkery, shared_world: World, tmp_path_factory: pytest.TempPathFactory) -> Past:
    """The run that nothing happens to."""
    return Runs(forkery, shared_world, tmp_path_factory.mktemp("reference")).run("whole")


def ended_in_3(runs: Runs, name: str, **how: Any) -> str:
    child = runs.start(name, **how)
    assert child.wait() == 3, child.said()
    return child.errors()


def retried(runs: Runs, name: str) -> None:
    child = runs.forkery.run("resume", runs.folder / name, "--quiet", "--retry-failed")
    assert child.poll() == 0, child.said()


def same(run: Past, reference: Past) -> None:
    """Digest, weights, counts and metrics are those of the run in which nothing failed."""
    assert run.digest == reference.digest
    assert run.weights == reference.weights
    assert run.summary["complete"]
    assert not run.summary["failed"]
    assert not run.failures()
    assert updates(run) == updates(reference)


def updates(run: Past) -> list[tuple[object, ...]]:
    lines = [msgspec.json.decode(line) for line in (run.folder / "metrics.jsonl").read_bytes().splitlines()]
    return sorted(
        (line["type"], line.get("name") or line.get("version"), line.get("errors"))
        for line in lines
        if line["type"] in ("update", "evaluation")
    )


def counted_once(run: Past) -> None:
    """Every episode is finished once for each time that it was not, or no more, finished."""
    standing: set[str] = set()
    for event in read_events(run.folder / "episodes.jsonl"):
        if isinstance(event, EpisodeEnded):
            assert event.episode not in standing
            standing.add(event.episode)
        elif isinstance(event, Withdrawn):
            assert standing.issuperset(event.episodes)
            standing.difference_update(event.episodes)
    assert len(standing) == EPISODES


@pytest.mark.parametrize("limit", [0.2, 1.0])
@pytest.mark.parametrize("role", ["actor", "seeker", "reward", "evaluator"])
def test_41_a_role_that_always_fails(runs: Runs, reference: Past, role: str, limit: float) -> None:
    probes = {"kind": "delay", "role": role, "times": 2}  # by which a client finds out what a server offers
    runs.world.faults(*([probes] if role == "reward" else []), {**REFUSED, "role": role})
    said = ended_in_3(runs, "run", scheduler__fail_on_error=limit)
    assert "phase before" in said
    assert "status 400 (the model is overloaded with nonsense)" in said
    assert "--retry-failed" in said
    assert not runs.past("run").summary["complete"]
    child = runs.resume("run")
    assert child.wait() == 3
    assert "status 400 (the model is overloaded with nonsense)" in child.errors()
    runs.world.faults()
    retried(runs, "run")
    same(runs.past("run"), reference)


def test_41_only_the_last_phase_fails(runs: Runs, reference: Past) -> None:
    runs.world.faults({"kind": "delay", "role": "evaluator", "times": 8}, {**REFUSED, "role": "evaluator"})
    said = ended_in_3(runs, "run")
    assert "none of the 4 conversations in phase rl was read by the evaluator" in said
    runs.world.faults()
    child = runs.forkery.run("resume", runs.folder / "run")
    assert child.poll() == 3
    assert "4 of 20 finished conversations failed or could not be scored" in " ".join(child.said().split())
    retried(runs, "run")
    same(runs.past("run"), reference)


def test_41_the_share_is_that_of_the_whole_run(runs: Runs, reference: Past) -> None:
    # 5 of 20, though never more than 2 of 4 of a phase, nor of the 20 that count before the end.
    rule = {**REFUSED, "role": "actor", "times": 1}
    runs.world.faults(*({**rule, "skip": skip} for skip in (1, 14, 22, 36, 50)))
    said = ended_in_3(runs, "run", scheduler__max_live_conversations=1)
    assert "5 of " in said
    assert "scheduler.fail_on_error = 0.2" in said
    runs.world.faults()
    retried(runs, "run")
    same(runs.past("run"), reference)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (402, "credit used up"),
        (429, "insufficient_quota"),
        (403, "Your credit balance is too low"),
        (400, "Out of credits"),
    ],
)
def test_57_nothing_left_to_pay_with(runs: Runs, reference: Past, status: int, text: str) -> None:
    runs.world.faults({"kind": "status", "status": status, "text": text, "skip": 30})
    said = ended_in_3(runs, "run")
    assert f"status {status}" in said
    assert "no credit left" in said
    assert not runs.past("run").failures()
    runs.world.faults()
    same(runs.go_on("run"), reference)


def some_fail(runs: Runs, name: str) -> Past:
    """A run that is done with failures in every phase, two of them training episodes of two updates."""
    rule = {**REFUSED, "role": "actor", "times": 1}
    runs.world.faults(*({**rule, "skip": skip} for skip in (1, 14, 22, 36, 50)))
    run = runs.run(name, scheduler__max_live_conversations=1, scheduler__fail_on_error=1.0)
    runs.world.faults()
    return run


def test_58_failed_conversations_are_played_again(runs: Runs, reference: Past) -> None:
    run = some_fail(runs, "run")
    failed = run.failures()
    assert len(failed) == 5
    assert {name.split("-")[0] for name in failed} == {"before", "warmup", "train", "rl"}
    assert run.weights != reference.weights
    (caution,) = [said for said in run.summary["cautions"] if "failed" in said]
    assert "in before" in caution
    child = runs.forkery.run("resume", run.folder)
    assert child.poll() == 0
    assert "5 of 20 finished conversations failed" in " ".join(child.said().split())
    before = read_bytes(run)
    retried(runs, "run")
    assert read_bytes(run).startswith(before)  # nothing is taken out of the log
    counted_once(run)
    same(run, reference)
    child = runs.forkery.run("resume", run.folder, "--retry-failed")
    assert child.poll() == 0
    assert "no finished conversation failed" in " ".join(child.said().split())


def read_bytes(run: Past) -> bytes:
    return (run.folder / "episodes.jsonl").read_bytes()


def test_58_killed_while_playing_again(runs: Runs, reference: Past) -> None:
    draw, hit = random.Random(5), 0
    for number in range(2):
        run = some_fail(runs, f"run{number}")
        child = runs.forkery.start("resume", run.folder, "--quiet", "--retry-failed")
        for _ in range(4):
            enough = run.lines() + draw.randint(1, 15)
            while run.lines() < enough and child.poll() is None:
                time.sleep(0.005)
            if child.poll() is not None:
                break
            child.signal(signal.SIGKILL)
            child.wait()
            hit += 1
            child = runs.forkery.start("resume", run.folder, "--quiet", "--retry-failed")
        assert child.wait() == 0, child.said()
        counted_once(run)
        same(run, reference)
    assert hit >= 3


def test_41_a_run_of_a_few_conversations(runs: Runs) -> None:
    runs.world.faults({**REFUSED, "role": "actor", "skip": 1, "times": 2})
    few = {"planner__kind": "uniform", "evaluation__dialogues": 6, "scheduler__max_live_conversations": 1}
    said = ended_in_3(runs, "run", **few)
    assert "2 of 6 conversations of the run failed, more than scheduler.fail_on_error = 0.2 allows" in said
    runs.world.faults()
    child = runs.resume("run")
    assert child.wait() == 3
    assert "2 of 6 conversations" in child.errors()
    assert runs.go_on("run", scheduler__fail_on_error=0.5).summary["complete"]
