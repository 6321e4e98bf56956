"""kill -9 at random instants, over and over, also while resuming: no finished episode is lost or played twice."""

import random
import signal
import time

import pytest
from support.forked import Forkery
from support.runs import EPISODES, Past, Runs
from support.world import World


@pytest.fixture(scope="module")
def runs(forkery: Forkery, shared_world: World, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(forkery, shared_world, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def reference(runs: Runs) -> Past:
    return runs.run("reference")


def strike(runs: Runs, reference: Past, kills: int, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs that are killed and resumed until ``kills`` kills have hit; each must end as the reference did."""
    draw = random.Random(seed)
    calls_of_a_run = sum(usage["calls"] for usage in reference.summary["tokens"].values())
    span = reference.summary["seconds"]
    hit = done = repeated = 0
    in_resumes = 0
    while hit < kills:
        name = f"run-{seed}-{done}"
        asked_before = runs.world.requests()
        kept: list[str] = []
        attempts = 0
        while True:
            child = runs.resume(name) if (runs.folder / name / "config.json").exists() else runs.start(name)
            attempts += 1
            if hit < kills:
                # Anywhere in the run's life, its start and its end included.
                time.sleep(draw.uniform(0.0, 1.2 * span))
            if hit < kills and child.poll() is None:
                child.signal(signal.SIGKILL)
                child.wait()
                hit += 1
                in_resumes += attempts > 1
                finished = runs.past(name).finished()
                assert finished[: len(kept)] == kept, "a finished episode was lost"
                assert len(finished) == len(set(finished)), "an episode was finished twice"
                kept = finished
                continue
            assert child.wait() == 0, child.said()
            break
        run = runs.past(name)
        assert run.finished()[: len(kept)] == kept
        assert sorted(run.finished()) == sorted(set(run.finished()))
        assert len(run.finished()) == EPISODES
        assert run.digest == reference.digest
        assert run.weights == reference.weights
        # Two calls a start find out what the server offers; they belong to no episode.
        repeated += runs.world.requests() - asked_before - calls_of_a_run
        done += 1
    with capsys.disabled():
        print(
            f"\n{hit} kills ({in_resumes} while resuming) over {done} runs of {EPISODES} episodes: lost 0, duplicated "
            f"0; model calls repeated per kill {repeated / hit:.1f} (a whole run makes {calls_of_a_run})"
        )


def test_ten_kills(runs: Runs, reference: Past, capsys: pytest.CaptureFixture[str]) -> None:
    strike(runs, reference, 10, 1, capsys)


@pytest.mark.slow
def test_two_hundred_kills(runs: Runs, reference: Past, capsys: pytest.CaptureFixture[str]) -> None:
    strike(runs, reference, 200, 2, capsys)
