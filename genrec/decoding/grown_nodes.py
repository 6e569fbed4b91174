"""The nodes of one level that came to a prefix index later: tables that only ever grow."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["FIRST_CAPACITY", "NewNodes", "with_room"]

FIRST_CAPACITY = 256


@dataclass(frozen=True, kw_only=True)
class NewNodes:
    """The nodes of one level that came later; tables have room behind what is in use."""

    num_nodes: int
    num_children: int
    code: Tensor
    """int64: the last code of the prefix."""
    first: Tensor
    """int64: where the list of the node's children begins in `child`."""
    degree: Tensor
    """int64: the length of that list."""
    leaves: Tensor
    """int64: items beneath."""
    item: Tensor
    """int64: at the last level, the item."""
    child: Tensor
    """int64: all lists, one behind the other."""

    @classmethod
    def none(cls, device: torch.device) -> NewNodes:
        """Tables with room, of which nothing is in use."""
        tables = torch.zeros(6, FIRST_CAPACITY, dtype=torch.int64, device=device).unbind()
        names = ("code", "first", "degree", "leaves", "item", "child")
        return cls(num_nodes=0, num_children=0, **dict(zip(names, tables, strict=True)))

    def with_node(self, *, code: int, children: Tensor, leaves: int, item: int) -> NewNodes:
        """One more; what readers of `self` look at stays as it is."""
        row, first = self.num_nodes, self.num_children
        entry = {"code": code, "first": first, "degree": len(children)}
        tables = {name: with_room(getattr(self, name), row + 1) for name in _ROW_TABLES}
        for name, value in {**entry, "leaves": leaves, "item": item}.items():
            tables[name][row] = value
        child = with_room(self.child, first + len(children))
        child[first : first + len(children)] = children
        return NewNodes(
            num_nodes=row + 1, num_children=first + len(children), child=child, **tables
        )


_ROW_TABLES = ("code", "first", "degree", "leaves", "item")


def with_room(table: Tensor, size: int) -> Tensor:
    """The table, or a copy twice as long where it is too short."""
    if size <= len(table):
        return table
    grown = table.new_zeros(max(size, 2 * len(table)), *table.shape[1:])
    grown[: len(table)] = table
    return grown
