"""Whether a run counts, and which episodes are played again with which others."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import started, transition

from harness.app.job.again import keep_what_the_log_covers, to_play_again, updates_of
from harness.app.job.metricsfile import read_metrics
from harness.app.job.outcomes import Outcomes, lost
from harness.app.settings.config import RL, Config, Evaluation
from harness.core.errors import DataError
from harness.core.log.codec import encode_event
from harness.core.log.episode import Episode, build
from harness.core.log.loggedepisodes import EpisodeIndex, read_episodes
from harness.core.log.rundigest import run_digest
from harness.core.messages import EpisodeEnded, Event, Failure, Score, StopCause, Withdrawn
from learner.updates import due
from learner.versions import acting_version


def events(
    phase: str, index: int, *, reward: float | None = 0.5, evaluation: float | None = 0.5, failure: str = ""
) -> list[Event]:
    """A conversation of one turn; a failure in its first turn, or only the evaluator's where ``reward`` was read."""
    name = f"{phase}-{index:06d}"
    failed = Failure(kind="call", message=failure, turn=1) if failure else None
    turns = [] if failure and reward is None else [transition(name, 1, reward, "turns")]
    read = None if phase == "train" or failure else Score(reward=evaluation)
    stop: StopCause = "error" if failure and reward is None else "turns"
    end = EpisodeEnded(episode=name, stop=stop, turns=len(turns), evaluation=read, failure=failed)
    return [started(name, index, phase), *turns, end]


def episode(phase: str, index: int, **how: object) -> Episode:
    return build(events(phase, index, **how))  # type: ignore[arg-type]


def failed(phase: str, index: int) -> Episode:
    return episode(phase, index, reward=None, failure=f"refused {index}")


def verdict(*episodes: Episode, limit: float = 0.2, **wanted: int) -> str:
    return Outcomes(episodes).verdict(wanted, limit)


def test_a_phase_without_one_scored_conversation() -> None:
    assert verdict(failed("before", 0), failed("before", 1), limit=1.0, before=2) == (
        "none of the 2 conversations in phase before has a reward; the first reason: before-000000: refused 0"
    )
    unread = episode("before", 0, evaluation=None)
    assert "phase before was read by the evaluator" in verdict(unread, limit=1.0, before=1)
    assert "no reward could be read" in verdict(episode("train", 0, reward=None), limit=1.0, train=1)
    refused = episode("rl", 0, failure="the evaluator is away")
    assert verdict(refused, limit=1.0, rl=1).endswith("rl-000000: the evaluator is away")
    assert not verdict(failed("before", 0), limit=1.0, before=2)  # one is still to come
    assert not verdict(failed("before", 0), episode("before", 1), limit=1.0, before=2)
    assert not verdict(episode("train", 0), limit=1.0, train=1)  # no evaluator reads training conversations


def test_the_share_is_taken_over_the_whole_run() -> None:
    good = [episode(phase, index) for phase in ("before", "warmup") for index in range(4)]
    bad = [failed("rl", 0), episode("rl", 1)]
    assert not verdict(*good, *bad, before=4, warmup=4, rl=2)  # one of ten
    assert not verdict(*good, failed("rl", 0), *bad[1:], before=4, warmup=4, rl=2, limit=0.1)
    said = verdict(*good, *bad, before=4, warmup=4, rl=2, limit=0.05)
    assert said == (
        "1 of 10 conversations of the run failed, more than scheduler.fail_on_error = 0.05 allows; the first: "
        "rl-000000: refused 0"
    )
    assert not verdict(*good, *bad, before=4, warmup=4, rl=3, limit=0.05)  # not over yet


def test_what_is_lost() -> None:
    assert not lost(episode("before", 0))
    assert lost(failed("before", 0)) == "refused 0"
    assert lost(episode("before", 0, failure="away")) == "away"
    assert lost(episode("before", 0, reward=None)).startswith("no reward could be read (")
    assert lost(episode("before", 0, evaluation=None)).startswith("the evaluator's reading could not be read")
    assert not lost(episode("train", 0, evaluation=None))


def config(batch: int, lag: int, total: int) -> Config:
    return Config(
        rl=RL(batch_episodes=batch, policy_lag=lag, epochs=1, dialogues_per_epoch=total),
        evaluation=Evaluation(dialogues=2),
    )


