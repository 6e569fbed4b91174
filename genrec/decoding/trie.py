"""The catalogue's Semantic IDs as a prefix trie in level order: a node's children are neighbours.

Items are sorted by their codes. Every prefix is a node; the nodes of one level are numbered in that
order, so that the children of a node are a contiguous range of the next level and the items beneath
it a contiguous range of leaves. Nothing else needs to be stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec.errors import InputError

__all__ = ["Edges", "PrefixTrie"]


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Every child of every node of a list, flat: E edges."""

    row: Tensor
    """int64 [E]: which entry of the list of nodes the edge starts from, rising."""
    child: Tensor
    """int64 [E]: the child, a node of the next level."""
    degree: Tensor
    """int64 [R]: children of each entry of the list."""


class PrefixTrie:
    """The prefixes of N items with L codes each.

    Args:
        codes: integers [N, L], unique rows.

    Raises:
        InputError: two items have the same codes.
    """

    def __init__(self, codes: npt.NDArray[np.unsignedinteger]) -> None:
        num_items, self.num_levels = codes.shape
        order = np.lexsort(codes.T[::-1])
        ordered = codes[order]
        changed = np.ones((num_items, self.num_levels), dtype=bool)
        changed[1:] = np.logical_or.accumulate(ordered[1:] != ordered[:-1], axis=1)
        if not changed[:, -1].all():
            first = int(np.flatnonzero(~changed[:, -1])[0])
            raise InputError(
                f"items {order[first - 1]} and {order[first]} have the same codes "
                f"{ordered[first].tolist()}; resolve collisions before building the trie"
            )
        node_of_leaf = changed.cumsum(axis=0) - 1  # [N, L]
        self.leaf_item = torch.from_numpy(order)
        """int64 [N]: the item_index of each leaf."""
        self.path_of_item = torch.from_numpy(np.empty_like(node_of_leaf))
        """int64 [N, L]: the node of each item at each level."""
        self.path_of_item[self.leaf_item] = torch.from_numpy(node_of_leaf)
        self.first_leaf: list[Tensor] = []
        """Per level, int64 [nodes + 1]: where each node's leaves begin."""
        self.first_child: list[Tensor] = []
        """Per level, int64 [nodes above + 1]: where the children of each node above begin."""
        above = np.zeros(1, dtype=np.int64)
        for level in range(self.num_levels):
            starts = np.flatnonzero(changed[:, level])
            children = np.append(node_of_leaf[above, level], starts.size)
            self.first_child.append(torch.from_numpy(children))
            self.first_leaf.append(torch.from_numpy(np.append(starts, num_items)))
            above = starts

    @property
    def num_items(self) -> int:
        """N: leaves."""
        return int(self.leaf_item.numel())

    @property
    def num_nodes(self) -> list[int]:
        """Nodes of each level; the last is N."""
        return [int(starts.numel()) - 1 for starts in self.first_leaf]

    def to(self, device: torch.device) -> PrefixTrie:
        """Moves the tables to a device, in place; nothing happens where they are there."""
        if self.leaf_item.device == device:
            return self
        self.leaf_item = self.leaf_item.to(device)
        self.path_of_item = self.path_of_item.to(device)
        self.first_leaf = [table.to(device) for table in self.first_leaf]
        self.first_child = [table.to(device) for table in self.first_child]
        return self

    def parents_of_items(self, item_index: Tensor, level: int) -> Tensor:
        """int64, as `item_index`: the node above each item's node at `level` (0 for the root)."""
        if level == 0:
            return torch.zeros_like(item_index)
        return self.path_of_item[item_index, level - 1]

    def expand(self, level: int, nodes: Tensor, alive: Tensor | None = None) -> Edges:
        """The children at `level` of a list of nodes of the level above.

        Args:
            level: 0 for the children of the root.
            nodes: int64 [R].
            alive: bool [R]; entries that are not alive are given no edges.
        """
        starts = self.first_child[level][nodes]
        degree = self.first_child[level][nodes + 1] - starts
        if alive is not None:
            degree = degree * alive
        ends = degree.cumsum(0)
        row = torch.repeat_interleave(degree)
        within = torch.arange(row.numel(), device=nodes.device) - (ends - degree)[row]
        return Edges(row=row, child=starts[row] + within, degree=degree)

    def permitted_nodes(self, permitted: Tensor) -> list[Tensor]:
        """Which nodes lead to a permitted item: per level, bool [B, nodes].

        Args:
            permitted: bool [B, N] over item_index.
        """
        zero = torch.zeros(permitted.shape[0], 1, dtype=torch.int32, device=permitted.device)
        counts = permitted[:, self.leaf_item].cumsum(1, dtype=torch.int32)
        counts = torch.cat([zero, counts], dim=1)  # [B, N + 1]: permitted leaves before each
        return [counts[:, table[1:]] > counts[:, table[:-1]] for table in self.first_leaf]
