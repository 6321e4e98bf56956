"""The judge read exactly from one decode step, over ten sampled replies: seconds and means on a real server.

States are written dialogues of `fixtures/`, each with a seed of its own. A ``multinomial`` reading comes first and
warms the prompt's prefix for the two that are timed, which take turns in going first. A mean over states is called
equal when it is within three standard errors of the paired differences.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

from benchmarks.measure import Bench, Goal, Result, median, spread
from experts.reward import RewardExpert, RewardMode
from harness.app.settings.config import Model
from harness.app.setup.wiring import client_of
from harness.core.messages import State, Struct
from harness.core.model.llm import OpenAIChat
from harness.domain.strategies import strategy_set
from simulator.datasets.inspired import InspiredDataset

_FIXTURE = Path(__file__).parents[1] / "fixtures" / "inspired_synthetic.tsv"
_MODES: tuple[RewardMode, ...] = ("samples", "multinomial", "expected")


class Readings(Struct, frozen=True, kw_only=True):
    """Of the same states in three ways."""

    seconds: dict[str, list[float]]
    """Of ``samples`` and ``expected``."""
    rewards: dict[str, list[float]]
    masses: list[float]
    """Probability of any label before normalising."""

    @property
    def ratio(self) -> float:
        """Median seconds of ``expected`` over those of ``samples``."""
        return median(self.seconds["expected"]) / median(self.seconds["samples"])

    def gap(self, mode: str) -> tuple[float, float]:
        """(Mean of the mode's rewards less the exact ones, its standard error)."""
        gaps = [drawn - exact for drawn, exact in zip(self.rewards[mode], self.rewards["expected"], strict=True)]
        return statistics.mean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))


def human_states(count: int) -> list[State]:
    """States of written dialogues, the seeker's message last."""
    dialogues = InspiredDataset(_FIXTURE, strategies=strategy_set("rso13"), skip_bad=0, max_turns=10).dialogues()
    states = [turn.state for dialogue in dialogues for turn in dialogue.labelled_turns if len(turn.state.turns) >= 2]
    # Each with luck of its own: states of a dataset share one seed, and sixty draws with the same luck are one.
    spaced = states[:: len(states) // count][:count]
    return [msgspec.structs.replace(state, seed=number) for number, state in enumerate(spaced)]


async def read_three_ways(chat: OpenAIChat, states: Sequence[State]) -> Readings:
    """Every state by every mode, one call at a time; raises where a reading is missing or invalid."""
    seconds: dict[str, list[float]] = {"samples": [], "expected": []}
    rewards: dict[str, list[float]] = {mode: [] for mode in _MODES}
    masses: list[float] = []
    judges = {
        mode: RewardExpert(chat, role="reward", mode=mode, samples=10, quorum=5, temperature=1.0, mass_floor=0.05)
        for mode in _MODES
    }
    for number, state in enumerate(states):
        for mode in ("multinomial", *(("samples", "expected") if number % 2 else ("expected", "samples"))):
            began = time.perf_counter()
            score = await judges[mode].score(state)
            if mode in seconds:
                seconds[mode].append(time.perf_counter() - began)
            if score.reward is None or score.invalid:
                raise RuntimeError(f"the judge's reading by {mode} is missing or invalid: {score}")
            rewards[mode].append(score.reward)
            if mode == "multinomial" and score.label_mass is not None:
                masses.append(score.label_mass)
    return Readings(seconds=seconds, rewards=rewards, masses=masses)


def run(bench: Bench, base_url: str) -> Result:
    """Sixty states."""
    began = time.perf_counter()

    async def main() -> Readings:
        async with client_of("smollm2", Model(model="smollm2"), base_url) as chat:
            return await read_three_ways(chat, human_states(3 if bench.tiny else 60))

    found = trio.run(main)
    gap, error = found.gap("samples")
    return Result(
        name="reward",
        title="Reward: the exact read over ten samples",
        columns=("how", "median s (range)", "mean reward"),
        rows=(
            ("n = 10", spread(found.seconds["samples"], 3), statistics.mean(found.rewards["samples"])),
            ("exact", spread(found.seconds["expected"], 3), statistics.mean(found.rewards["expected"])),
        ),
        goals=(
            Goal(what="time, exact over n = 10", figure=found.ratio, bound=0.55, kind="at most"),
            Goal(
                what="difference of means in standard errors",
                figure=abs(gap) / error if error else 0.0,
                bound=3.0,
                kind="at most",
            ),
        ),
        notes=(f"Label mass: least {min(found.masses):.2f}, median {median(found.masses):.2f}.",),
        limit="one call at a time on an idle server; side by side, n = 10 also takes ten of the server's places.",
        seconds=time.perf_counter() - began,
    )
