"""Item-to-item sources: the items of a history vote, each with its row of one matrix.

EASE, item cosines and transitions differ in the matrix alone. They are fitted in closed form, read
no content and know nothing of an item that nobody had.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from genrec.errors import InputError
from genrec.interactions import (
    NO_ITEM,
    Histories,
    Recommendations,
    RequestBatch,
    answer_in_parts,
    divided_by_counts,
    select_top_k,
    transitions,
)

__all__ = ["ItemItemSource", "ease_weights", "followed_by", "item_cosines"]

ROWS_AT_ONCE = 512

FloatArray = npt.NDArray[np.float32]


class ItemItemSource:
    """Scores every item by the sum of what the history's items say of it.

    Args:
        name: as tables show it.
        weights: float [N, N], dense or sparse: row i: what item i says of every item.
        fading: what an event counts, for each place that it is older; 1 counts all alike.

    Raises:
        InputError: the matrix is not square, or fading is not in (0, 1].
    """

    def __init__(
        self, name: str, weights: FloatArray | sparse.csr_array, *, fading: float = 1.0
    ) -> None:
        if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
            raise InputError(f"weights must be [N, N], got {weights.shape}")
        if not 0 < fading <= 1:
            raise InputError(f"fading must be in (0, 1], got {fading}")
        self.name, self.weights, self.fading = name, weights, fading

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        """The k items with the most votes; an empty history gives the lowest indices at 0."""
        return answer_in_parts(requests, ROWS_AT_ONCE, lambda part: self._recommend(part, k))

    def _recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        num_items = self.weights.shape[0]
        scores = self._votes(requests) @ self.weights  # [B, N]
        dense = scores.toarray() if sparse.issparse(scores) else scores
        permitted = requests.permitted(num_items)
        return select_top_k(torch.from_numpy(np.asarray(dense)), permitted, k, self.name)

    def _votes(self, requests: RequestBatch) -> sparse.csr_array:
        """float32 [B, N]: what each item of each history counts."""
        there = requests.item_index != NO_ITEM
        age = requests.lengths[:, None] - torch.arange(there.shape[1]) - 1  # [B, T]
        row = there.nonzero()[:, 0].numpy()
        votes = (self.fading ** age[there].numpy()).astype(np.float32)
        shape = (len(requests), self.weights.shape[0])
        votes_of = sparse.coo_array((votes, (row, requests.item_index[there].numpy())), shape=shape)
        return sparse.csr_array(votes_of)


def followed_by(histories: Histories, num_items: int, window: int = 5) -> sparse.csr_array:
    """float32 [N, N]: `transitions`, divided by the root of both items' counts."""
    counts = np.bincount(histories.item_index, minlength=num_items)
    return divided_by_counts(transitions(histories, num_items, window), counts)


def item_cosines(histories: Histories, num_items: int) -> sparse.csr_array:
    """float32 [N, N]: the cosine between the sets of people who had each item; 0 with itself."""
    people = _people(histories, num_items)
    together = sparse.csr_array(people.T @ people)
    cosines = divided_by_counts(together, together.diagonal())
    row = np.repeat(np.arange(num_items), np.diff(cosines.indptr))
    cosines.data[cosines.indices == row] = 0.0
    return cosines


def ease_weights(histories: Histories, num_items: int, l2: float) -> FloatArray:
    """float32 [N, N]: the item-to-item weights of EASE, the diagonal zero.

    Takes 8 N² bytes and time in N³: for catalogues of some ten thousand items.

    Args:
        histories: what may be learnt from.
        num_items: N.
        l2: the regularisation, above 0.

    Raises:
        InputError: l2 is not above 0.

    Source: Steck, WWW 2019, equation 8.
    """
    if l2 <= 0:
        raise InputError(f"l2 must be above 0, got {l2}")
    people = _people(histories, num_items)
    gram = torch.from_numpy((people.T @ people).toarray().astype(np.float32))
    gram.diagonal().add_(l2)
    precision = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    weights = precision / -precision.diagonal()
    weights.fill_diagonal_(0.0)
    return np.ascontiguousarray(weights.numpy())  # SciPy would copy it in every product


def _people(histories: Histories, num_items: int) -> sparse.csr_array:
    """float32 [U, N]: 1 where a person had an item, however often."""
    user = np.repeat(np.arange(len(histories)), histories.lengths)
    ones = np.ones(user.size, dtype=np.float32)
    shape = (len(histories), num_items)
    people = sparse.csr_array(sparse.coo_array((ones, (user, histories.item_index)), shape=shape))
    people.data[:] = 1.0
    return people
