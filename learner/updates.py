"""One update from finished episodes: a clipped actor-critic on the paper's Eq. 7 and 8.

A `Learner` is a function of the log: the same starting weights and the same episodes in the same order give the same
weights, to the last bit. That is why `resume` can replay them. Everything it needs is in the events: states follow from
an episode's turns, and the acting probabilities are logged with each decision. Begin reading at `Learner.update`. Left
out: channels and time (`learner.reinforce`), files (`learner.checkpoint`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from harness.core.log.episode import Episode
from learner.critic import Critic
from learner.gae import generalised_advantages
from learner.health import LearnedTurn, Step, UpdateReport, describe
from learner.optimizer import Optimizer, linear_decay
from learner.passes import Turns, climb
from learner.policy import TrainablePolicy
from learner.returns import Advantage, Horizon, Series, advantages, credited, discounted

Averaged = Literal["turns", "dialogues"]
Decay = Literal["none", "linear"]


class Learner:
    """Owns the policy that learns, its optimizer, its critic, and the number of updates made (``version``)."""

    def __init__(
        self,
        policy: TrainablePolicy,
        *,
        reference: TrainablePolicy,
        batch_episodes: int,
        total_episodes: int,
        max_turns: int,
        learning_rate: float,
        encoder_learning_rate: float | None = None,
        gamma: float,
        beta: float,
        horizon: Horizon,
        advantage: Advantage,
        gae_lambda: float,
        passes: int,
        averaged: Averaged,
        decay: Decay,
        batched: bool = False,
    ) -> None:
        """``policy`` is trained in place. ``reference``: what the KL is measured to, the warm-up's snapshot.
        ``total_episodes``: of the whole training; where they are no multiple of ``batch_episodes`` the last update
        has fewer. ``gae_lambda``: of the advantage ``critic`` alone. ``averaged`` and ``decay``: as the config's ``rl``
        has them. ``batched``: the first pass too is faster and rounded differently, for a GPU; without it every ratio
        of the first pass at lag 0 is exactly 1."""
        policy.learn_from_rewards()
        self.policy = policy
        self.version = 0
        self.batch_episodes = batch_episodes
        self.total_episodes = total_episodes
        self._updates = -(-total_episodes // batch_episodes)
        self.optimizer = Optimizer(policy, learning_rate=learning_rate, encoder_learning_rate=encoder_learning_rate)
        self.critic = Critic(policy.critic_inputs([]).shape[1])
        self._reference = reference
        self._max_turns = max_turns
        self._gamma = gamma
        self._beta = beta
        self._horizon: Horizon = horizon
        self._advantage: Advantage = advantage
        self._lambda = gae_lambda
        self._passes = passes
        self._averaged: Averaged = averaged
        self._decay: Decay = decay
        self._batched = batched

    def update(self, episodes: Sequence[Episode]) -> UpdateReport:
        """Make the next version from its finished episodes (see `due`), in order; blocks.

        The version advances even where the step is refused, so that version numbers stay a function of the log.
        """
        expected = len(due(self.version, self.batch_episodes, self.total_episodes))
        if not episodes or len(episodes) != expected:
            raise ValueError(f"update {self.version} takes {expected} episodes, got {len(episodes)}")
        rewards = [self._credited(episode, self._horizon) for episode in episodes]
        returns = [discounted(series, self._gamma) for series in rewards]
        prepared = [
            [self.policy.prepare(state) for state in episode.states()[: len(series)]]
            for episode, series in zip(episodes, rewards, strict=True)
        ]
        if self.version == 0:
            self.policy.fit_to_rewards([state for states in prepared for state in states])
        values = [self.critic.values(self.policy.critic_inputs(states)) for states in prepared]
        turns = _turns(episodes, prepared, returns, values, self._advantages(rewards, returns, values))
        step = self._step(turns, len(episodes))
        # After the step: the values of an update come from the episodes before it.
        self._teach_critic(turns, sum(bool(series) for series in rewards))
        self.version += 1
        return describe(
            version=self.version,
            episodes=episodes,
            literal=[discounted(self._credited(episode, "literal"), self._gamma) for episode in episodes],
            optimised=returns,
            turns=turns,
            strategies=self.policy.strategies,
            step=step,
        )

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint carries beside the policy, so that the next updates are the same to the last bit."""
        parts = {"optimizer": self.optimizer.state(), "critic": self.critic.state()}
        return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`, for a learner of the same policy."""
        parts: dict[str, dict[str, Tensor]] = {"optimizer": {}, "critic": {}}
        for key, tensor in state.items():
            part, name = key.split(".", 1)
            parts[part][name] = tensor
        self.optimizer.load_state(parts["optimizer"])
        self.critic.load_state(parts["critic"])

    def _credited(self, episode: Episode, horizon: Horizon) -> Series:
        if episode.ended is None or episode.failed:
            return ()
        return credited(
            episode.rewards, gamma=self._gamma, horizon=horizon, stop=episode.ended.stop, max_turns=self._max_turns
        )

    def _advantages(
        self, rewards: Sequence[Series], returns: Sequence[Series], values: Sequence[Sequence[float]]
    ) -> Sequence[Series]:
        if self._advantage != "critic":
            return advantages(returns, self._advantage)
        if not self.critic.ready:
            return advantages(returns, "turn")
        return [
            generalised_advantages(series, judged, gamma=self._gamma, lam=self._lambda)
            for series, judged in zip(rewards, values, strict=True)
        ]

    def _step(self, turns: Sequence[LearnedTurn], episodes: int) -> Step:
        prepared = [turn.prepared for turn in turns]
        log_probs_NK = self.policy.log_probabilities(prepared, batched=self._batched)
        with torch.no_grad():
            reference_NK = self._reference.log_probabilities(prepared, batched=self._batched)
        rows = [row for row, turn in enumerate(turns) if turn.advantage is not None]
        if not rows:
            return Step(log_probs_NK, reference_NK, None, "no turn of this update has a return")
        decisions = [turns[row].decision for row in rows]
        shares = None
        if self._averaged == "dialogues":
            of_dialogue = Counter(turns[row].dialogue for row in rows)
            shares = log_probs_NK.new_tensor([1.0 / (episodes * of_dialogue[turns[row].dialogue]) for row in rows])
        climbed = climb(
            self.policy,
            self.optimizer,
            log_probs_NK[rows],
            Turns(
                prepared=[prepared[row] for row in rows],
                actions_N=torch.tensor([decision.index for decision in decisions], device=log_probs_NK.device),
                acting_probs_N=log_probs_NK.new_tensor([d.probabilities[d.index] for d in decisions]),
                advantages_N=log_probs_NK.new_tensor([turns[row].advantage for row in rows]),
                entropy_shares_N=shares,
            ),
            passes=self._passes,
            beta=self._beta,
            normaliser=episodes * (1 if self._averaged == "dialogues" else self._max_turns),
            rate=linear_decay(self.version, self._updates) if self._decay == "linear" else 1.0,
        )
        return Step(log_probs_NK, reference_NK, climbed, None if climbed.passes else climbed.ended)

    def _teach_critic(self, turns: Sequence[LearnedTurn], episodes: int) -> None:
        known = [turn for turn in turns if turn.returned is not None]
        inputs_NF = self.policy.critic_inputs([turn.prepared for turn in known])
        self.critic.add(inputs_NF, [turn.returned for turn in known if turn.returned is not None], episodes)


def _turns(
    episodes: Sequence[Episode],
    prepared: Sequence[Sequence[Any]],
    returns: Sequence[Series],
    values: Sequence[Sequence[float]],
    advantages_ET: Sequence[Series],
) -> list[LearnedTurn]:
    """All decisions of the episodes that did not fail (decision 8), with what is known of each."""
    return [
        LearnedTurn(state, transition.decision, returned, value, advantage, episode.id)
        for episode, *series in zip(episodes, prepared, returns, values, advantages_ET, strict=True)
        if not episode.failed
        for transition, state, returned, value, advantage in zip(episode.transitions, *series, strict=True)
        if transition.decision is not None
    ]


def due(update: int, batch_episodes: int, total_episodes: int) -> range:
    """Indices of the episodes that an update consumes: [u * B, (u + 1) * B), cut at the last episode of all."""
    return range(update * batch_episodes, min((update + 1) * batch_episodes, total_episodes))


class Grouping:
    """Episodes in any order -> updates' episodes in episode order, from the learner's next update on."""

    def __init__(self, learner: Learner) -> None:
        self._batch, self._total = learner.batch_episodes, learner.total_episodes
        self._next = learner.version
        self._waiting: dict[int, Episode] = {}

    def add(self, episode: Episode) -> list[list[Episode]]:
        """Take a finished episode; the updates that have become complete, in order. Episodes of updates already made
        are ignored."""
        if episode.started.index >= self._next * self._batch:
            self._waiting[episode.started.index] = episode
        complete = []
        while (wanted := self._due()) and all(index in self._waiting for index in wanted):
            complete.append([self._waiting.pop(index) for index in wanted])
            self._next += 1
        return complete

    def _due(self) -> range:
        return due(self._next, self._batch, self._total)


def replay(learner: Learner, episodes: Iterable[Episode]) -> list[UpdateReport]:
    """All complete updates of finished training episodes, in any order, from ``learner.version`` on."""
    grouping = Grouping(learner)
    return [learner.update(batch) for episode in episodes for batch in grouping.add(episode)]
