"""The distilled judge finds a linear judge, keeps missing missing, is part of a run's identity, never evaluates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import trio
from numpy.typing import NDArray
from support.episodes import events_of
from support.forked import Forkery
from support.runs import TINY

from harness.app.commands.distill_judge import lessons_of
from harness.app.evaluation.decisions import decisions_of, world_of
from harness.app.settings.configfile import load_config
from harness.app.setup.sources import digests
from harness.core.errors import ConfigError, InputError
from harness.core.log.episode import build
from harness.core.log.loggedepisodes import read_episodes
from harness.core.messages import Score, State, Transition, Turn
from learner.distillation import FEWEST_GROUPS, Lesson, distil
from learner.distilled_judge import (
    META,
    WEIGHTS,
    DistilledJudge,
    Taught,
    load_distilled,
    rewards_read,
    save_distilled,
    words_read,
)
from learner.sentences import SentenceReader

WIDTH = 6
QUICK = ["--quiet", "--set", "planner.kind=tabular", "--set", "warmup.epochs=1", "--set", "evaluation.dialogues=3"]


class Hashed:
    """An encoder of which a sentence's vector is a function of its letters."""

    width = WIDTH
    sha256 = "of the weights"
    name = "hashed"

    def embed(self, text: str) -> NDArray[np.float32]:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        vector = np.random.default_rng(seed).normal(size=WIDTH).astype(np.float32)
        found: NDArray[np.float32] = vector / np.linalg.norm(vector)
        return found


def reader() -> SentenceReader:
    return SentenceReader(Hashed())  # type: ignore[arg-type]


def state(*replies: str, opening: str = "Hello. I want a film.") -> State:
    turns = tuple(Turn(strategy=None, preferences="", response="What about this?", reply=reply) for reply in replies)
    return State(episode="e", seed=0, max_turns=10, opening=opening, turns=turns)


def lessons(weights: NDArray[np.float64]) -> Iterator[Lesson]:
    reading = reader()
    for person in range(40):
        for turn in range(1, 5):
            seen = state(*(f"Word {person} {n}. More {n} of {person}! And {turn}." for n in range(turn)))
            inputs = words_read(reading, seen)
            assert inputs is not None
            reward = float(rewards_read(weights, inputs))
            yield Lesson(state=seen, reward=reward, group=f"g{person}", dialogue=f"d{person}")


def truth() -> NDArray[np.float64]:
    weights = np.random.default_rng(1).uniform(-0.1, 0.1, size=3 * WIDTH + 1)
    weights[-1] = 0.5
    return weights


def taught(**other: Any) -> Taught:
    fitted = distil(list(lessons(truth())), reader())
    told: dict[str, Any] = {
        "teacher": "the scripted judge",
        "run_digest": "d",
        "encoder": "hashed",
        "encoder_sha256": Hashed.sha256,
        "ridge": fitted.ridge,
        "turns": fitted.turns,
        "dialogues": fitted.dialogues,
        "missing": 0,
        "held_out": fitted.held_out,
        "held_out_dialogues": fitted.held_out_dialogues,
        "new_words": fitted.new_words,
        "weights_sha256": "",
    }
    return Taught(**(told | other))


def test_it_finds_a_linear_judge() -> None:
    fitted = distil(list(lessons(truth())), reader())
    assert fitted.dialogues == 32
    assert fitted.held_out.n == 8 * 4
    assert fitted.held_out_dialogues.n == 8
    for found in (fitted.held_out, fitted.held_out_dialogues, fitted.new_words):
        assert found.r2 is not None
        assert found.rank is not None
        assert found.r2 > 0.99
        assert found.rank > 0.99
    np.testing.assert_allclose(fitted.weights, truth(), atol=0.02)


def test_a_judge_of_noise_is_called_one() -> None:
    luck = np.random.default_rng(3)
    noise = [with_reward(lesson, float(luck.uniform())) for lesson in lessons(truth())]
    found = distil(noise, reader())
    assert found.held_out.r2 is not None
    assert found.held_out.r2 < 0.2


def with_reward(lesson: Lesson, reward: float) -> Lesson:
    return Lesson(state=lesson.state, reward=reward, group=lesson.group, dialogue=lesson.dialogue)


def test_the_fit_does_not_depend_on_the_order_of_the_log() -> None:
    given = list(lessons(truth()))
    one, other = distil(given, reader()), distil(given[::-1], reader())
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-9)
    assert one.held_out.n == other.held_out.n


def test_too_little_is_refused() -> None:
    few = [lesson for lesson in lessons(truth()) if int(lesson.group[1:]) < FEWEST_GROUPS - 1]
    with pytest.raises(InputError, match="9 people and goals are too few"):
        distil(few, reader())
    flat = [with_reward(lesson, 0.5) for lesson in lessons(truth())]
    with pytest.raises(InputError, match=r"all rewards are 0\.5"):
        distil(flat, reader())


def test_rewards_stay_in_their_range_and_missing_is_missing() -> None:
    judge = DistilledJudge(taught(), 100.0 * truth(), Hashed())  # type: ignore[arg-type]
    rewards = [trio.run(judge.score, state(f"Reply {n}.")).reward for n in range(40)]
    assert all(reward is not None and 0.0 <= reward <= 1.0 for reward in rewards)
    assert 1.0 in rewards
    assert judge.read(state("Fine.", " \n")) == Score()
    assert judge.read(state()) == Score()


