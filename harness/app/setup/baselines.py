"""The systems that RSO is compared with, by the name that a comparison file calls them; importing it loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from experts.baselines.asking import Search
from experts.baselines.intercrs import InterCRS
from experts.baselines.pccrs import PCCRS
from experts.baselines.prompted import PromptedCRS
from harness.core.seams import ChatModel, Recommender


class Baseline(Protocol):
    """How a system to compare with is built. Its model is the actor's."""

    def __call__(self, model: ChatModel, search: Search, *, temperature: float, max_tokens: int) -> Recommender: ...


BASELINES: Mapping[str, Baseline] = {"prompted": PromptedCRS, "intercrs": InterCRS, "pccrs": PCCRS}
