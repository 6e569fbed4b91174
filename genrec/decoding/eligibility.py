"""What a request permits, as prefixes: a prefix without a permitted item beneath it is closed.

A filter is a set of leaves; a prefix sum over them says of every node whether any is permitted.
That is made once a filter and kept. What is left out beside it for one person (seen items, say) is
a short list: only the prefixes above it can be closed by it, and only they are counted.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor

from genrec.decoding.prefix_index import Edges, PrefixIndex
from genrec.interactions import NO_ITEM

__all__ = ["Eligibility", "FilterCache"]

DEFAULT_CACHE_BYTES = 256 << 20


class FilterCache:
    """The filters that were asked for last, by their content; safe to share between threads.

    Args:
        index: the catalogue; another one needs another cache.
        max_bytes: of the kept tables; the filter that was unused for longest goes first.
    """

    def __init__(self, index: PrefixIndex, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self.index, self.max_bytes = index, max_bytes
        self.hits = self.misses = 0
        self._kept: OrderedDict[bytes, list[Tensor]] = OrderedDict()
        self._num_bytes = 0
        self._lock = threading.Lock()

    def tables(self, allowed: Tensor) -> list[Tensor]:
        """Per level, int32 [B or 1, nodes]: the items beneath each node that each row permits.

        Args:
            allowed: bool [B or 1, N] over item_index.
        """
        found = [self.permitted_leaves(row) for row in allowed]
        return [
            torch.stack(level) if len(level) > 1 else level[0][None]
            for level in zip(*found, strict=True)
        ]

    def permitted_leaves(self, permitted: Tensor) -> list[Tensor]:
        """As `PrefixIndex.permitted_leaves`; what is given must not be changed.

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
        made = self.index.permitted_leaves(permitted.to(self.index.device))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._num_bytes += _num_bytes(made)
            while self._num_bytes > self.max_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._num_bytes -= _num_bytes(oldest)
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
        leaves: what `FilterCache.tables` made of `allowed`, where that was done before.
    """

    def __init__(
        self,
        index: PrefixIndex,
        num_requests: int,
        *,
        allowed: Tensor | None = None,
        excluded: Tensor | None = None,
        filters: FilterCache | None = None,
        leaves: list[Tensor] | None = None,
    ) -> None:
        self.num_requests = num_requests
        self._leaves: list[Tensor] = []  # per level, int32 [B or 1, nodes]
        if leaves is not None:
            self._leaves = leaves
        elif allowed is not None:
            self._leaves = (filters or FilterCache(index)).tables(allowed)
        self._closed = self._close(index, excluded)

    @property
    def is_open(self) -> bool:
        """Whether everything is permitted to everybody."""
        return not self._leaves and not any(keys.numel() for keys in self._closed)

    def permits(self, level: int, edges: Edges, beams: int) -> Tensor | None:
        """bool [E]: whether each edge leads to a permitted item; None if all do.

        Args:
            level: that the edges lead to.
            edges: of the rows of all requests.
            beams: rows a request.
        """
        permits = None
        request = edges.row // beams if self.num_requests > 1 else None
        if self._leaves:
            permits = self._permitted_leaves(level, request, edges.child) > 0
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
        if index.is_static:
            return self._close_padded(index, excluded.to(index.device))
        request, item = _pairs(excluded.to(index.device))
        known = index.has_items(item)
        if not known.all():
            request, item = request[known], item[known]
        path = index.path_of(item)  # [P, L]
        if self._leaves:  # what is forbidden to everybody closes nothing for one
            kept = self._permitted_leaves(index.num_levels - 1, request, path[:, -1]) > 0
            request, path = request[kept], path[kept]
        keys = [_key(request, path[:, -1]).sort().values]
        for level in reversed(range(index.num_levels - 1)):
            # A prefix is closed where all permitted leaves beneath it are: rows beneath a child
            # that is open need not be counted.
            key, row, count = torch.unique(
                _key(request, path[:, level]), return_inverse=True, return_counts=True
            )
            node = key & NODE_MASK
            if self._leaves:
                leaves = self._permitted_leaves(level, key >> NODE_BITS, node)
            else:
                leaves = index.num_leaves(level, node)
            closed = count >= leaves
            keys.append(key[closed])
            if not keys[-1].numel():
                return [*keys[-1:] * level, *reversed(keys)]
            below = closed[row]
            request, path = request[below], path[below]
        return keys[::-1]

    def _close_padded(self, index: PrefixIndex, excluded: Tensor) -> list[Tensor]:
        """As `_close`, with a key for every entry: those that close nothing are of no node."""
        item = excluded.clamp(min=0)  # [B, S]
        counts = (excluded != NO_ITEM) & index.has_items(item)
        item = torch.where(counts, item, index.leaf_item[0])
        request = torch.arange(len(item), device=item.device)[:, None].expand_as(item)
        path = index.path_of(item).clamp(min=0)  # [B, S, L]
        if self._leaves:  # what is forbidden to everybody closes nothing for one
            counts &= self._permitted_leaves(index.num_levels - 1, request, path[..., -1]) > 0
        repeated = (item[:, :, None] == item[:, None]) & counts[:, None]  # [B, S, S]
        counts &= ~repeated.tril(-1).any(-1)
        keys = []
        for level in range(index.num_levels):
            node = path[..., level]
            beneath = ((node[:, :, None] == node[:, None]) & counts[:, None]).sum(-1)
            if self._leaves:
                leaves = self._permitted_leaves(level, request, node)
            else:
                leaves = index.num_leaves(level, node)
            is_closed = counts & (beneath >= leaves)
            key = _key(request, torch.where(is_closed, node, NODE_MASK))
            keys.append(key.sort(dim=1).values.flatten())
        return keys

    def _permitted_leaves(self, level: int, request: Tensor | None, nodes: Tensor) -> Tensor:
        """int32, as `nodes`: the items beneath each node that its request's filter permits."""
        table = self._leaves[level]
        if request is None or len(table) == 1:
            return table[0, nodes]
        return table[request, nodes]


NODE_BITS = 31
NODE_MASK = (1 << NODE_BITS) - 1


def _key(request: Tensor, node: Tensor) -> Tensor:
    return (request << NODE_BITS) + node


def _num_bytes(tables: list[Tensor]) -> int:
    return sum(table.numel() * table.element_size() for table in tables)


def _pairs(excluded: Tensor) -> tuple[Tensor, Tensor]:
    """Request and item of everything that is left out, int64 [P], each pair once."""
    request, column = torch.nonzero(excluded != NO_ITEM, as_tuple=True)
    pairs = torch.unique(_key(request, excluded[request, column]))
    return pairs >> NODE_BITS, pairs & NODE_MASK
