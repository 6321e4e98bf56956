"""The gymnasium environment: the interface as gymnasium checks it, and the simulator's own meaning behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gymnasium.utils.env_checker import check_env
from support.rundirs import TINY

from harness.core.messages import EpisodeStarted, Transition
from harness.gym import CRSPlannerEnv


@pytest.fixture(scope="module")
def env() -> Iterator[CRSPlannerEnv]:
    env = CRSPlannerEnv(TINY, render_mode="ansi")
    yield env
    env.close()


def test_it_passes_gymnasiums_check(env: CRSPlannerEnv) -> None:
    check_env(env, skip_render_check=True, skip_close_check=True)


def test_the_action_is_the_strategy_of_the_turn(env: CRSPlannerEnv) -> None:
    text, _ = env.reset(seed=1)
    assert text.startswith("turn 1 of 4 | seeker: ")
    actions = [env.strategies.index(name) for name in ("opinion_inquiry", "credibility", "similarity", "offer_help")]
    rewards = []
    for number, action in enumerate(actions, start=1):
        text, reward, terminated, truncated, info = env.step(action)
        rewards.append(reward)
        assert info["turn"] == number
        if terminated or truncated:
            break
    played = [event for event in env.events if isinstance(event, Transition)]
    assert [turn.decision.index for turn in played if turn.decision] == actions[: len(played)]
    if not terminated:
        assert rewards == [turn.score.reward for turn in played]
        assert info["stop"] == "turns"
    assert "recommender (opinion_inquiry): " in env.render()
    with pytest.raises(RuntimeError, match="call reset before step"):
        env.step(0)


def test_a_seed_gives_the_same_conversation(env: CRSPlannerEnv) -> None:
    seen = []
    for _ in range(2):
        first, _ = env.reset(seed=7)
        seen.append((first, env.step(5)[:4]))
    assert seen[0] == seen[1]
    assert env.reset(seed=8)[0] != seen[0][0] or env.step(5)[0] != seen[0][1][0]


def test_a_scenario_can_be_asked_for(env: CRSPlannerEnv) -> None:
    env.reset(seed=1, options={"scenario": 2})
    [started] = [event for event in env.events if isinstance(event, EpisodeStarted)]
    assert started.scenario.id == "train-000002"


def test_success_is_credited_for_the_turns_it_made_needless() -> None:
    easy = CRSPlannerEnv(TINY, overrides=["reward.threshold=0.0", "rl.gamma=1.0"])
    try:
        easy.reset(seed=3)
        _, reward, terminated, truncated, info = easy.step(easy.strategies.index("opinion_inquiry"))
        [turn] = [event for event in easy.events if isinstance(event, Transition)]
        assert (terminated, truncated, info["stop"]) == (True, False, "judge")
        assert turn.score.reward is not None
        assert reward == pytest.approx(4 * turn.score.reward)
    finally:
        easy.close()


def test_wrong_actions_are_refused(env: CRSPlannerEnv) -> None:
    env.reset(seed=1)
    with pytest.raises(ValueError, match="is not in Discrete"):
        env.step(99)
