"""Which items followed which: counted from histories, nearer events counting more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from genrec.interactions.histories import Histories

__all__ = ["divided_by_counts", "transitions"]


def transitions(histories: Histories, num_items: int, window: int) -> sparse.csr_array:
    """float64 [N, N]: row i, column j: the sum of 1 / distance over all events j after an i.

    Args:
        histories: everything that is counted.
        num_items: N.
        window: the greatest distance within one history that counts, at least 1.
    """
    user = np.repeat(np.arange(len(histories)), histories.lengths)
    items = histories.item_index
    before, after, weight = [], [], []
    for distance in range(1, min(window, max(items.size - 1, 0)) + 1):
        same = user[distance:] == user[:-distance]
        before.append(items[:-distance][same])
        after.append(items[distance:][same])
        weight.append(np.full(int(same.sum()), 1.0 / distance))
    pairs = tuple(np.concatenate([*part, np.empty(0, np.int64)]) for part in (before, after))
    values = np.concatenate([*weight, np.empty(0)])
    matrix = sparse.coo_array((values, pairs), shape=(num_items, num_items)).tocsr()
    matrix.sort_indices()
    return sparse.csr_array(matrix)


def divided_by_counts(
    matrix: sparse.csr_array, counts: npt.NDArray[np.integer | np.floating]
) -> sparse.csr_array:
    """float32, as `matrix` [N, N]: every entry divided by the root of both items' counts.

    So frequent items do not go with everything.

    Args:
        matrix: its entries are of items whose counts are above 0.
        counts: [N].
    """
    row = np.repeat(np.arange(len(counts)), np.diff(matrix.indptr))
    data = matrix.data / np.sqrt(counts[row] * counts[matrix.indices])
    return sparse.csr_array(
        (data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape
    )
