"""Which policy version acts in which episode, and where the versions are kept.

Update u consumes episodes [uB, (u+1)B) and makes version u+1; episode e acts with version max(0, e // B - L). Both
depend on indices only, so a run's result never depends on timing. Versions that no unfinished episode can ask for are
dropped.
"""

from __future__ import annotations

import trio

from harness.core.seams import Policy


def acting_version(episode_index: int, batch_episodes: int, lag: int) -> int:
    """Version with which training episode ``episode_index`` (from 0) acts; ``lag`` in updates, 0 = on-policy."""
    return max(0, episode_index // batch_episodes - lag)


class PolicyVersions:
    """Published snapshots by version number. Published from the trio thread; `at` may be asked from any thread."""

    def __init__(self, lag: int = 0) -> None:
        self._lag = lag
        self._policies: dict[int, Policy] = {}
        self._published = trio.Event()

    @property
    def latest(self) -> int | None:
        """The highest version published so far."""
        return max(self._policies, default=None)

    def publish(self, version: int, policy: Policy) -> None:
        """Make a version known and drop those below ``version - lag``.

        When version v is published, episodes below v * B are finished, and the ones after act with v - lag or later.
        """
        if version in self._policies:
            raise ValueError(f"policy version {version} is already published")
        self._policies[version] = policy
        for old in [known for known in self._policies if known < version - self._lag]:
            del self._policies[old]
        published, self._published = self._published, trio.Event()
        published.set()

    def at(self, version: int) -> Policy:
        """The snapshot of a version; KeyError where it is not there yet or no longer."""
        try:
            return self._policies[version]
        except KeyError:
            held = ", ".join(str(known) for known in sorted(self._policies)) or "none"
            raise KeyError(f"policy version {version} is not held (held: {held})") from None

    async def wait_for(self, version: int) -> Policy:
        """The snapshot of a version, as soon as it is published."""
        while (latest := self.latest) is None or latest < version:
            await self._published.wait()
        return self.at(version)
