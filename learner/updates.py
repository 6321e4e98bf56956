"""One policy-gradient update from finished episodes (paper, Eq. 7 and 8).

A `Learner` is a function of the log: the same starting weights and the same episodes in the same order give the same
weights, to the last bit. That is what makes `resume` a replay (DESIGN section 3). Everything it needs is in the events:
states are the fold of an episode, the acting probabilities were logged with each decision. Left out: channels and time
(`learner.reinforce`), files (`learner.checkpoint`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from harness.core.log.episode import Episode
from learner.health import LearnedTurn, Step, UpdateReport, censored, describe
from learner.objective import policy_objective
from learner.optimizer import Optimizer, linear_decay
from learner.policy import TrainablePolicy
from learner.returns import Advantage, Horizon, Series, advantages, returns

NUMBERS_PACE = 10.0
"""How much faster RL learns from the state's few numbers than from its text. Adam moves every weight at one pace and
text has thirty times as many, so at one rate a head follows words long before it heeds what turn it is and what was
played. Trials on the scripted world (320 episodes, a bag of words in the encoder's place to be quick): the objective
went from 2.8 to 3.5 and 3.6 without it, to 3.9 with it; 1,008 episodes: 4.3 twice, and 4.8 and 4.4."""


class Learner:
    """Owns the policy that learns, its optimizer, and the number of updates made (``version``)."""

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
        gamma: float = 0.99,
        beta: float = 0.03,
        horizon: Horizon = "absorbing",
        advantage: Advantage = "turn",
        numbers_pace: float = NUMBERS_PACE,
        batched: bool = False,
    ) -> None:
        """``policy`` is trained in place. ``reference``: what the KL is measured to, the warm-up's snapshot.
        ``total_episodes``: of the whole training; where they are no multiple of ``batch_episodes`` the last update
        has fewer, and the learning rates' linear decay ends with it. ``numbers_pace``: what ``learning_rate`` is
        multiplied by for a head's weights on the state's numbers. ``batched``: faster and rounded differently, for
        a GPU; without it every ratio at lag 0 is exactly 1."""
        self.policy = policy
        self.version = 0
        self.batch_episodes = batch_episodes
        self.optimizer = Optimizer(
            policy,
            learning_rate=learning_rate,
            encoder_learning_rate=encoder_learning_rate,
            numbers_pace=numbers_pace,
        )
        self._reference = reference
        self.total_episodes = total_episodes
        self._total_updates = -(-total_episodes // batch_episodes)
        self._max_turns = max_turns
        self._gamma = gamma
        self._beta = beta
        self._horizon: Horizon = horizon
        self._advantage: Advantage = advantage
        self._batched = batched

    def update(self, episodes: Sequence[Episode]) -> UpdateReport:
        """Make the next version from the finished episodes that are its due (see `due`), in order; blocks.

        The version advances even where the step is refused, so that version numbers stay a function of the log.
        """
        expected = len(due(self.version, self.batch_episodes, self.total_episodes))
        if not episodes or len(episodes) != expected:
            raise ValueError(f"update {self.version} takes {expected} episodes, got {len(episodes)}")
        literal = [self._returns(episode, "literal") for episode in episodes]
        optimised = [self._returns(episode, self._horizon) for episode in episodes]
        turns = _turns(episodes, advantages(optimised, self._advantage))
        rate = linear_decay(self.version, self._total_updates)
        step = self._step(episodes, turns, rate)
        self.version += 1
        return describe(
            version=self.version,
            episodes=episodes,
            literal=literal,
            optimised=optimised,
            turns=turns,
            strategies=self.policy.strategies,
            step=step,
            rate=rate,
        )

    def _returns(self, episode: Episode, horizon: Horizon) -> Series:
        if episode.ended is None or censored(episode):
            return ()
        return returns(
            episode.rewards, gamma=self._gamma, horizon=horizon, stop=episode.ended.stop, max_turns=self._max_turns
        )

    def _step(self, episodes: Sequence[Episode], turns: Sequence[LearnedTurn], rate: float) -> Step:
        prepared = [self.policy.prepare(turn.state) for turn in turns]
        log_probs_NK = self.policy.log_probabilities(prepared, batched=self._batched)
        with torch.no_grad():
            reference_NK = self._reference.log_probabilities(prepared, batched=self._batched)
        rows = [row for row, turn in enumerate(turns) if turn.advantage is not None]
        if not rows:
            return Step(log_probs_NK, reference_NK, None, None, "no turn of this update has a return")
        decisions = [turns[row].decision for row in rows]
        objective = policy_objective(
            log_probs_NK[rows],
            torch.tensor([decision.index for decision in decisions], device=log_probs_NK.device),
            log_probs_NK.new_tensor([decision.probabilities[decision.index] for decision in decisions]),
            log_probs_NK.new_tensor([turns[row].advantage for row in rows]),
            beta=self._beta,
            normaliser=len(episodes) * self._max_turns,
        )
        norm = self.optimizer.step(objective.loss, rate=rate)
        refused = "the loss or a gradient is not finite" if norm is None else None
        return Step(log_probs_NK, reference_NK, objective, norm, refused)


def _turns(episodes: Sequence[Episode], advantages_ET: Sequence[Series]) -> list[LearnedTurn]:
    """All decisions of the episodes that are not censored, with their advantages."""
    return [
        LearnedTurn(state, transition.decision, advantage)
        for episode, series in zip(episodes, advantages_ET, strict=True)
        if not censored(episode)
        for state, transition, advantage in zip(episode.states(), episode.transitions, series, strict=False)
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