def test_evaluations_are_played_again_alone() -> None:
    run = [failed("before", 0), episode("before", 1), *(episode("train", index) for index in range(8)), failed("rl", 1)]
    assert to_play_again(run, config(4, 0, 8)) == ("before-000000", "rl-000001")


@given(
    st.integers(1, 5),
    st.integers(0, 2),
    st.integers(1, 20),
    st.sets(st.integers(0, 19), min_size=1),
    st.booleans(),
)
def test_what_is_left_is_the_log_of_a_run_in_which_nothing_failed(
    batch: int, lag: int, total: int, bad: set[int], whole: bool
) -> None:
    bad = {index for index in bad if index < total} or {0}
    played = range(total) if whole else range(min(bad) + 1)
    run = [failed("train", index) if index in bad else episode("train", index) for index in played]
    run += [episode("before", 0), episode("before", 1)]
    run += [episode("rl", 0), episode("rl", 1)] if whole else []
    settings = config(batch, lag, total)
    again = to_play_again(run, settings)
    left = [one for one in run if one.id not in again]
    assert not any(lost(one) for one in left)
    assert not any(one.started.phase == "rl" for one in left)
    trained = {one.started.index for one in left if one.started.phase == "train"}
    made = updates_of(trained, settings)
    # Every training episode that is left acted with a version that the others can still make ...
    assert all(acting_version(index, batch, lag) <= made for index in trained)
    # ... and none is withdrawn for nothing: those that did not fail acted with a version that a failed one went into.
    first = min(bad) // batch
    assert made == first
    taken_back = {one.started.index for one in run if one.started.phase == "train" and one.id in again} - bad
    assert all(acting_version(index, batch, lag) > first for index in taken_back)
    assert set(due(first, batch, total)) & bad


def test_withdrawn_episodes_count_no_more_and_may_be_finished_again(tmp_path: Path) -> None:
    log = tmp_path / "episodes.jsonl"

    def write(*lines: Event) -> EpisodeIndex:
        log.write_bytes(b"".join(encode_event(line) + b"\n" for line in lines))
        return read_episodes(log)

    bad, good = events("before", 0, reward=None, failure="refused"), events("before", 0)
    other = events("before", 1)
    again = Withdrawn(episodes=("before-000000",))
    assert [one.id for one in write(*bad, *other, again)] == ["before-000001"]
    assert [one.id for one in write(*bad, *other, again, *good[:1])] == ["before-000001"]
    assert run_digest(write(*bad, *other, again, *good)) == run_digest(write(*good, *other))
    with pytest.raises(DataError, match="before-000000 is finished twice"):
        write(*bad, *good)
    with pytest.raises(DataError, match="before-000000 is withdrawn and was not finished"):
        write(again, *good)


def test_checkpoints_beyond_the_log_are_set_aside_and_their_metrics_dropped(tmp_path: Path) -> None:
    for version in range(4):
        (tmp_path / "checkpoints" / f"v{version:06d}").mkdir(parents=True)
    lines = [
        {"type": "warmup"},
        {"type": "evaluation", "name": "before", "version": -1},
        {"type": "evaluation", "name": "rl", "version": 2},
        *({"type": "update", "version": version} for version in (1, 2, 3)),
    ]
    (tmp_path / "metrics.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    written = [*events("before", 0), *events("before", 1), *events("rl", 0)]
    written += [event for index in (0, 1, 3) for event in events("train", index)]
    log = tmp_path / "episodes.jsonl"
    log.write_bytes(b"".join(encode_event(event) + b"\n" for event in written))
    run = EpisodeIndex(log)
    settings = config(2, 0, 6)
    assert keep_what_the_log_covers(tmp_path, run, {"before": 2, "train": 6, "rl": 2}, settings) == 2
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "v000000",
        "v000001",
        "v000002.set-aside-1",
        "v000003.set-aside-1",
    ]
    left = read_metrics(tmp_path / "metrics.jsonl")
    assert left == [lines[0], lines[1], lines[3]]
    assert keep_what_the_log_covers(tmp_path, run, {"before": 2, "train": 6, "rl": 2}, settings) == 0
