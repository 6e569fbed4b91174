"""Item vectors from what people did: items that follow each other in histories lie close."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from genrec.embeddings.item_embeddings import ItemEmbeddings
from genrec.errors import InputError
from genrec.interactions import Histories, transitions

__all__ = ["CO_OCCURRENCE", "CoOccurrenceConfig", "collaborative_vectors", "pair_counts"]

Floats = npt.NDArray[np.float32]

CO_OCCURRENCE = "co-occurrence"


@dataclass(frozen=True, kw_only=True)
class CoOccurrenceConfig:
    """What counts as together, and how wide the vectors are."""

    width: int = 64
    """D of the vectors; a small catalogue gets less."""
    window: int = 5
    """Events of one person at most this far apart count as a pair, by 1 / distance."""
    smoothing: float = 0.75
    """Power of the context's frequency: below 1, rare contexts count for less."""
    shrinkage: float = 5.0
    """Pairs at which an item's vector is trusted by half."""
    seed: int = 0
    """Of the starting vector of the decomposition."""

    def __post_init__(self) -> None:
        for name in ("width", "window"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.smoothing <= 1:
            raise InputError(f"smoothing must be in (0, 1], got {self.smoothing}")
        if self.shrinkage < 0:
            raise InputError(f"shrinkage must be at least 0, got {self.shrinkage}")


def collaborative_vectors(
    histories: Histories, num_items: int, config: CoOccurrenceConfig
) -> ItemEmbeddings:
    """Unit vectors whose products approximate how much more often than by chance items go together.

    An item that stands in n pairs has the confidence n / (n + `shrinkage`); one without a pair has
    a zero row and no confidence.

    Args:
        histories: what may be learnt from: training histories only.
        num_items: N.
        config: pairs and width.

    Raises:
        InputError: nobody has two different events.

    Source: positive pointwise mutual information, decomposed (Levy and Goldberg, NeurIPS 2014).
    """
    counts = pair_counts(histories, num_items, config.window)
    if counts.nnz == 0 or num_items < 3:
        raise InputError(
            "collaborative vectors need people with at least 2 different training events among "
            "at least 3 items; use the items' texts alone"
        )
    num_partners = np.diff(counts.indptr)
    return ItemEmbeddings(
        vectors=_decomposed(_positive_mutual_information(counts, config.smoothing), config),
        model=CO_OCCURRENCE,
        confidence=(num_partners / (num_partners + config.shrinkage)).astype(np.float32),
    )


def _decomposed(information: sparse.csr_array, config: CoOccurrenceConfig) -> Floats:
    """float32 [N, D]: the strongest directions, rows at unit length; an empty row stays zero."""
    num_items = information.shape[0]
    width = min(config.width, num_items - 1)
    start = np.random.default_rng(config.seed).normal(size=num_items)
    left, strengths, _ = svds(information, k=width, v0=start)
    vectors = left * np.sqrt(strengths)
    vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(width)])
    vectors = vectors[:, np.argsort(-strengths, kind="stable")]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    empty = np.diff(information.indptr)[:, None] == 0
    return np.where(empty, 0.0, vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def pair_counts(histories: Histories, num_items: int, window: int) -> sparse.csr_array:
    """Symmetric [N, N]: sums of 1 / distance over two different items of one history."""
    followed = transitions(histories, num_items, window).tocoo()
    different = followed.row != followed.col
    pairs = (followed.row[different], followed.col[different])
    total = sparse.coo_array((followed.data[different], pairs), shape=followed.shape).tocsr()
    return (total + total.T).tocsr()


def _positive_mutual_information(counts: sparse.csr_array, smoothing: float) -> sparse.csr_array:
    """max(0, log p(i, j) / (p(i) p(j))), on the pairs that occur."""
    frequency = counts.sum(axis=1)  # [N]
    context = frequency**smoothing
    pairs = counts.tocoo()
    expected = frequency[pairs.row] * context[pairs.col] / context.sum()
    information = np.log(pairs.data / expected)
    kept = information > 0
    where = (pairs.row[kept], pairs.col[kept])
    return sparse.coo_array((information[kept], where), shape=counts.shape).tocsr()
