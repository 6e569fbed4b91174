"""Paths of Semantic IDs through the prefixes, with all that each of their steps chooses from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.decoding import PrefixIndex
from genrec.generator.losses import Spans

__all__ = ["Paths"]


class Paths:
    """From the root to R items; step l leads to a node of level l, and has siblings to choose from.

    Args:
        index: the catalogue's prefixes.
        items: int64 [R].
    """

    def __init__(self, index: PrefixIndex, items: Tensor) -> None:
        self.index = index
        self.nodes = F.pad(index.path_of(items), (1, 0))
        """int64 [R, L + 1]: the root first, leaves last."""
        self.edges = [
            index.expand(level, self.nodes[:, level]) for level in range(index.num_levels)
        ]
        """Per level: the children of the nodes that the step starts from, E places."""

    @property
    def leaves(self) -> Tensor:
        """int64 [R]: where the paths end."""
        return self.nodes[:, -1]

    def spans(self) -> list[Spans]:
        """Per level, E spans of leaves: what stands beneath each child."""
        spans = []
        for level, edges in enumerate(self.edges):
            first, stop = self.index.leaf_bounds(level, edges.child)
            spans.append(Spans(row=edges.row, first=first, stop=stop))
        return spans

    def taken(self, values: Sequence[Tensor]) -> Tensor:
        """float [R, L]: of values per level and child, float [E], those of the children taken."""
        rows = torch.arange(len(self.nodes), device=self.nodes.device)
        return torch.stack(
            [
                each[self.index.place_of(edges, rows, self.nodes[:, level + 1])]
                for level, (edges, each) in enumerate(zip(self.edges, values, strict=True))
            ],
            dim=1,
        )

    def expected(self, values: Sequence[Tensor], masses: Sequence[Tensor]) -> Tensor:
        """float []: the sum over all steps of the mean over each step's children.

        Args:
            values: per level, float [E]; in padding anything.
            masses: per level, float32 [E]: what each child counts in the mean of its row. A row
                without any mass adds nothing.
        """
        total = self.nodes.new_zeros((), dtype=torch.float32)
        for edges, each, mass in zip(self.edges, values, masses, strict=True):
            counted = mass * edges.is_child
            of_row = counted.new_zeros(len(self.nodes)).index_add_(0, edges.row, counted)
            share = counted / of_row.clamp(min=torch.finfo(mass.dtype).tiny)[edges.row]
            total = total + (share * each.masked_fill(~edges.is_child, 0.0)).sum()
        return total
