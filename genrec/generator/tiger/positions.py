"""T5's relative positions: a bias on every attention score, learnt per bucket of distances."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["distance_buckets", "position_bias"]


def position_bias(
    table: Tensor, queries: Tensor, keys: Tensor, *, both_ways: bool, max_distance: int
) -> Tensor:
    """float [H, Q, S]: what T5 adds to the score of each pair of query and key.

    Args:
        table: float [buckets, H].
        queries: int64 [Q]: the queries' positions.
        keys: int64 [S]: the keys' positions.
        both_ways: whether a query sees keys behind it and after it have buckets of their own.
        max_distance: from here on all distances share a bucket.
    """
    buckets = distance_buckets(
        keys - queries[:, None],
        num_buckets=table.shape[0],
        both_ways=both_ways,
        max_distance=max_distance,
    )
    return table[buckets].permute(2, 0, 1).contiguous()


def distance_buckets(
    offset: Tensor, *, num_buckets: int, both_ways: bool, max_distance: int
) -> Tensor:
    """int64: one bucket a distance while they are short, then ever wider ones.

    Source: Raffel et al. 2020, section 2.1; the widths grow with the logarithm up to
    `max_distance`. The order of the roundings is transformers', so that weights trained there
    find the same buckets here.

    Args:
        offset: int64, the key's position less the query's.
        num_buckets: of the table; half of them for each direction where it is `both_ways`.
        both_ways: otherwise keys after the query share the bucket of distance 0.
        max_distance: the last bucket starts at or before it.
    """
    if both_ways:
        num_buckets //= 2
        side = (offset > 0) * num_buckets
        distance = offset.abs()
    else:
        side = torch.zeros_like(offset)
        distance = -offset.clamp(max=0)
    exact = num_buckets // 2
    share = torch.log(distance.float() / exact) / math.log(max_distance / exact)
    wide = exact + (share.clamp(min=0) * (num_buckets - exact)).to(torch.int64)
    return side + torch.where(distance < exact, distance, wide.clamp(max=num_buckets - 1))
