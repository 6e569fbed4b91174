"""Ranks of the targets in recommended lists, and recall, NDCG and reciprocal rank from them.

One array carries everything: `ranks` int64 [B, R], the place of each of a person's R targets in
their list, counted from 1. The usual next-item question has R = 1. All metrics are at item level.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genrec.interactions import NO_ITEM

__all__ = ["NOT_FOUND", "NO_TARGET", "ndcg_at", "recall_at", "reciprocal_rank_at", "target_ranks"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

NOT_FOUND = 0
"""The rank of a target that is not in the list."""
NO_TARGET = -1
"""The rank that fills a row whose person has fewer than R targets."""


def target_ranks(items: IntArray, targets: IntArray) -> IntArray:
    """int64 [B, R]: the rank of each target, NOT_FOUND or NO_TARGET.

    Args:
        items: int64 [B, k], best first, NO_ITEM where a list is shorter.
        targets: int64 [B] for one target each, or [B, R], NO_ITEM where there are fewer.

    Raises:
        ValueError: the numbers of rows differ, a row has no target or has one twice.
    """
    targets = targets[:, None] if targets.ndim == 1 else targets  # [B, R]
    if items.ndim != 2 or len(items) != len(targets):
        raise ValueError(f"lists {items.shape} and targets {targets.shape} need one row a person")
    present = targets != NO_ITEM
    if not present.any(1).all():
        raise ValueError(f"row {int(np.argmin(present.any(1)))} has no target; leave it out")
    in_order = np.sort(targets, axis=1)
    repeated = (in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] != NO_ITEM)
    if repeated.any():
        row = int(np.argmax(repeated.any(1)))
        raise ValueError(
            f"row {row} has a target twice, which would count it twice; make it unique"
        )
    ranks = np.empty(targets.shape, dtype=np.int64)
    for column, target in enumerate(targets.T):  # R is small; [B, k, R] at once would not be
        match = items == target[:, None]  # [B, k]
        ranks[:, column] = np.where(match.any(1), match.argmax(1) + 1, NOT_FOUND)
    return np.where(present, ranks, NO_TARGET)


def recall_at(ranks: IntArray, k: int) -> FloatArray:
    """float64 [B]: the share of a person's targets that stand among the first k."""
    return np.asarray(_found(ranks, k).sum(1) / _num_targets(ranks))


def ndcg_at(ranks: IntArray, k: int) -> FloatArray:
    """float64 [B]: discounted gain 1 / log2(rank + 1), divided by that of the best possible list.

    Järvelin and Kekäläinen, ACM TOIS 2002, with binary relevance.
    """
    gain = np.where(_found(ranks, k), 1.0 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0).sum(1)
    best = np.cumsum(1.0 / np.log2(np.arange(1, k + 1) + 1.0))  # best[i]: i + 1 targets on top
    return np.asarray(gain / best[np.minimum(_num_targets(ranks), k) - 1])


def reciprocal_rank_at(ranks: IntArray, k: int) -> FloatArray:
    """float64 [B]: 1 / rank of the first target found among the first k, else 0."""
    first = np.where(_found(ranks, k), ranks, k + 1).min(1)
    return np.where(first <= k, 1.0 / first, 0.0)


def _found(ranks: IntArray, k: int) -> npt.NDArray[np.bool_]:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return (ranks >= 1) & (ranks <= k)


def _num_targets(ranks: IntArray) -> IntArray:
    return np.asarray((ranks != NO_TARGET).sum(1))
