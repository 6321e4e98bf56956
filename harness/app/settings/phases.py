"""The phases of a run: their names in the log, their titles, and their order."""

from __future__ import annotations

from typing import Literal

from harness.core.messages import TRAIN

Phase = Literal["before", "warmup", "rl"]
"""The evaluations; training is the fourth phase."""

PHASE_TITLES = {"before": "before warm-up", "warmup": "after warm-up (SFT)", TRAIN: "RL training", "rl": "after RL"}
"""In the order in which a run goes through them."""


def phase_title(phase: str) -> str:
    """How a phase is called; its name where it is none of these."""
    return PHASE_TITLES.get(phase, phase)
