"""The systems that RSO is compared with, by the name that a comparison file calls them; importing it loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from experts.baselines.asking import Search
from experts.baselines.intercrs import InterCRS
from experts.baselines.pccrs import PCCRS
from experts.baselines.prompted import PromptedCRS
from harness.app.setup.trained import TRAINED
from harness.core.seams import ChatModel, Recommender
from harness.domain.knowledge_graph import KnowledgeGraph


class Baseline(Protocol):
    """How a system to compare with is built. Its model is the actor's; the graph tells which films it has named."""

    def __call__(
        self, model: ChatModel, search: Search, graph: KnowledgeGraph, *, temperature: float, max_tokens: int
    ) -> Recommender: ...


BASELINES: Mapping[str, Baseline] = {"prompted": PromptedCRS, "intercrs": InterCRS, "pccrs": PCCRS}

SYSTEMS = (*BASELINES, *TRAINED)
"""All systems that RSO is compared with."""

DIFFERS: Mapping[str, str] = {
    "prompted": "one prompt with the dialogue; films come from the model's memory, unchecked; the two example messages "
    "are ours; R@k is the shared retriever's, which the model never sees",
    "intercrs": "iEvaLM's chat: it asks, or lists ten films from the model's memory, unchecked (the paper's table "
    "cites another work than its text; PC-CRS's own ChatGPT system with five candidates is the other reading); our "
    "wording and decoding; R@k is the shared retriever's, which the model never sees",
    "pccrs": "PC-CRS: five candidates, two of six strategies, a critic on what was opened; our wording, JSON in place "
    "of marks, a critic at temperature 0; our graphs have no ratings or reviews for social proof",
    "unicrs": "trained on human dialogues; -lite: a small speaker, trained here on the same dialogues, in place of "
    "DialoGPT, and MiniLM in place of RoBERTa; padding is masked and the slot learns; it never sees the goal",
    "barcor": "trained on human dialogues, after iEvaLM's port (the authors' code was not to be had); -lite: small "
    "models that are trained here in place of BART; it never sees the goal",
    "unicrs+copy": "unicrs mixed with a copy of named films, which no paper has",
    "barcor+copy": "barcor mixed with a copy of named films, which no paper has",
}
"""By the same names: how a system differs from its source, for the note below a comparison's tables."""

CALLS_A_TURN: Mapping[str, int] = {"prompted": 1, "intercrs": 1, "pccrs": 3}
"""By the same names: about how many calls of its model a turn takes, for estimates. PCCRS's explanations take four (a
pick, strategies, a text, a critic), its other turns one."""
