"""The paper's own figures, as printed, for scale beside ours: facts of arXiv 2509.26093, one TSV a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.resources import files

SOURCE = "Zhao et al., Reinforced Strategy Optimization for Conversational Recommender Systems, arXiv 2509.26093"
CORPORA = ("INSPIRED", "REDIAL")
"""As the paper names them."""
SYSTEMS = ("UniCRS", "BARCOR", "QwenCRS", "LlamaCRS", "InterCRS", "PCCRS", "RSO")
"""Rows of Tables III to V, in its order."""


def read(table: str) -> list[dict[str, str]]:
    """The lines of a table (``table2`` to ``table5``, ``ablations``)."""
    text = (files(__name__) / f"{table}.tsv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


def by_system(table: str) -> Mapping[tuple[str, str], Mapping[str, str]]:
    """(system, corpus) -> heading -> what is printed."""
    return {(line["system"], line.get("dataset", "")): line for line in read(table)}
