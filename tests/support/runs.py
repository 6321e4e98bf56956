"""Small runs as children against a scripted server with faults, and what their directories hold afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.core.log.episode import Episode
from harness.core.log.loggedepisodes import read_episodes
from learner.checkpoint import load_checkpoint, newest_checkpoint
from support.forked import ROOT, Child, Forkery
from support.world import World

TINY = ROOT / "experiments" / "tiny.toml"
SMALL = {
    "planner.kind": "tabular",
    "warmup.epochs": 1,
    "conversation.max_turns": 3,
    "evaluation.dialogues": 4,
    "models.default.retry_s": 20,
    "models.default.timeout_s": 20,
}
"""Twenty conversations of three turns; everything but reading."""
EPISODES = 3 * 4 + 8


class Runs:
    """Starts runs of one small experiment under a folder."""

    def __init__(self, forkery: Forkery, world: World, folder: Path) -> None:
        self.forkery = forkery
        self.world = world
        self.folder = folder

    def options(self, **keys: Any) -> list[str]:
        """``--set`` options; ``__`` in a name stands for the dot."""
        wanted = SMALL | {"models.default.base_url": self.world.base_url}
        wanted |= {name.replace("__", "."): value for name, value in keys.items()}
        return [part for name, value in wanted.items() for part in ("--set", f"{name}={_toml(value)}")]

    def start(self, name: str, **how: Any) -> Child:
        """A new run in the directory ``name``; keys of the config, and what `Forkery.start` takes."""
        child, keys = _split(how)
        return self.forkery.start(
            "run", TINY, "--run-dir", self.folder / name, "--quiet", *self.options(**keys), **child
        )

    def resume(self, name: str, **how: Any) -> Child:
        """Go on with a run."""
        child, keys = _split(how)
        options = [
            part for key, value in keys.items() for part in ("--set", f"{key.replace('__', '.')}={_toml(value)}")
        ]
        return self.forkery.start("resume", self.folder / name, "--quiet", *options, **child)

    def run(self, name: str, **how: Any) -> Past:
        """A new run that has ended with exit code 0."""
        child = self.start(name, **how)
        assert child.wait() == 0, child.said()
        return self.past(name)

    def go_on(self, name: str, **how: Any) -> Past:
        """A resumed run that has ended with exit code 0."""
        child = self.resume(name, **how)
        assert child.wait() == 0, child.said()
        return self.past(name)

    def past(self, name: str) -> Past:
        return Past(self.folder / name)


class Past:
    """What a run directory holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def episodes(self) -> Sequence[Episode]:
        path = self.folder / "episodes.jsonl"
        return read_episodes(path) if path.exists() else ()

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode((self.folder / "summary.json").read_bytes())
        return found

    @property
    def digest(self) -> str:
        return str(self.summary["digest"])

    @property
    def weights(self) -> str:
        newest = newest_checkpoint(self.folder / "checkpoints")
        assert newest is not None
        return load_checkpoint(newest).meta.weights_hash

    @property
    def version(self) -> int:
        newest = newest_checkpoint(self.folder / "checkpoints")
        return load_checkpoint(newest).meta.version if newest else -1

    def failures(self) -> dict[str, tuple[str, str]]:
        """Episode -> (kind, message) of those that failed."""
        return {
            episode.id: (episode.ended.failure.kind, episode.ended.failure.message)
            for episode in self.episodes
            if episode.ended is not None and episode.ended.failure is not None
        }

    def log(self) -> str:
        return (self.folder / "logs" / "harness.jsonl").read_text()

    def lines(self) -> int:
        path = self.folder / "episodes.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def finished(self) -> list[str]:
        """Ids of all finished episodes, in the order of their ends, one for each `episode_ended` line."""
        path = self.folder / "episodes.jsonl"
        if not path.exists():
            return []
        whole = path.read_bytes().split(b"\n")[:-1]
        return [msgspec.json.decode(line)["episode"] for line in whole if b'"type":"episode_ended"' in line[:40]]


def _split(how: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    child: dict[str, Any] = {key: how.pop(key) for key in ("sabotage", "env", "file_bytes") if key in how}
    return child, how


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
