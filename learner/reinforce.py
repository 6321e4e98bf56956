"""The RL task: finished episodes in, policy versions out.

    receive -> group B of them in episode order -> update in a worker thread -> publish -> tell

An episode comes once it is on disk, so an update never knows more than the log does. Episodes end in any order; updates
do not. Left out: the update itself (`learner.updates`), checkpoints (the callback's affair).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from harness.core.lane import RunSync
from harness.core.log.episode import Episode
from learner.health import UpdateReport
from learner.policy import TrainablePolicy
from learner.updates import Grouping, Learner
from learner.versions import PolicyVersions


async def reinforce(
    episodes: trio.MemoryReceiveChannel[Episode],
    learner: Learner,
    versions: PolicyVersions,
    on_update: Callable[[UpdateReport, TrainablePolicy], Awaitable[None]],
    *,
    run_sync: RunSync = trio.to_thread.run_sync,
) -> None:
    """Update ``learner`` until ``episodes`` (of the training phase) ends; those short of a whole update are left.

    ``versions`` must hold ``learner.version`` already. ``on_update`` gets the report and the snapshot that was
    published. Episodes of updates already made are skipped, so a resumed run may send all that it finished.
    A cancellation waits for the update under way.
    """
    grouping = Grouping(learner)
    async for episode in episodes:
        for batch in grouping.add(episode):
            report, snapshot = await run_sync(partial(_update, learner, batch))
            versions.publish(report.version, snapshot)
            await on_update(report, snapshot)


def _update(learner: Learner, batch: list[Episode]) -> tuple[UpdateReport, TrainablePolicy]:
    return learner.update(batch), learner.policy.snapshot()
