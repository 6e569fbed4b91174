"""What a request permits, as prefixes: a prefix without a permitted item beneath it is closed.

A filter is a set of leaves; a prefix sum over them says of every node whether any is permitted.
That is made once a filter and kept. What is left out beside it for one person (seen items, say) is
a short list: only the prefixes above it can be closed by it, and only they are counted.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genrec.decoding.prefix_index import Edges, PrefixIndex
from genrec.interactions import NO_ITEM

__all__ = ["Eligibility", "FilterCache", "OpenNodes"]

DEFAULT_CACHE_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class OpenNodes:
    """One filter, propagated upwards."""

    levels: list[Tensor]
    """Per level, bool [nodes]: whether a permitted item stands beneath."""
    leaves_before: Tensor
    """int32 [N + 1]: permitted leaves before each."""

    @classmethod
    def of(cls, index: PrefixIndex, permitted: Tensor) -> OpenNodes:
        """From the permitted items, bool [N] over item_index."""
        leaves = permitted[index.leaf_item.long()]
        before = torch.zeros(leaves.numel() + 1, dtype=torch.int32, device=leaves.device)
        torch.cumsum(leaves, 0, dtype=torch.int32, out=before[1:])
        first_leaf = torch.arange(leaves.numel() + 1, device=leaves.device)
        levels = [leaves]
        for level in range(index.num_levels - 1, 0, -1):
            first_leaf = first_leaf[index.first_child[level].long()]
            begin = before[first_leaf]
            levels.append(begin[1:] > begin[:-1])
        return cls(levels=levels[::-1], leaves_before=before)

    @property
    def num_bytes(self) -> int:
        """Of all tables."""
        return sum(level.numel() for level in self.levels) + 4 * self.leaves_before.numel()


class FilterCache:
    """The filters that were asked for last, by their content; safe to share between threads.

    Args:
        index: the catalogue; another one needs another cache.
        max_bytes: of the kept tables; the filter that was unused for longest goes first.
    """

    def __init__(self, index: PrefixIndex, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.index, self.max_bytes = index, max_bytes
        self.hits = self.misses = 0
        self._kept: OrderedDict[bytes, OpenNodes] = OrderedDict()
        self._num_bytes = 0
        self._lock = threading.Lock()

    def open_nodes(self, permitted: Tensor) -> OpenNodes:
        """The nodes that a filter leaves open.

        Args:
            permitted: bool [N] over item_index.
        """
        content = np.packbits(permitted.cpu().numpy())
        key = hashlib.blake2b(content.tobytes(), digest_size=16).digest()
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                self.hits += 1
                return found
            self.misses += 1
        made = OpenNodes.of(self.index, permitted.to(self.index.device))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._num_bytes += made.num_bytes
            while self._num_bytes > self.max_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._num_bytes -= oldest.num_bytes
        return made


class Eligibility:
    """What each request of a batch permits.

    Args:
        index: the catalogue.
        num_requests: B.
        allowed: what may be recommended at all: bool [B, N], or [1, N] for all requests alike; None
            allows all.
        excluded: items left out beside it, int64 [B, S], NO_ITEM where there are fewer.
        filters: where propagated filters are kept; None keeps none.
    """

    def __init__(
        self,
        index: PrefixIndex,
        num_requests: int,
        *,
        allowed: Tensor | None = None,
        excluded: Tensor | None = None,
        filters: FilterCache | None = None,
    ) -> None:
        self.num_requests = num_requests
        self._filters: list[OpenNodes] = []
        if allowed is not None:
            filters = filters or FilterCache(index)
            self._filters = [filters.open_nodes(row) for row in allowed]
        self._levels = [
            torch.stack([each.levels[level] for each in self._filters])
            for level in range(index.num_levels if self._filters else 0)
        ]  # [B or 1, nodes] each
        self._closed = self._close(index, excluded)

    @property
    def is_open(self) -> bool:
        """Whether everything is permitted to everybody."""
        return not self._levels and not any(keys.numel() for keys in self._closed)

    def permits(self, level: int, edges: Edges, beams: int) -> Tensor | None:
        """bool [E]: whether each edge leads to a permitted item; None if all do.

        Args:
            level: that the edges lead to.
            edges: of the rows of all requests.
            beams: rows a request.
        """
        permits = None
        request = edges.row // beams if self.num_requests > 1 else None
        if self._levels:
            table = self._levels[level]
            shared = request is None or table.shape[0] == 1
            permits = table[0, edges.child] if shared else table[request, edges.child]
        closed = self._closed[level] if self._closed else None
        if closed is not None and closed.numel():
            key = edges.child if request is None else _key(request, edges.child)
            place = torch.searchsorted(closed, key).clamp_(max=closed.numel() - 1)
            is_open = closed[place] != key
            permits = is_open if permits is None else permits & is_open
        return permits

    def _close(self, index: PrefixIndex, excluded: Tensor | None) -> list[Tensor]:
        """Per level, rising keys of request and node: the nodes that `excluded` closes."""
        if excluded is None or not excluded.numel():
            return []
        request, item = _pairs(excluded)
        path = index.path_of(item.to(index.device))  # [P, L]
        request = request.to(index.device)
        if self._filters:  # what is forbidden to everybody closes nothing for one
            row = request if len(self._filters) > 1 else torch.zeros_like(request)
            kept = self._levels[-1][row, path[:, -1]]
            request, path = request[kept], path[kept]
        keys = []
        for level in range(index.num_levels):
            key, count = torch.unique(_key(request, path[:, level]), return_counts=True)
            if level < index.num_levels - 1:
                key = key[count >= self._num_open(index, level, key)]
            keys.append(key)
        return keys

    def _num_open(self, index: PrefixIndex, level: int, key: Tensor) -> Tensor:
        """int64, as `key`: the items beneath each node that the request's filter permits."""
        first, behind = index.leaf_ranges(level, key & NODE_MASK)
        if not self._filters:
            return behind - first
        before = torch.stack([each.leaves_before for each in self._filters])
        row = key >> NODE_BITS if len(self._filters) > 1 else torch.zeros_like(key)
        return before[row, behind].long() - before[row, first]


NODE_BITS = 31
NODE_MASK = (1 << NODE_BITS) - 1


def _key(request: Tensor, node: Tensor) -> Tensor:
    return (request << NODE_BITS) + node


def _pairs(excluded: Tensor) -> tuple[Tensor, Tensor]:
    """Request and item of everything that is left out, int64 [P], each pair once."""
    request, column = torch.nonzero(excluded != NO_ITEM, as_tuple=True)
    pairs = torch.unique(_key(request, excluded[request, column]))
    return pairs >> NODE_BITS, pairs & NODE_MASK