def test_only_the_last_reply_and_the_message_before_it_are_read() -> None:
    judge = DistilledJudge(taught(), truth(), Hashed())  # type: ignore[arg-type]
    base = judge.read(state("Old.", "Middle.", "New."))
    assert base == judge.read(state("Other.", "Middle.", "New.", opening="Hey."))
    assert base != judge.read(state("Old.", "Middling.", "New."))
    assert base != judge.read(state("Old.", "Middle.", "Newer."))


def test_missing_rewards_teach_nothing_and_luck_is_left_out() -> None:
    events = events_of("train-0", 0, rewards=[0.25, None, 0.5])
    shown = Score(reward=0.25, raw=(2,), distribution=(0.0, 0.0, 0.0, 1.0, 0.0))
    events = [
        msgspec.structs.replace(event, score=shown) if isinstance(event, Transition) and event.turn == 1 else event
        for event in events
    ]
    found = list(lessons_of([build(events)]))
    assert [(lesson.reward, len(lesson.state.turns)) for lesson in found] == [(0.75, 1), (0.5, 3)]


def test_a_folder_is_read_back_and_a_damaged_one_refused(tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    sealed = save_distilled(folder, taught(), truth())
    assert sealed.weights_sha256
    found, weights = load_distilled(folder)
    assert found == sealed
    np.testing.assert_array_equal(weights, truth())
    with pytest.raises(InputError, match="is there already"):
        save_distilled(folder, taught(), truth())
    with pytest.raises(InputError, match="do not fit its encoder"):
        DistilledJudge(found, weights[1:], Hashed())  # type: ignore[arg-type]
    other = msgspec.structs.replace(found, encoder_sha256="of others")
    with pytest.raises(InputError, match="reads with an encoder of SHA-256 of others"):
        DistilledJudge(other, weights, Hashed())  # type: ignore[arg-type]
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        load_distilled(folder)
    (folder / META).write_text("{}")
    with pytest.raises(InputError, match=r"judge\.json cannot be read"):
        load_distilled(folder)
    with pytest.raises(InputError, match="holds no distilled judge"):
        load_distilled(tmp_path / "nowhere")


def test_it_is_named_where_its_rewards_are_shown_and_never_evaluates() -> None:
    plain, config = load_config(TINY), load_config(TINY, ["reward.distilled=/a/path/taught"])
    assert "reward by a model distilled from another judge's scores (taught)" in decisions_of(config)
    assert "evaluator scripted-world (another judge than the rewards')" in decisions_of(config)
    assert "distilled" not in decisions_of(plain)
    assert "reward" in plain.roles_in_use
    assert "reward" not in config.roles_in_use
    assert "evaluator" in config.roles_in_use
    real = ["models.default.backend=vllm", "models.default.model=m", "reward.distilled=/a/path/taught"]
    assert world_of(load_config(TINY, real)) == (
        "m as preference_reasoner, actor, seeker, evaluator; a distilled judge as reward"
    )
    for name in ("distilled", "/a/path/taught"):
        with pytest.raises(ConfigError, match="a distilled judge only rewards and never evaluates"):
            load_config(TINY, ["reward.distilled=/a/path/taught", f"roles.evaluator={name}"])
    assert "R^2 1.00" in taught().sentence
    assert "distilled from the scripted judge" in taught().sentence


def test_a_run_is_rewarded_by_it_from_one_command_to_the_next(forkery: Forkery, tmp_path: Path) -> None:
    # Some seconds of CPU: a teacher, its pupil and a replay, the whole way of the words from log to reward.
    teacher, judge, pupil = tmp_path / "teacher", tmp_path / "judge", tmp_path / "pupil"
    assert forkery.run("run", TINY, "--run-dir", teacher, *QUICK).poll() == 0
    made = forkery.run("distill-judge", teacher, "--out", judge)
    assert made.poll() == 0, made.errors()
    assert "Rewards by a model distilled from the scripted judge" in " ".join(made.output().split())

    own = ["--set", f"reward.distilled={judge}"]
    done = forkery.run("run", TINY, "--run-dir", pupil, *QUICK, *own)
    assert done.poll() == 0, done.errors()
    assert "distilled from the scripted judge" in " ".join(done.output().split())
    summary = msgspec.json.decode((pupil / "summary.json").read_bytes())
    assert any("never evaluates" in caution for caution in summary["cautions"])
    assert "reward" not in summary["tokens"]
    assert summary["tokens"]["evaluator"]["calls"] > 0
    scores = [t.score for episode in read_episodes(pupil / "episodes.jsonl") for t in episode.transitions]
    assert all(score.reward is not None and not score.raw for score in scores)
    assert len({score.reward for score in scores}) > 10

    copied = forkery.run("distill-judge", pupil, "--out", tmp_path / "copy")
    assert copied.poll() == 2
    assert "a copy of a copy is not made" in copied.errors()
    verified = forkery.run("replay", pupil, "--verify", "--quiet")
    assert verified.poll() == 0, verified.output() + verified.errors()

    # Another judge in the same place is another run, and so is none.
    (judge / META).write_bytes((judge / META).read_bytes() + b"\n")
    changed = forkery.run("resume", pupil, "--quiet")
    assert changed.poll() == 2
    assert "data files have changed since the run began: reward.distilled/judge.json" in changed.errors()
    # So is none at all.
    assert set(digests(load_config(TINY, [f"reward.distilled={judge}"]))) - set(digests(load_config(TINY))) == {
        "reward.distilled/judge.json",
        "reward.distilled/judge.safetensors",
    }
