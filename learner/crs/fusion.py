"""Knowledge and words in one prompt: node vectors, token states, and the bilinear fusion of both (UniCRS, section 4.1).

All vectors end in the speaker's width H. Where the number of nodes or tokens differs inside a batch, a mask says which
are there, so a dialogue's prompt does not depend on the others.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from harness.domain.entities import Entities
from learner.crs.rgcn import RelationalLayer


class Bottleneck(nn.Module):
    """x + W2 relu(W1 x), half as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, width // 2), nn.Linear(width // 2, width)

    def forward(self, x: Tensor) -> Tensor:
        moved: Tensor = self.up(torch.relu(self.down(x)))
        return x + moved


class NodeVectors(nn.Module):
    """A vector of the speaker's width for each node, and one more for "nothing was named"."""

    def __init__(self, entities: Entities, width: int, bases: int) -> None:
        super().__init__()
        inner = width // 2
        self.nothing = len(entities)
        """The row that stands for no node."""
        rows = len(entities) + 1
        self.table = nn.Parameter(torch.empty(rows, inner).uniform_(-1.0, 1.0) * math.sqrt(6.0 / (rows + inner)))
        self.graph = RelationalLayer(entities, rows, inner, bases)
        self.refine = Bottleneck(inner)
        self.widen = nn.Linear(inner, width)

    def forward(self) -> Tensor:
        """(nodes + 1, H)."""
        vectors: Tensor = self.widen(self.refine(self.graph(self.table) + self.table))
        return vectors


class Fusion(nn.Module):
    """Joins token states with node vectors by the affinity tokens C nodes^T / H."""

    def __init__(self, reader_width: int, width: int) -> None:
        super().__init__()
        self.refine = Bottleneck(reader_width)
        self.widen = nn.Linear(reader_width, width)
        self.affinity = nn.Linear(width, width, bias=False)
        self.width = width

    def by_node(self, tokens: Tensor, heard: Tensor, nodes: Tensor) -> Tensor:
        """A vector for each node: its own and what it attends to among the tokens.

        Args:
            tokens: (B, T, W) states of the reader.
            heard: (B, T) true where there is a token.
            nodes: (B, N, H).

        Returns:
            (B, N, H).
        """
        words = self.widen(self.refine(tokens))
        affinity = self.affinity(words) @ nodes.transpose(1, 2) / self.width
        share = affinity.masked_fill(~heard[:, :, None], -torch.inf).softmax(dim=1)
        joined: Tensor = share.transpose(1, 2) @ words + nodes
        return joined

    def by_token(self, tokens: Tensor, nodes: Tensor, named: Tensor) -> Tensor:
        """A vector for each token: its own and what it attends to among the nodes.

        Args:
            tokens: (B, T, W) states of the reader.
            nodes: (B, N, H).
            named: (B, N) true where there is a node.

        Returns:
            (B, T, H).
        """
        words = self.widen(self.refine(tokens))
        affinity = self.affinity(words) @ nodes.transpose(1, 2) / self.width
        share = affinity.masked_fill(~named[:, None, :], -torch.inf).softmax(dim=2)
        joined: Tensor = share @ nodes + words
        return joined
