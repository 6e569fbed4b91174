"""Sums of vectors by target, in the same order every time: what a gradient of a gather needs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["scatter_sum"]


def scatter_sum(
    vectors: Tensor, source: Tensor, target: Tensor, num_targets: int, weights: Tensor | None = None
) -> Tensor:
    """float32 [num_targets, D]: to row `target[e]` is added `weights[e] * vectors[source[e]]`.

    The edges are sorted by target and every target's run is added up: unlike `index_add` this gives
    the same bits every time on a GPU too, and makes no copy of E vectors.

    Args:
        vectors: float32 [n, D].
        source: int64 [E], rows of `vectors`.
        target: int64 [E], below num_targets.
        num_targets: rows of what comes back.
        weights: float32 [E]; None weighs all alike.
    """
    by_target = target.argsort(stable=True)
    counts = target.bincount(minlength=num_targets)
    return F.embedding_bag(
        source[by_target],
        vectors,
        counts.cumsum(0) - counts,
        mode="sum",
        per_sample_weights=None if weights is None else weights[by_target],
    )
