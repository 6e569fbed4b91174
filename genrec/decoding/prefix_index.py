"""The catalogue's Semantic IDs in level order, so that a node's children are neighbours.

Items are sorted by their codes. Every prefix is a node; the nodes of one level are numbered in that
order, so the children of a node are a contiguous range of the next level: the position of an edge
is the child. Stored are each node's last code, where its children begin, and the item of each leaf.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec.checked import read_array
from genrec.errors import ArtifactError, InputError

__all__ = ["Edges", "PrefixIndex"]


MOST_CODES = 1 << 16
PADDING_WORTHWHILE = 0.5
"""Rows of children are padded to the longest where at least this share of the places is filled."""


@dataclass(frozen=True, kw_only=True)
class Edges:
    """The children of a list of R nodes: row r's are `child[start[r] : start[r] + degree[r]]`.

    Either ragged, one row behind the other, or padded: every row has as many places as the longest.
    What stands in a place behind a row's children is some node, and means nothing.
    """

    row: Tensor
    """int64 [E]: the entry of the list that each place belongs to, rising."""
    child: Tensor
    """int64 [E]: the child, a node of the next level."""
    start: Tensor
    """int64 [R]: where each row begins."""
    degree: Tensor
    """int64 [R]: children of each row."""
    width: int | None = None
    """Places a row where rows are padded; None where they are ragged."""
    is_full: bool = True
    """Whether every place holds a child; always so where rows are ragged."""

    @cached_property
    def is_child(self) -> Tensor:
        """bool [E]: False for padding."""
        if self.width is None:
            return torch.ones_like(self.child, dtype=torch.bool)
        place = torch.arange(self.width, device=self.child.device)
        return (place < self.degree[:, None]).flatten()

    def spread(self, values: Tensor) -> Tensor:
        """As `values` [R], but [E]: in every place that of its row."""
        if self.width is None:
            return values.index_select(0, self.row)
        return values[:, None].expand(-1, self.width).flatten()


class PrefixIndex:
    """The prefixes of N items with L codes each.

    Args:
        codes: integers [N, L], unique rows, N at least 1, each code below 65,536.
        item_index: integers [N]: the items that the rows belong to; None counts them from 0.

    Raises:
        InputError: two items have the same codes, or there is none.

    Attributes:
        leaf_item: int32 [N]: the item_index of each leaf.
        first_child: per level, int32 [nodes above + 1]: where the children of each node begin.
        is_static: whether the shapes of all that a search does are known beforehand; see `static`.
    """

    is_static = False

    def __init__(
        self,
        codes: npt.NDArray[np.integer],
        item_index: npt.NDArray[np.integer] | None = None,
    ) -> None:
        order, tokens, first_child = _build(codes)
        leaf_item = order if item_index is None else item_index[order]
        self._set(leaf_item.astype(np.int32), tokens, first_child)

    def _set(
        self,
        leaf_item: npt.NDArray[np.int32],
        tokens: Iterable[npt.NDArray[np.uint16]],
        first_child: Iterable[npt.NDArray[np.int32]],
    ) -> None:
        self.leaf_item = torch.from_numpy(leaf_item)
        # PyTorch gathers int16 but not uint16; `codes_at` reads the bits as what they are.
        self._tokens = [torch.from_numpy(level.view(np.int16)) for level in tokens]
        self.first_child = [torch.from_numpy(level) for level in first_child]
        self._leaf_of_item: Tensor | None = None
        degrees = [np.diff(level) for level in first_child]
        self.max_degree = [int(level.max()) for level in degrees]
        """Per level: the most children that a node above it has."""
        self._fill = [
            float(level.mean()) / most for level, most in zip(degrees, self.max_degree, strict=True)
        ]

    @property
    def num_items(self) -> int:
        """N: leaves."""
        return self.leaf_item.numel()

    @property
    def num_levels(self) -> int:
        """L: codes of an item."""
        return len(self._tokens)

    @property
    def num_nodes(self) -> list[int]:
        """Nodes of each level; the last is N."""
        return [tokens.numel() for tokens in self._tokens]

    @property
    def num_bytes(self) -> int:
        """Of the tables that a search reads; `path_of` adds 4 bytes an item."""
        tables = [self.leaf_item, *self._tokens, *self.first_child]
        return sum(table.numel() * table.element_size() for table in tables)

    @property
    def device(self) -> torch.device:
        """Where the tables are."""
        return self.leaf_item.device

    def to(self, device: torch.device) -> PrefixIndex:
        """Moves the tables to a device, in place; nothing happens where they are there."""
        if self.device != device:
            self.leaf_item = self.leaf_item.to(device)
            self._tokens = [table.to(device) for table in self._tokens]
            self.first_child = [table.to(device) for table in self.first_child]
            self._leaf_of_item = None
            self.__dict__.pop("_root_edges", None)
        return self

    def static(self) -> Self:
        """A view of the same tables that a search can be captured over, in a CUDA graph.

        Rows of children are always padded to the longest there is, and whoever reads `is_static`
        chooses what neither waits for the host nor has shapes that depend on values. The answers
        are the same.
        """
        self._leaves()  # what is made when it is first asked for must be there before a capture
        view = copy.copy(self)
        view.__dict__.pop("_root_edges", None)
        view.is_static = True
        return view

    def save(self, folder: Path) -> None:
        """Writes the tables as .npy files, to be mapped into memory by `load`."""
        folder.mkdir()
        np.save(folder / "leaf_item.npy", self.leaf_item.cpu().numpy(), allow_pickle=False)
        for level in range(self.num_levels):
            tokens = self._tokens[level].cpu().numpy().view(np.uint16)
            np.save(folder / f"tokens_{level}.npy", tokens, allow_pickle=False)
            first_child = self.first_child[level].cpu().numpy()
            np.save(folder / f"first_child_{level}.npy", first_child, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> PrefixIndex:
        """The index that was saved in a folder of a verified artefact, mapped into memory.

        Raises:
            ArtifactError: the files are not those of one index.
        """
        leaf_item = read_array(folder / "leaf_item.npy", ("int32", (None,)), mapped=True)
        num_levels = len(list(folder.glob("tokens_*.npy")))
        tokens, first_child = (
            [
                read_array(folder / f"{name}_{level}.npy", (dtype, (None,)), mapped=True)
                for level in range(num_levels)
            ]
            for name, dtype in (("tokens", "uint16"), ("first_child", "int32"))
        )
        above = [1, *(len(level) for level in tokens)]
        fits = np.array_equal(np.sort(leaf_item), np.arange(above[-1])) and all(
            len(starts) == nodes + 1
            and (starts[0], starts[-1]) == (0, len(level))
            and (np.diff(starts) > 0).all()
            for starts, nodes, level in zip(first_child, above[:-1], tokens, strict=True)
        )
        if not num_levels or not fits:
            raise ArtifactError(f"{folder} is not a prefix index; make it again with --force")
        index = cls.__new__(cls)
        index._set(leaf_item, tokens, first_child)
        return index

    def expand(self, level: int, nodes: Tensor, alive: Tensor | None = None) -> Edges:
        """The children at `level` of a list of nodes of the level above.

        Args:
            level: 0 for the children of the root.
            nodes: int64 [R].
            alive: bool [R]; entries that are not alive are given no children.
        """
        if level == 0 and nodes.numel() == 1 and alive is None:
            return self._root_edges
        return self._expand(level, nodes, alive)

    @cached_property
    def _root_edges(self) -> Edges:
        """The children of the root, with which every search begins."""
        return self._expand(0, torch.zeros(1, dtype=torch.int64, device=self.device), None)

    def _expand(self, level: int, nodes: Tensor, alive: Tensor | None) -> Edges:
        first_child = self.first_child[level]
        starts = first_child.index_select(0, nodes).long()
        degree = first_child.index_select(0, nodes + 1) - starts
        if alive is not None:
            degree = degree * alive
        if self.is_static or self._fill[level] >= PADDING_WORTHWHILE:
            return self._padded(level, starts, degree, is_full=alive is None)
        ends = degree.cumsum(0)
        row = torch.repeat_interleave(degree)
        begin = ends - degree
        child = (starts - begin).index_select(0, row)
        child += torch.arange(row.numel(), device=nodes.device)
        return Edges(row=row, child=child, start=begin, degree=degree)

    def _padded(self, level: int, starts: Tensor, degree: Tensor, *, is_full: bool) -> Edges:
        width, device = self.max_degree[level], starts.device
        child = starts[:, None] + torch.arange(width, device=device)  # [R, width]
        is_full = is_full and self._fill[level] == 1.0
        if not is_full:
            child = child.clamp_(max=self._tokens[level].numel() - 1)
        rows = torch.arange(starts.numel(), device=device)
        return Edges(
            row=rows[:, None].expand(-1, width).flatten(),
            child=child.flatten(),
            start=rows * width,
            degree=degree,
            width=width,
            is_full=is_full,
        )

    def place_of(self, edges: Edges, rows: Tensor, children: Tensor) -> Tensor:
        """int64, as `rows`: where in the edge list a row's child stands; some place if nowhere.

        Args:
            edges: what `expand` gave, not empty.
            rows: int64, entries of the list that was expanded.
            children: int64, as `rows`: a child of each.
        """
        begin = edges.start.take(rows)
        last = edges.child.numel() - 1
        place = begin + children - edges.child.take(begin.clamp(max=last))
        return place.clamp_(min=0, max=last)

    def codes_at(self, level: int, nodes: Tensor) -> Tensor:
        """int64, as `nodes`: the last code of each node's prefix."""
        tokens = self._tokens[level].index_select(0, nodes.flatten()).long()
        return tokens.bitwise_and_(MOST_CODES - 1).view(nodes.shape)

    def items_at(self, leaves: Tensor) -> Tensor:
        """int64, as `leaves`: the item_index of nodes of the last level."""
        return self.leaf_item.take(leaves).long()

    def path_of(self, item_index: Tensor) -> Tensor:
        """int64 [..., L]: the node of each item at every level.

        Args:
            item_index: int64 [...], of items that have a leaf.
        """
        node = self._leaves().take(item_index)
        path = [node]
        for level in range(self.num_levels - 1, 0, -1):
            node = torch.searchsorted(self.first_child[level], node, right=True) - 1
            path.append(node)
        return torch.stack([each.long() for each in reversed(path)], dim=-1)

    def has_items(self, item_index: Tensor) -> Tensor:
        """bool, as `item_index`: whether each of these numbers from 0 on is an item with a leaf."""
        leaves = self._leaves()
        inside = item_index < leaves.numel()
        return inside & (leaves.take(item_index.clamp(max=leaves.numel() - 1)) >= 0)

    def num_leaves(self, level: int, nodes: Tensor) -> Tensor:
        """int64, as `nodes`: the items beneath each node."""
        if level == self.num_levels - 1:
            return torch.ones_like(nodes)
        count: Tensor = PrefixIndex.leaf_bounds(self, level, nodes).diff(dim=0)[0]
        return count

    def leaf_bounds(self, level: int, nodes: Tensor) -> Tensor:
        """int64 [2, *nodes]: the first leaf beneath each node, and the one behind its last."""
        bounds = torch.stack([nodes, nodes + 1])
        for below in range(level + 1, self.num_levels):
            bounds = self.first_child[below].take(bounds.long())
        return bounds.long()

    def items_below(self, level: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Every item beneath a list of nodes: the entry of the list, and the item, int64 [P] both.

        Args:
            level: of the nodes.
            nodes: int64 [R].
        """
        row = torch.arange(nodes.numel(), device=nodes.device)
        for below in range(level + 1, self.num_levels):
            edges = self.expand(below, nodes)
            row, nodes = row[edges.row[edges.is_child]], edges.child[edges.is_child]
        return row, self.items_at(nodes)

    def permitted_leaves(self, permitted: Tensor) -> list[Tensor]:
        """Per level, int32 [nodes]: how many permitted items stand beneath each node.

        Args:
            permitted: bool over item_index.
        """
        leaves = permitted[self.leaf_item.long()]
        before = torch.zeros(leaves.numel() + 1, dtype=torch.int32, device=leaves.device)
        torch.cumsum(leaves, 0, dtype=torch.int32, out=before[1:])
        counts = [before.diff()]
        for level in range(self.num_levels - 1, 0, -1):
            before = before[self.first_child[level].long()]
            counts.append(before.diff())
        return counts[::-1]

    def _leaves(self) -> Tensor:
        """int32 over item_index: the leaf of each item, -1 where a number has none."""
        if self._leaf_of_item is None:
            items = self.leaf_item.long()
            leaf_of_item = self.leaf_item.new_full((int(items.max()) + 1,), -1)
            leaf_of_item[items] = torch.arange(
                items.numel(), dtype=torch.int32, device=items.device
            )
            self._leaf_of_item = leaf_of_item
        return self._leaf_of_item


def _build(
    codes: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.int64], list[npt.NDArray[np.uint16]], list[npt.NDArray[np.int32]]]:
    """Rows in the order of their codes; per level the last codes and the first children."""
    num_items, num_levels = codes.shape
    if not num_items or not num_levels:
        raise InputError(f"a prefix index needs items with codes, got codes {list(codes.shape)}")
    order = _sorted_rows(codes)
    tokens, first_child = [], []
    changed = np.zeros(num_items, dtype=bool)
    changed[0] = True
    above = np.zeros(1, dtype=np.int64)
    for level in range(num_levels):
        column = codes[order, level].astype(np.uint16)
        changed[1:] |= column[1:] != column[:-1]
        starts = np.flatnonzero(changed)
        tokens.append(column[starts])
        begin = np.searchsorted(starts, above).astype(np.int32)
        first_child.append(np.append(begin, np.int32(starts.size)))
        above = starts
    if len(above) < num_items:
        first = int(np.flatnonzero(~changed)[0])
        raise InputError(
            f"items {order[first - 1]} and {order[first]} have the same codes "
            f"{codes[order[first]].tolist()}; resolve collisions before building the index"
        )
    return order, tokens, first_child


def _sorted_rows(codes: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """int64 [N]: the rows in the order of their codes, equal rows in that of their numbers."""
    largest = codes.max(axis=0).astype(np.int64)
    if codes.min() < 0 or largest.max() >= MOST_CODES:
        raise InputError(
            f"codes must lie in 0…{MOST_CODES - 1}, got {codes.min()}…{codes.max()}; use smaller "
            "codebooks"
        )
    bits = [int(each).bit_length() for each in largest]
    if sum(bits) > 63 - len(codes).bit_length():
        return np.lexsort(codes.T[::-1])
    # The row number in the lowest bits: one sort of plain integers, which is several times faster.
    keys = np.zeros(len(codes), dtype=np.int64)
    for column, width in zip(codes.T, bits, strict=True):
        keys <<= width
        keys |= column
    row_bits = len(codes).bit_length()
    keys <<= row_bits
    keys |= np.arange(len(codes))
    keys.sort()
    keys &= (1 << row_bits) - 1
    return keys
