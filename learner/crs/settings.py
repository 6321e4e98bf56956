"""How the systems are trained: plain values, made by whoever reads a config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.core.messages import Struct

SLOT = "<film>"
"""Stands for a film in responses; one token."""
PAPER: Mapping[str, tuple[str, ...]] = {
    "unicrs": ("roberta-base", "dialogpt-small"),
    "barcor": ("bart-base",),
}
"""What the names of a system's models have to hold for it to carry the paper's name."""


class Schedule(Struct, frozen=True, kw_only=True):
    """One stage."""

    epochs: int
    rate: float


class UniCRSSettings(Struct, frozen=True, kw_only=True):
    """Of UniCRS; the defaults are the paper's scripts'."""

    reader: str = "roberta-base"
    """Encoder of `harness.domain.text_encoder.load_encoder`."""
    speaker: str = "microsoft/DialoGPT-small"
    """A GPT-2; empty: a small one that is trained on the same dialogues first."""
    tokens: int = 200
    """Of a dialogue, for reader and speaker each; the newest stay."""
    nodes: int = 32
    """Of the nodes named, the last ones."""
    bases: int = 8
    soft_talk: int = 20
    soft_recommend: int = 10
    batch: int = 64
    language: Schedule = Schedule(epochs=0, rate=1e-3)
    """Of a small speaker's own language model; a pretrained one is frozen and has none."""
    align: Schedule = Schedule(epochs=5, rate=5e-4)
    talk: Schedule = Schedule(epochs=10, rate=1e-4)
    recommend: Schedule = Schedule(epochs=5, rate=1e-4)


class BARCORSettings(Struct, frozen=True, kw_only=True):
    """Of BARCOR."""

    model: str = "facebook/bart-base"
    """A BART; empty: small ones that are trained here."""
    tokens: int = 200
    batch: int = 64
    talk: Schedule = Schedule(epochs=5, rate=1e-4)
    recommend: Schedule = Schedule(epochs=5, rate=1e-4)


Settings = UniCRSSettings | BARCORSettings


def kind_of(settings: Settings) -> str:
    """``unicrs`` or ``barcor``."""
    return "unicrs" if isinstance(settings, UniCRSSettings) else "barcor"


def name_of(settings: Settings) -> str:
    """What tables call it: the paper's name on the paper's models, else with ``-lite``."""
    kind = kind_of(settings)
    named = (settings.reader, settings.speaker) if isinstance(settings, UniCRSSettings) else (settings.model,)
    is_paper = all(part in Path(name).name.lower() for part, name in zip(PAPER[kind], named, strict=True))
    return kind if is_paper else f"{kind}-lite"
