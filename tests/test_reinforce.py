"""Updates from logged episodes, and the task that makes them."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
import trio
import trio.testing
from support.encoders import write_tiny_encoder
from support.experts import an_encoder_policy, learning
from support.logged import MAX_TURNS, episodes, play
from support.present import present

from harness.core.log.episode import Episode
from harness.core.messages import Event
from harness.domain.text_encoder import load_encoder
from learner.checkpoint import weights_hash
from learner.encoder_policy import EncoderPolicy
from learner.health import UpdateReport
from learner.policy import TrainablePolicy
from learner.reinforce import reinforce
from learner.returns import advantages, returns
from learner.tabular import TabularPolicy
from learner.updates import Grouping, Learner, replay
from learner.versions import PolicyVersions, acting_version

KEYS = ("opinion_inquiry", "credibility", "encouragement")
B = 4


def learner_of(policy: TrainablePolicy, **settings: Any) -> Learner:
    plain = {"batch_episodes": B, "total_episodes": 1000 * B, "max_turns": MAX_TURNS, "learning_rate": 0.05}
    return Learner(policy, reference=policy.snapshot(), **(plain | learning(**settings)))


def tiny_policy(tmp_path: Path, layers: int) -> EncoderPolicy:
    return an_encoder_policy(load_encoder(write_tiny_encoder(tmp_path / "tiny")), KEYS, trainable_layers=layers)


def train(policy: TrainablePolicy, updates: int, **settings: Any) -> list[UpdateReport]:
    learner = learner_of(policy, **settings)
    reports = []
    for u in range(updates):
        acting = policy.snapshot()
        reports.append(learner.update(episodes(acting, KEYS, range(u * B, (u + 1) * B), version=u)))
    return reports


def test_on_policy_updates_teach_the_rewarded_strategy() -> None:
    policy = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    reports = train(policy, 60)
    assert reports[0].reward_mean is not None
    assert reports[-1].reward_mean is not None
    assert reports[-1].reward_mean > reports[0].reward_mean + 0.3
    assert reports[-1].strategy_shares[KEYS[0]] > 0.6
    assert sum(reports[-1].strategy_shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("layers", [0, 2])
def test_an_encoder_learns_and_every_ratio_at_lag_0_is_exactly_1(tmp_path: Path, layers: int) -> None:
    reports = train(tiny_policy(tmp_path, layers), 12, encoder_learning_rate=1e-3)
    assert reports[-1].strategy_shares[KEYS[0]] > reports[0].strategy_shares[KEYS[0]] + 0.2
    for number, report in enumerate(reports, start=1):
        assert report.version == number
        assert report.effective_sample_size == report.rewarded_turns
        assert (report.lag, report.refused) == (0.0, None)
        assert (report.passes[0].kl, report.passes[0].clipped_share) == (0.0, 0.0)
        assert report.passes[0].effective_sample_size == report.rewarded_turns
    assert reports[0].kl_to_warmup == 0.0
    assert 0 < reports[-1].kl_to_warmup < 5  # type: ignore[operator]


def test_the_first_step_follows_the_plain_reinforce_gradient() -> None:
    policy = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    batch = episodes(policy, KEYS, range(B))
    expected = torch.zeros_like(policy.table)
    series = [
        returns(e.rewards, gamma=0.9, horizon="literal", stop=e.ended.stop, max_turns=MAX_TURNS)  # type: ignore[union-attr]
        for e in batch
    ]
    for episode, gains in zip(batch, advantages(series, "turn"), strict=True):
        for state, transition, gain in zip(episode.states(), episode.transitions, gains, strict=False):
            one_hot = torch.zeros(3, dtype=torch.float64)
            one_hot[transition.decision.index] = 1.0  # type: ignore[union-attr]
            expected[policy.prepare(state)] -= present(gain) * (one_hot - 1 / 3) / (B * MAX_TURNS)
    report = learner_of(policy, gamma=0.9, horizon="literal", advantage="turn", beta=0.0, passes=1).update(batch)
    assert policy.table.grad is not None
    torch.testing.assert_close(policy.table.grad, expected)  # below the clipping norm, so unclipped
    assert report.gradient_norm == pytest.approx(expected.norm().item())
    assert report.mean_return == pytest.approx(sum(s[0] for s in series) / B)  # type: ignore[misc]


def test_the_objective_can_be_recomputed_from_the_log_alone(tmp_path: Path) -> None:
    policy = tiny_policy(tmp_path, 0)
    train(policy, 3)
    acting = policy.snapshot()
    batch = episodes(acting, KEYS, range(B), version=3)
    # Only what the log holds: bytes of events; no policy.
    read = [msgspec.json.decode(msgspec.json.encode(episode), type=Episode) for episode in batch]
    report = learner_of(policy, beta=0.2).update(batch)
    gains = advantages(
        [
            returns(e.rewards, gamma=0.99, horizon="absorbing", stop=e.ended.stop, max_turns=MAX_TURNS)  # type: ignore[union-attr]
            for e in read
        ],
        "turn",
    )
    decisions = [t.decision for e in read for t in e.transitions if t.decision]
    policy_loss = -sum(gain for series in gains for gain in series if gain is not None) / (B * MAX_TURNS)
    bonus = sum(decision.entropy for decision in decisions) / (B * MAX_TURNS)
    assert report.policy_loss == pytest.approx(policy_loss)
    assert report.loss == pytest.approx(policy_loss - 0.2 * bonus)
    assert report.entropy == pytest.approx(sum(d.entropy for d in decisions) / len(decisions))
    again = [tuple(acting.distribution(s)) for e in read for s in e.states()[: len(e.transitions)]]
    assert again == [decision.probabilities for decision in decisions]


def test_censored_and_unrewarded_turns_teach_nothing_but_are_counted() -> None:
    policy = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    whole = episodes(policy, KEYS, range(2))
    batch = [
        *whole,
        *episodes(policy, KEYS, [2], error=True),
        *episodes(policy, KEYS, [3], missing=[2]),  # turns 1 and 2 have no return
    ]
    report = learner_of(policy).update(batch)
    assert (report.episodes, report.errors) == (4, 1)
    assert report.turns == 4 + 3 + 3
    assert report.rewarded_turns == 4 + 3 + 1
    assert report.missing_reward_share == pytest.approx(1 / 10)
    other = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    broken = msgspec.structs.replace(batch[2], transitions=())
    learner_of(other).update([*whole, broken, batch[3]])
    assert weights_hash(other) == weights_hash(policy)


def test_an_update_without_any_return_is_refused_and_still_counts() -> None:
    policy = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    before = weights_hash(policy)
    learner = learner_of(policy)
    report = learner.update(episodes(policy, KEYS, range(B), error=True))
    assert report.refused == "no turn of this update has a return"
    assert (report.loss, report.entropy, report.mean_return, report.lag) == (None, None, None, None)
    assert (learner.version, weights_hash(policy)) == (1, before)
    msgspec.json.encode(report)
    with pytest.raises(ValueError, match="update 1 takes 4 episodes, got 3"):
        learner.update(episodes(policy, KEYS, range(3)))


class Sick(TabularPolicy):
    """Its logits go wrong from one update to the next."""

    wrong = 0.0

    def log_probabilities(self, prepared: Any, *, batched: bool = False) -> torch.Tensor:
        return super().log_probabilities(prepared, batched=batched) + self.wrong


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_step_that_is_not_finite_is_refused_and_the_next_one_is_taken(wrong: float) -> None:
    policy = Sick(KEYS, max_turns=MAX_TURNS)
    acting = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    learner = learner_of(policy)
    learner.update(episodes(acting, KEYS, range(B)))
    good, moments = weights_hash(policy), {k: v.clone() for k, v in learner.optimizer.state().items()}
    policy.wrong = wrong
    report = learner.update(episodes(acting, KEYS, range(B, 2 * B), version=1))
    assert report.refused == "the loss or a gradient is not finite"
    assert report.version == learner.version == 2
    assert weights_hash(policy) == good
    assert all(torch.equal(moments[key], tensor) for key, tensor in learner.optimizer.state().items())
    assert b"NaN" not in msgspec.json.encode(report)
    policy.wrong = 0.0
    assert learner.update(episodes(acting, KEYS, range(2 * B, 3 * B), version=2)).refused is None
    assert weights_hash(policy) != good


def test_the_last_update_takes_what_is_left() -> None:
    policy = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    learner = learner_of(policy, total_episodes=B + 1)
    reports = replay(learner, reversed(episodes(policy.snapshot(), KEYS, range(B + 3))))
    assert [report.episodes for report in reports] == [B, 1]
    with pytest.raises(ValueError, match="takes 0 episodes"):
        learner.update([])


def test_beta_keeps_entropy() -> None:
    plain, regularised = (TabularPolicy(KEYS, max_turns=MAX_TURNS) for _ in range(2))
    without, with_beta = train(plain, 50, beta=0.0)[-1], train(regularised, 50, beta=0.5)[-1]
    assert with_beta.entropy > without.entropy + 0.1  # type: ignore[operator]


def test_the_critic_takes_over_when_it_has_seen_enough_and_never_saw_what_it_judges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("learner.critic.READY_EPISODES", 2 * B)
    policies = [TabularPolicy(KEYS, max_turns=MAX_TURNS) for _ in range(3)]
    wishes: list[dict[str, Any]] = [{}, {"advantage": "turn"}, {"passes": 1}]
    critic, turn, one_pass = (learner_of(policy, **settings) for policy, settings in zip(policies, wishes, strict=True))
    acting = policies[0].snapshot()
    for u in range(2):  # cold: the other episodes at the same turn
        batch = episodes(acting, KEYS, range(u * B, (u + 1) * B))
        reports = [learner.update(batch) for learner in (critic, turn, one_pass)]
        assert weights_hash(policies[0]) == weights_hash(policies[1]) != weights_hash(policies[2])
        assert [len(report.passes) for report in reports] == [8, 8, 1]
        assert reports[0].critic_loss == reports[2].critic_loss
    batch = episodes(acting, KEYS, range(2 * B, 3 * B))
    before = critic.critic.values(acting.critic_inputs([acting.prepare(e.states()[0]) for e in batch]))
    report = critic.update(batch)
    turn.update(batch)
    assert weights_hash(policies[0]) != weights_hash(policies[1])
    first = [returns(e.rewards, gamma=0.99, horizon="absorbing", stop=e.ended.stop, max_turns=MAX_TURNS) for e in batch]  # type: ignore[union-attr]
    assert all(value != 0.0 for value in before)
    assert report.critic_loss is not None
    assert report.explained_variance is not None
    assert report.explained_variance < 1.0
    assert report.advantage_spread < statistics.pstdev(r for series in first for r in series if r is not None)  # type: ignore[operator]


def test_missing_rewards_are_counted_by_stop_cause() -> None:
    policy = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    batch = [
        *episodes(policy, KEYS, [0], missing=[3]),  # of 4 turns, by the turn limit
        *episodes(policy, KEYS, [1, 3], missing=[1]),  # of 3 turns, by the judge
        *episodes(policy, KEYS, [2], error=True),
    ]
    assert learner_of(policy).update(batch).turns_without_return == {"turns": 3, "judge": 2}


def test_grouping_gives_whole_updates_in_episode_order() -> None:
    policy = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    played = episodes(policy, KEYS, range(11))
    random.Random(3).shuffle(played)
    learner = learner_of(policy, batch_episodes=3)
    learner.version = 1
    grouping = Grouping(learner)
    batches = [[e.started.index for e in batch] for episode in played for batch in grouping.add(episode)]
    assert batches == [[3, 4, 5], [6, 7, 8]]


def world(lag: int, updates: int) -> tuple[list[list[Event]], str]:
    """A strict run: events of every episode with its due version, and the hash of the weights at the end."""
    policy = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    learner = learner_of(policy)
    snapshots, events = [policy.snapshot()], []
    for u in range(updates):
        batch = []
        for index in range(u * B, (u + 1) * B):
            version = acting_version(index, B, lag)
            events.append(play(snapshots[version], KEYS, index, version=version, error=index == 5))
            batch.append(events[-1])
        learner.update([_episode(one) for one in batch])
        snapshots.append(policy.snapshot())
    return events, weights_hash(policy)


def _episode(events: list[Event]) -> Episode:
    from harness.core.log.episode import build

    return build(events)


async def inline(function: Callable[[], Any]) -> Any:
    await trio.lowlevel.checkpoint()
    return function()


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_replaying_the_log_gives_the_same_weights_from_any_version_on(
    lag: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learner.critic.READY_EPISODES", 2 * B)
    events, expected = world(lag, 6)
    played = [_episode(one) for one in events]
    whole = learner_of(TabularPolicy(KEYS, max_turns=MAX_TURNS))
    reports = replay(whole, reversed(played))
    assert [report.version for report in reports] == [1, 2, 3, 4, 5, 6]
    assert weights_hash(whole.policy) == expected
    assert reports[5].lag == lag
    # Interrupted after update 4: weights, moments, critic and version are all that a checkpoint has to carry.
    first = learner_of(TabularPolicy(KEYS, max_turns=MAX_TURNS))
    replay(first, played[: 4 * B])
    resumed = learner_of(TabularPolicy(KEYS, max_turns=MAX_TURNS))
    resumed.policy.load_weights(first.policy.weights())
    resumed.load_state({name: tensor.clone() for name, tensor in first.state().items()})
    resumed.version = first.version
    assert replay(resumed, played) == reports[4:]
    assert weights_hash(resumed.policy) == expected


def test_lagged_updates_report_their_ratios() -> None:
    events, _ = world(3, 8)
    reports = replay(learner_of(TabularPolicy(KEYS, max_turns=MAX_TURNS)), [_episode(one) for one in events])
    assert reports[-1].effective_sample_size is not None
    assert reports[-1].effective_sample_size < reports[-1].rewarded_turns


@pytest.mark.parametrize("seed", range(4))
def test_the_task_makes_the_same_versions_in_whatever_order_episodes_arrive(seed: int) -> None:
    events, expected = world(1, 5)
    policy = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    learner, versions, told = learner_of(policy), PolicyVersions(lag=1), []
    versions.publish(0, policy.snapshot())

    async def on_update(report: UpdateReport, snapshot: TrainablePolicy) -> None:
        assert versions.at(report.version) is snapshot
        told.append((report.version, weights_hash(snapshot)))

    async def main() -> None:
        send, receive = trio.open_memory_channel[Episode](8)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: reinforce(receive, learner, versions, on_update, run_sync=inline))
            async with send:
                live, draw = [_episode(one) for one in events], random.Random(seed)
                while live:
                    await send.send(live.pop(draw.randrange(min(9, len(live)))))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [version for version, _ in told] == [1, 2, 3, 4, 5]
    assert told[-1][1] == expected
    assert versions.latest == 5


def test_updates_run_in_a_worker_thread_by_default() -> None:
    policy = TabularPolicy(KEYS, max_turns=MAX_TURNS)
    events, expected = world(0, 1)
    versions = PolicyVersions()
    versions.publish(0, policy.snapshot())

    async def on_update(report: UpdateReport, snapshot: TrainablePolicy) -> None:
        assert weights_hash(snapshot) == expected

    async def main() -> None:
        send, receive = trio.open_memory_channel[Episode](math.inf)
        async with send:
            for one in events:
                send.send_nowait(_episode(one))
        await reinforce(receive, learner_of(policy), versions, on_update)

    trio.run(main)
    assert versions.latest == 1
