"""Relational graph convolution: one layer in plain torch.

Schlichtkrull et al., "Modeling Relational Data with Graph Convolutional Networks", ESWC 2018: a sparse product a
relation and direction, and the basis decomposition of its Eq. 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from harness.domain.entities import Entities


class RelationalLayer(nn.Module):
    """x -> x V + b + sum_r A_r x W_r, with W_r = sum_b a_rb B_b.

    A_r is the adjacency of a relation in one direction; its rows sum to 1 (the mean over neighbours).
    """

    def __init__(self, entities: Entities, rows: int, width: int, bases: int) -> None:
        """``rows``: rows of x, at least the graph's nodes; further rows have no neighbours."""
        super().__init__()
        edges = [pairs for pairs in entities.edges.values() if pairs]
        directed = [pairs for there in edges for pairs in (there, tuple((b, a) for a, b in there))]
        self.relations = len(directed)
        for number, pairs in enumerate(directed):
            self.register_buffer(f"adjacency_{number}", _adjacency(pairs, rows), persistent=False)
        self.bases = nn.Parameter(torch.empty(bases, width, width))
        self.mixture = nn.Parameter(torch.empty(self.relations, bases))
        self.own = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.bases)
        nn.init.normal_(self.mixture, std=1.0 / math.sqrt(bases))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, width) -> (rows, width)."""
        weights = torch.einsum("rb,bij->rij", self.mixture, self.bases)
        out: Tensor = self.own(x)
        for number in range(self.relations):
            # Sparse first: a relation touches few nodes, and the product is exact in either order.
            near = torch.sparse.mm(getattr(self, f"adjacency_{number}"), x)
            out = out + near @ weights[number]
        return out


def _adjacency(pairs: Iterable[tuple[int, int]], rows: int) -> Tensor:
    index = torch.tensor(sorted(set(pairs)), dtype=torch.long).T
    degree = torch.bincount(index[0], minlength=rows).float()
    return torch.sparse_coo_tensor(index, 1.0 / degree[index[0]], (rows, rows), check_invariants=True).coalesce()
