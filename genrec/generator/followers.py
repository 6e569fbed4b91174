"""What followed what in training: the third voice of `combined`, which remembers single pairs.

A model of 128 dimensions cannot remember which of ten thousand items came after which; a list of
each item's strongest followers can. It is counted, not learnt: in training it would know the very
pair that is asked for, so it is brought in afterwards, with a weight that validation chooses.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from genrec.generator.likeness import faded
from genrec.generator.relatives import Relatives
from genrec.interactions import NO_ITEM, Histories, divided_by_counts, transitions

__all__ = ["borrowed_scores", "follower_scores", "strongest_followers"]

WINDOW = 5
"""Places within which one event follows another."""
BORROWED_GAIN = 2.0
"""What relatives followed counts for a new item: they seldom followed the very same items, so their
mean is weaker than what each of them followed; validation chose by how much."""


def strongest_followers(
    blocks: Iterable[Histories], num_items: int, most: int, relatives: Relatives | None = None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The items that followed each item most, int32 [N, F], and how much, float32 [N, F].

    The measure is `transitions`, divided by the root of both items' counts. F is the longest list,
    at most `most`; shorter ones end with NO_ITEM and 0.

    Args:
        blocks: what may be learnt from, all of it in memory or block by block; the pairs that
            occurred are in memory.
        num_items: N.
        most: followers kept of an item.
        relatives: of the items that never occur, in the order of their numbers: they follow what
            these follow. None leaves them out.
    """
    counts = np.zeros(num_items, dtype=np.int64)
    followed = sparse.csr_array((num_items, num_items))
    for block in blocks:
        counts += np.bincount(block.item_index, minlength=num_items)
        followed = followed + transitions(block, num_items, WINDOW)
    followed.sort_indices()
    matrix = divided_by_counts(followed, counts)
    row, place, follower, strength = _strongest(matrix, most)
    if relatives is not None:  # they borrow from short lists: from all pairs it would be many more
        short = sparse.csr_array((strength, (row, follower)), shape=matrix.shape)
        matrix = _with_borrowed(short, np.flatnonzero(counts == 0), relatives)
        row, place, follower, strength = _strongest(matrix, most)
    shape = (num_items, int(place.max(initial=-1)) + 1)
    items = np.full(shape, NO_ITEM, dtype=np.int32)
    weights = np.zeros(shape, dtype=np.float32)
    items[row, place] = follower
    weights[row, place] = strength
    return items, weights


def _strongest(
    matrix: sparse.csr_array, most: int
) -> tuple[
    npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float32]
]:
    """Row, place, column and value of the `most` largest entries of each row, the largest first."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    place = np.arange(order.size) - matrix.indptr[row]
    kept = place < most
    return row[kept], place[kept], matrix.indices[order][kept], matrix.data[order][kept]


def _with_borrowed(
    matrix: sparse.csr_array, newcomers: npt.NDArray[np.int64], relatives: Relatives
) -> sparse.csr_array:
    """`matrix` [N, N] with columns of `newcomers`, made of those of their relatives."""
    items, shares = relatives.items.cpu().numpy(), relatives.shares.cpu().numpy()
    row = np.repeat(newcomers, items.shape[1])
    mean = sparse.csr_array((shares.ravel(), (row, items.ravel())), shape=matrix.shape)
    joined = sparse.csr_array(matrix + BORROWED_GAIN * (matrix @ mean.T))
    joined.eliminate_zeros()
    joined.sort_indices()
    return joined


def borrowed_scores(scores: Tensor, relatives: Relatives) -> Tensor:
    """float32 [B, n]: how much n new items follow each history, by what their relatives do.

    Args:
        scores: float32 [B, N]: what `follower_scores` gave.
        relatives: of the n items.
    """
    return BORROWED_GAIN * relatives.mean_of(scores.T).T


def follower_scores(followers: Tensor, weights: Tensor, history: Tensor, num_items: int) -> Tensor:
    """float32 [B, N]: how much each item follows the events of each history; 0 where it never did.

    Args:
        followers: int32 [n, F], n at most N: items that came after training follow nothing.
        weights: float32 [n, F].
        history: int64 [B, T], oldest first, NO_ITEM behind the end.
        num_items: N.
    """
    scores = weights.new_zeros(len(history), num_items)
    if not followers.numel() or not history.numel():
        return scores
    known = (history != NO_ITEM) & (history < len(followers))
    votes = faded(history) * known  # [B, T]
    rows = torch.where(known, history, 0)
    given = weights[rows] * votes[..., None]  # [B, T, F]
    places = followers[rows].clamp(min=0).long()
    return scores.scatter_add_(1, places.flatten(1), given.flatten(1))
