"""Which version acts when, and waiting for it."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from harness.core.messages import State
from learner.versions import PolicyVersions, acting_version


class Marked:
    """A policy that is recognised by its number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def distribution(self, state: State) -> tuple[float, ...]:
        return (1.0,)


@given(st.integers(0, 5000), st.integers(1, 64), st.integers(0, 20))
def test_an_episode_acts_with_what_the_updates_before_it_by_lag_have_made(episode: int, batch: int, lag: int) -> None:
    version = acting_version(episode, batch, lag)
    # Version v exists after update v - 1, which consumed episodes below v * batch.
    assert version * batch <= max(0, episode - lag * batch)
    assert acting_version(episode, batch, 0) == episode // batch


@pytest.mark.parametrize("lag", [0, 1, 4])
def test_every_version_that_an_unfinished_episode_can_ask_for_is_held(lag: int) -> None:
    batch, versions = 3, PolicyVersions(lag)
    for version in range(10):
        versions.publish(version, Marked(version))
        for episode in range(version * batch, (version + 1) * batch):
            policy = versions.at(acting_version(episode, batch, lag))
            assert isinstance(policy, Marked)
            assert policy.number == max(0, version - lag)
        assert versions.latest == version
    with pytest.raises(KeyError, match="version 0 is not held"):
        versions.at(0)


def test_a_version_is_published_once() -> None:
    versions = PolicyVersions()
    versions.publish(0, Marked(0))
    with pytest.raises(ValueError, match="version 0 is already published"):
        versions.publish(0, Marked(0))


def test_waiters_wake_when_their_version_is_published_and_not_before(autojump_clock: trio.testing.MockClock) -> None:
    async def main() -> None:
        versions, woken = PolicyVersions(lag=2), []

        async def wait(version: int) -> None:
            policy = await versions.wait_for(version)
            assert isinstance(policy, Marked)
            woken.append((version, policy.number))

        async with trio.open_nursery() as nursery:
            for version in (2, 0, 1):
                nursery.start_soon(wait, version)
            for version in range(3):
                await trio.testing.wait_all_tasks_blocked()
                assert woken == [(known, known) for known in range(version)]
                versions.publish(version, Marked(version))

    trio.run(main, clock=autojump_clock)


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)
