"""The learner's side of a run: warm-up, reinforcement, their checkpoints, and coming back to them after a stop.

Version -1 is the untrained planner, 0 the warmed-up one, u + 1 what update u made. Updates are a function of the log,
so a resumed run loads a checkpoint and sends the finished episodes through the learner again: the same weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import trio

from harness.app.console.progress import Progress
from harness.app.job.metricsfile import MetricsFile
from harness.app.job.session import Session
from harness.app.settings.config import Config
from harness.core.log.episode import Episode
from harness.core.log.loggedepisodes import LoggedEpisodes
from harness.core.messages import TRAIN, Dialogue, EpisodeStarted, Scenario
from learner.checkpoint import checkpoint_name, load_checkpoint, newest_checkpoint, save_checkpoint
from learner.health import UpdateReport
from learner.policy import TrainablePolicy
from learner.reinforce import reinforce
from learner.updates import Learner
from learner.versions import PolicyVersions, acting_version
from learner.warmup import warm_up

UNTRAINED = -1
WARMED_UP = 0
CHANNEL = 64
"""Finished episodes that may wait for the learner before conversations wait too (about a megabyte)."""


def learn_labels(
    planner: TrainablePolicy,
    dialogues: tuple[Dialogue, ...],
    validation: tuple[Dialogue, ...],
    config: Config,
    progress: Progress,
    metrics: MetricsFile,
) -> None:
    """The supervised stage (Eq. 6): trains ``planner`` in place, reports and says how well; blocks."""

    def show(what: str, done: int, total: int) -> None:
        trio.from_thread.check_cancelled()
        if done == 1:
            progress.begin(f"warm-up: {what}", total, unit="steps")
        progress.advance(done, total)

    report = warm_up(
        planner,
        dialogues,
        validation=validation,
        seed=config.run.seed,
        epochs=config.warmup.epochs,
        learning_rate=config.warmup.learning_rate,
        encoder_learning_rate=config.warmup.encoder_learning_rate,
        progress=show,
    )
    metrics.write("warmup", report)
    progress.say(
        f"warm-up: best epoch {report.best_epoch} of {len(report.epochs)}; on {report.validation.n} turns of "
        f"{report.validation_dialogues} held-out dialogues NLL {report.validation.nll:.3f} (majority "
        f"{report.majority.nll:.3f}), any-label accuracy {report.validation.any_label_accuracy:.3f} "
        f"(majority {report.majority.any_label_accuracy:.3f})"
    )


class Trainer:
    """Trains one planner in one session."""

    def __init__(
        self,
        session: Session,
        planner: TrainablePolicy,
        versions: PolicyVersions,
        checkpoints: Path,
        metrics: MetricsFile,
    ) -> None:
        self._session = session
        self._config = session.config
        self._planner = planner
        self._versions = versions
        self._checkpoints = checkpoints
        self._metrics = metrics

    @property
    def updates(self) -> int:
        """Updates of the whole run; the last may have fewer episodes than the others."""
        return -(-self._config.training_episodes // self._config.rl.batch_episodes)

    async def warm_up(self, dialogues: tuple[Dialogue, ...], validation: tuple[Dialogue, ...]) -> None:
        """Publish version 0: from its checkpoint, from ``planner.init``, or by supervised fine-tuning (Eq. 6)."""
        saved = self._checkpoints / checkpoint_name(WARMED_UP)
        source = Path(self._config.planner.init) if self._config.planner.init else None
        untold = self._metrics.lacks("warmup")  # of a checkpoint that is there: the metrics were lost
        if source is None and self._config.warmup.epochs and (untold or not saved.exists()):
            await trio.to_thread.run_sync(
                learn_labels, self._planner, dialogues, validation, self._config, self._session.progress, self._metrics
            )
        if saved.exists() or source is not None:
            load_checkpoint(saved if saved.exists() else source or saved).restore(self._planner)
        await trio.to_thread.run_sync(self._save, self._planner, WARMED_UP, None)
        self._versions.publish(WARMED_UP, self._planner.snapshot())

    async def reinforce(self, scenarios: tuple[Scenario, ...]) -> LoggedEpisodes:
        """Play all training scenarios and make all updates (Eq. 7); returns the training episodes."""
        config, versions = self._config.rl, self._versions
        jobs = self._session.jobs(
            TRAIN, scenarios, lambda index: acting_version(index, config.batch_episodes, config.policy_lag)
        )
        learner = self._learner(self._covered(jobs))

        async def admit(job: EpisodeStarted) -> None:
            await versions.wait_for(job.policy_version)

        async def updated(report: UpdateReport, snapshot: TrainablePolicy) -> None:
            # The metrics first: after a kill in between, the replay writes what is missing and no line twice.
            self._metrics.write("update", report)
            await trio.to_thread.run_sync(self._save, snapshot, report.version, learner)
            if report.refused:
                self._session.progress.say(f"update {report.version} was refused: {report.refused}")

        send, receive = trio.open_memory_channel[Episode](CHANNEL)
        known = self._session.finished
        # Episodes that the learner's version has used already are not read again.
        consumed = learner.version * config.batch_episodes
        finished = known.only(job.episode for job in jobs[consumed:] if known.has(job.episode))

        async def read_again() -> None:
            for episode in finished:
                await send.send(episode)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_again)
            nursery.start_soon(reinforce, receive, learner, versions, updated)
            episodes = await self._session.play(jobs, admit=admit, learned_from=send)
            await versions.wait_for(self.updates)
            nursery.cancel_scope.cancel()
        return episodes

    def _covered(self, jobs: Sequence[EpisodeStarted]) -> int:
        """The last version whose episodes the log holds; one that was cut or restored is older than checkpoints."""
        finished = 0
        while finished < len(jobs) and self._session.finished.has(jobs[finished].episode):
            finished += 1
        return self.updates if finished == len(jobs) else finished // self._config.rl.batch_episodes

    def _learner(self, covered: int) -> Learner:
        """The learner at the version from which every version that is still needed can be made again; at most the one
        that the log covers."""
        config = self._config.rl
        learner = Learner(
            self._planner,
            reference=self._planner.snapshot(),
            batch_episodes=config.batch_episodes,
            total_episodes=self._config.training_episodes,
            max_turns=self._config.conversation.max_turns,
            learning_rate=config.learning_rate,
            encoder_learning_rate=config.encoder_learning_rate,
            gamma=config.gamma,
            beta=config.entropy_coefficient,
            horizon=config.horizon,
            advantage=config.advantage,
            gae_lambda=config.gae_lambda,
            passes=config.passes,
            averaged=config.averaged,
            decay=config.decay,
        )
        newest = newest_checkpoint(self._checkpoints)
        reached = load_checkpoint(newest).meta.version if newest else WARMED_UP
        if reached > covered:
            self._session.progress.say(
                f"the log is older than the checkpoints: it holds what {covered} of their {reached} updates were made "
                f"from, so training goes on from version {covered}"
            )
            reached = covered
        # Unfinished episodes act with versions from reached - lag on: those in between are replayed, and published. So
        # are updates that the metrics do not tell of.
        told = next((v - 1 for v in range(1, reached + 1) if self._metrics.lacks("update", version=v)), reached)
        first = max(WARMED_UP, min(told, reached - config.policy_lag))
        start = newest_checkpoint(self._checkpoints, at_most=first)
        if start is not None and (checkpoint := load_checkpoint(start)).meta.version > WARMED_UP:
            checkpoint.restore_learner(learner)
            self._versions.publish(learner.version, self._planner.snapshot())
        return learner

    def _save(self, policy: TrainablePolicy, version: int, learner: Learner | None) -> None:
        save_checkpoint(
            self._checkpoints,
            policy,
            version=version,
            config_digest=self._config.digest,
            log_position=self._session.log.length,
            learner=learner.state() if learner else None,
        )
        # Kept: the warmed-up planner, and what a resume with this lag can ask for.
        for old in range(version - self._config.rl.policy_lag - 2, WARMED_UP, -1):
            folder = self._checkpoints / checkpoint_name(old)
            if not folder.exists():
                break
            shutil.rmtree(folder)
