"""A prefix index that items come to and go from while searches run.

Nothing that a search may be reading is ever changed. An item that comes or goes changes the nodes
on its path: each is made anew, with a list of its children, and the root's list is made anew last.
A search that began before goes on with the old root and sees the old catalogue whole; the next one
begins with the new root (path copying: Driscoll, Sarnak, Sleator and Tarjan, Making Data Structures
Persistent, 1989). A change costs L short lists, however large the catalogue is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genrec.decoding.grown_nodes import FIRST_CAPACITY, NewNodes, with_room
from genrec.decoding.prefix_index import Edges, PrefixIndex
from genrec.errors import InputError

__all__ = ["GrownIndex", "PathChange"]


@dataclass(frozen=True, kw_only=True)
class PathChange:
    """An index after one item came or went, and which nodes now stand for its prefixes."""

    index: GrownIndex
    before: tuple[int | None, ...]
    """Per level: the node that stood for the prefix; None where no item had it."""
    after: tuple[int | None, ...]
    """Per level: the node that stands for it now; None where no item has it any more."""


@dataclass
class _Newest:
    """Shared by all versions of one index: only the newest may be changed."""

    number: int = 0


class GrownIndex(PrefixIndex):
    """One version of a catalogue that changes; `on` makes the first, `add` and `remove` the next.

    It answers what a `PrefixIndex` answers. Nodes that came later are numbered behind those of the
    base; a node keeps its number in all versions that have it.
    """

    def __init__(
        self,
        base: PrefixIndex,
        levels: Sequence[NewNodes],
        root: Tensor,
        leaf_of_item: Tensor,
        added_codes: Tensor,
        num_added: int,
        newest: _Newest,
    ) -> None:
        self.base = base
        self.leaf_item, self.first_child = base.leaf_item, base.first_child
        self._tokens, self._leaf_of_item = base._tokens, leaf_of_item
        self._levels, self._root = list(levels), root
        self._added_codes, self._num_added = added_codes, num_added
        self._newest, self._number = newest, newest.number

    @classmethod
    def on(cls, base: PrefixIndex, num_items: int = 0) -> GrownIndex:
        """The catalogue of `base`, to which nothing has happened yet.

        Args:
            base: of some items.
            num_items: numbers that are not given again, where more were given than `base` has.
        """
        leaf_of_item = base._leaves()
        if num_items > len(leaf_of_item):
            missing = (0, num_items - len(leaf_of_item))
            leaf_of_item = torch.nn.functional.pad(leaf_of_item, missing, value=-1)
        root = torch.arange(base.num_nodes[0], device=base.device)
        codes = torch.zeros(FIRST_CAPACITY, base.num_levels, dtype=torch.int64, device=base.device)
        levels = [NewNodes.none(base.device) for _ in range(base.num_levels)]
        return cls(base, levels, root, leaf_of_item, codes, 0, _Newest())

    @property
    def num_items(self) -> int:
        """One above the highest item_index that was ever given."""
        return self._leaves().numel() + self._num_added

    @property
    def num_nodes(self) -> list[int]:
        """Per level: one above the highest node, nodes that were replaced included."""
        return [
            tokens.numel() + level.num_nodes
            for tokens, level in zip(self._tokens, self._levels, strict=True)
        ]

    @property
    def num_changes(self) -> int:
        """Items that came or went since the base was built."""
        return self._number

    def static(self) -> GrownIndex:
        """See `PrefixIndex.static`; a later version needs a view of its own."""
        view = super().static()
        longest = [len(self._root)]
        for level, new in enumerate(self._levels[:-1]):
            later = int(new.degree[: new.num_nodes].max()) if new.num_nodes else 0
            longest.append(max(later, self.base.max_degree[level + 1]))
        view.max_degree = longest
        return view

    def add(self, codes: Tensor) -> PathChange:
        """The next version, with one more item: number `num_items`.

        Args:
            codes: int64 [L], no other item's.

        Raises:
            InputError: an item has these codes, or this is not the newest version.
        """
        self._require_newest()
        codes = codes.to(self.device)
        path, listed = self._descend(codes)
        if path[-1] >= 0:
            taken = int(self.items_at(torch.tensor(path[-1], device=self.device)))
            raise InputError(
                f"item {taken} has the codes "
                f"{codes.tolist()}; let SemanticIdStore.add choose free ones"
            )
        levels, after = list(self._levels), list[int]()
        child: int | None = None
        for level in reversed(range(self.num_levels)):
            is_leaf = level == self.num_levels - 1
            old = path[level]
            below = None if is_leaf else listed[level + 1]
            children = self._list_with(below, None if is_leaf else path[level + 1], child)
            leaves = 1 + (
                int(self.num_leaves(level, torch.tensor([old], device=self.device)))
                if old >= 0
                else 0
            )
            levels[level] = levels[level].with_node(
                code=int(codes[level]), children=children, leaves=leaves, item=self.num_items
            )
            child = self._tokens[level].numel() + levels[level].num_nodes - 1
            after.append(child)
        root = self._list_with(self._root, path[0], child)
        added = with_room(self._added_codes, self._num_added + 1)
        added[self._num_added] = codes
        index = self._next(levels, root, added, self._num_added + 1)
        before = tuple(None if node < 0 else node for node in path)
        return PathChange(index=index, before=before, after=tuple(reversed(after)))

    def remove(self, item_index: int) -> PathChange:
        """The next version, without this item; its number is not given again.

        Raises:
            InputError: there is no such item, or this is not the newest version.
        """
        self._require_newest()
        item = torch.tensor([item_index], device=self.device)
        if item_index < 0 or not bool(self.has_items(item)):
            raise InputError(f"there is no item {item_index} to remove")
        path = self.path_of(item)[0].tolist()
        levels, after = list(self._levels), list[int | None]([None])
        child: int | None = None
        for level in reversed(range(self.num_levels - 1)):
            node = torch.tensor([path[level]], device=self.device)
            below = self._children(level + 1, path[level])
            children = self._list_with(below, path[level + 1], child)
            if len(children):
                levels[level] = levels[level].with_node(
                    code=int(self.codes_at(level, node)),
                    children=children,
                    leaves=int(self.num_leaves(level, node)) - 1,
                    item=-1,
                )
                child = self._tokens[level].numel() + levels[level].num_nodes - 1
            else:
                child = None
            after.append(child)
        root = self._list_with(self._root, path[0], child)
        index = self._next(levels, root, self._added_codes, self._num_added)
        return PathChange(index=index, before=tuple(path), after=tuple(reversed(after)))

    def compacted(self) -> PrefixIndex:
        """An index of the same items that nothing has happened to; its nodes have other numbers."""
        items, paths = self.paths()
        codes = [self.codes_at(level, nodes) for level, nodes in enumerate(paths.unbind(1))]
        built = PrefixIndex(torch.stack(codes, 1).cpu().numpy(), items.cpu().numpy())
        return built.to(self.device)

    def paths(self) -> tuple[Tensor, Tensor]:
        """Every item that is in the catalogue, int64 [n], and its node at every level, [n, L]."""
        nodes = torch.zeros(1, dtype=torch.int64, device=self.device)
        paths = nodes[:, None][:, :0]  # [nodes, levels so far]
        for level in range(self.num_levels):
            edges = self.expand(level, nodes)
            nodes = edges.child
            paths = torch.cat([paths[edges.row], nodes[:, None]], dim=1)
        return self.items_at(nodes), paths

    def save(self, folder: Path) -> None:
        """Writes the compacted index."""
        self.compacted().save(folder)

    def codes_of(self, item_index: Tensor) -> Tensor:
        """int64 [..., L]: the codes of items that were ever in this catalogue."""
        num_first = self._leaves().numel()
        path = super().path_of(item_index.clamp(max=num_first - 1))
        codes = [super(GrownIndex, self).codes_at(n, path[..., n]) for n in range(self.num_levels)]
        later = self._added_codes[(item_index - num_first).clamp(min=0)]
        return torch.where((item_index < num_first)[..., None], torch.stack(codes, -1), later)

    def expand(self, level: int, nodes: Tensor, alive: Tensor | None = None) -> Edges:
        """See `PrefixIndex.expand`; ragged unless static."""
        if level == 0:
            lists = self._root
            starts = torch.zeros_like(nodes)
            degree = torch.full_like(nodes, len(lists))
            listed = torch.ones_like(nodes, dtype=torch.bool)
        else:
            new, num_base = self._levels[level - 1], self._tokens[level - 1].numel()
            lists, listed = new.child, nodes >= num_base
            base, later = nodes.clamp(max=num_base - 1), (nodes - num_base).clamp(min=0)
            begin = self.first_child[level][base].long()
            starts = torch.where(listed, new.first[later], begin)
            implicit = self.first_child[level][base + 1] - begin
            degree = torch.where(listed, new.degree[later], implicit)
        if alive is not None:
            degree = degree * alive
        if self.is_static:
            return self._padded_lists(level, lists, listed, starts, degree)
        ends = degree.cumsum(0)
        row = torch.repeat_interleave(degree)
        begin = ends - degree
        place = torch.arange(row.numel(), device=nodes.device) + (starts - begin)[row]
        child = torch.where(listed[row], lists[place.clamp(max=len(lists) - 1)], place)
        return Edges(row=row, child=child, start=begin, degree=degree)

    def _padded_lists(
        self, level: int, lists: Tensor, listed: Tensor, starts: Tensor, degree: Tensor
    ) -> Edges:
        """Every row as long as the longest; rows are read from `lists` or are ranges of nodes."""
        width, last = max(self.max_degree[level], 1), max(self.num_nodes[level] - 1, 0)
        place = starts[:, None] + torch.arange(width, device=starts.device)  # [R, width]
        if len(lists):
            in_list = lists[place.clamp(max=len(lists) - 1)]
            place = torch.where(listed[:, None], in_list, place)
        rows = torch.arange(starts.numel(), device=starts.device)
        return Edges(
            row=rows[:, None].expand(-1, width).flatten(),
            # Behind a list may stand nodes of a later version, which these tables do not have.
            child=place.clamp(max=last).flatten(),
            start=rows * width,
            degree=degree,
            width=width,
            is_full=False,
        )

    def place_of(self, edges: Edges, rows: Tensor, children: Tensor) -> Tensor:
        """See `PrefixIndex.place_of`; a list of children may hold any numbers."""
        begin, degree = edges.start[rows][..., None], edges.degree[rows][..., None]
        width = edges.width
        if width is None:
            width = int(degree.max()) if degree.numel() else 0
        places = torch.arange(width, device=rows.device)
        child = edges.child[(begin + places).clamp(max=edges.child.numel() - 1)]
        same = (child == children[..., None]) & (places < degree)
        found: Tensor = begin[..., 0] + same.to(torch.int8).argmax(-1)
        return found.clamp(max=edges.child.numel() - 1)

    def codes_at(self, level: int, nodes: Tensor) -> Tensor:
        """See `PrefixIndex.codes_at`."""
        num_base = self._tokens[level].numel()
        first = super().codes_at(level, nodes.clamp(max=num_base - 1))
        later = self._levels[level].code[(nodes - num_base).clamp(min=0)]
        return torch.where(nodes < num_base, first, later)

    def items_at(self, leaves: Tensor) -> Tensor:
        """See `PrefixIndex.items_at`."""
        num_base = self._tokens[-1].numel()
        first = super().items_at(leaves.clamp(max=num_base - 1))
        later = self._levels[-1].item[(leaves - num_base).clamp(min=0)]
        return torch.where(leaves < num_base, first, later)

    def path_of(self, item_index: Tensor) -> Tensor:
        """See `PrefixIndex.path_of`."""
        codes = self.codes_of(item_index.flatten())
        return self._walk(codes).view(*item_index.shape, self.num_levels)

    def has_items(self, item_index: Tensor) -> Tensor:
        """See `PrefixIndex.has_items`."""
        safe = item_index.clamp(max=self.num_items - 1)
        numbers = super().has_items(item_index) | (item_index >= self._leaves().numel())
        leaf = self._walk(self.codes_of(safe.flatten()))[:, -1].view_as(safe)
        there = (leaf >= 0) & (self.items_at(leaf.clamp(min=0)) == item_index)
        return numbers & (item_index < self.num_items) & there

    def num_leaves(self, level: int, nodes: Tensor) -> Tensor:
        """See `PrefixIndex.num_leaves`."""
        num_base = self._tokens[level].numel()
        first = super().num_leaves(level, nodes.clamp(max=num_base - 1))
        later = self._levels[level].leaves[(nodes - num_base).clamp(min=0)]
        return torch.where(nodes < num_base, first, later)

    def leaf_bounds(self, level: int, nodes: Tensor) -> Tensor:
        """There are none: what came later lies behind all else.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"the leaves beneath {nodes.numel()} node(s) of level {level} lie apart in an index "
            "that has grown; ask its compacted() one"
        )

    def permitted_leaves(self, permitted: Tensor) -> list[Tensor]:
        """See `PrefixIndex.permitted_leaves`; nodes that were replaced count what they had."""
        counts = super().permitted_leaves(permitted)
        below = counts[-1]
        for level in reversed(range(self.num_levels)):
            new = self._levels[level]
            if level == self.num_levels - 1:
                later = permitted[new.item[: new.num_nodes]].int()
            else:
                children = below[new.child[: new.num_children]]
                row = torch.repeat_interleave(new.degree[: new.num_nodes])
                later = children.new_zeros(new.num_nodes).index_add(0, row, children)
            below = counts[level] = torch.cat([counts[level], later])
        return counts

    def _next(
        self, levels: Sequence[NewNodes], root: Tensor, added_codes: Tensor, num_added: int
    ) -> GrownIndex:
        self._newest.number += 1
        return GrownIndex(
            self.base, levels, root, self._leaves(), added_codes, num_added, self._newest
        )

    def _require_newest(self) -> None:
        if self._number != self._newest.number:
            raise InputError(
                f"version {self._number} of the index was changed before; change version "
                f"{self._newest.number}"
            )

    def _children(self, level: int, node: int) -> Tensor:
        return self.expand(level, torch.tensor([node], device=self.device)).child

    def _list_with(self, children: Tensor | None, old: int | None, new: int | None) -> Tensor:
        """A list of children in which `new` stands for `old`; either may be missing."""
        listed = self._root[:0] if children is None else children
        added = listed.new_tensor([] if new is None else [new])
        if old is None or old < 0:
            return torch.cat([listed, added])
        place = int((listed == old).nonzero())
        return torch.cat([listed[:place], added, listed[place + 1 :]])

    def _descend(self, codes: Tensor) -> tuple[list[int], list[Tensor | None]]:
        """The nodes of codes [L], -1 from where on no item has them, and the lists they stand in.

        A list is None where there is no node above.
        """
        path, listed, above = list[int](), list[Tensor | None](), 0
        for level, code in enumerate(codes.tolist()):
            children = None if above < 0 else self._children(level, above)
            listed.append(children)
            above = -1
            if children is not None:
                same = children[self.codes_at(level, children) == code]
                above = int(same[0]) if len(same) else -1
            path.append(above)
        return path, listed

    def _walk(self, codes: Tensor) -> Tensor:
        """int64 [P, L]: the nodes of codes [P, L]; -1 from where on no item has them."""
        path = torch.full_like(codes, -1)
        nodes = torch.zeros(len(codes), dtype=torch.int64, device=codes.device)
        found = torch.ones_like(nodes, dtype=torch.bool)
        for level in range(self.num_levels):
            edges = self.expand(level, nodes, found)
            same = self.codes_at(level, edges.child) == codes[edges.row, level]
            if not edges.is_full:
                same &= edges.is_child
            reached = torch.where(same, edges.child, -1)
            path[:, level] = nodes.new_full(nodes.shape, -1).scatter_reduce(
                0, edges.row, reached, "amax"
            )
            found = path[:, level] >= 0
            nodes = path[:, level].clamp(min=0)
        return path
