"""Settings for all tests (hypothesis judges properties, never this machine's speed), and what many files share.

Only tests marked ``gpu`` see one: the others know digests of the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from support.forked import Forkery
from support.world import World

settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")


def pytest_configure(config: pytest.Config) -> None:
    if "gpu" not in config.getoption("-m").replace("not gpu", ""):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session")
def forkery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forkery]:
    """One warm process for all files: it takes four seconds of a processor to get warm."""
    with Forkery(tmp_path_factory.mktemp("children")) as forkery:
        yield forkery


@pytest.fixture(scope="module")
def shared_world() -> Iterator[World]:
    """A scripted server with faults; who sets faults takes them back."""
    world = World()
    yield world
    world.die()
