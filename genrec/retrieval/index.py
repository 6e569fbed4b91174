"""Nearest items by dot product in FAISS, under any permission, exact where that is affordable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
import torch
from torch import Tensor

from genrec.interactions import NO_ITEM, Recommendations, select_top_k

__all__ = ["EXACT_UP_TO", "ItemIndex"]

_faiss: Any = faiss
"""FAISS without its type stubs, which miss the arguments that its Python wrappers add."""

EXACT_UP_TO = 200_000
"""Items up to which every vector is compared; more are searched in clusters."""
SPARE = 16
"""Items fetched beyond k, so that equal scores at the edge are ordered by item_index."""
MOST_OVERFETCH = 1024
"""Forbidden items up to which they are fetched and dropped, instead of filtered inside FAISS."""
TRAINING_VECTORS_PER_CLUSTER = 64


class ItemIndex:
    """The vectors of N items, and the FAISS index over them.

    Args:
        vectors: float32 [N, D], of length 1.
        faiss_index: an index that holds just these vectors in this order.
    """

    def __init__(self, vectors: Tensor, faiss_index: Any) -> None:
        if (faiss_index.ntotal, faiss_index.d) != tuple(vectors.shape):
            raise ValueError(
                f"the index holds {faiss_index.ntotal} vectors of width {faiss_index.d}, "
                f"but there are {tuple(vectors.shape)}: build the index from these vectors"
            )
        self.vectors = vectors
        self._faiss = faiss_index

    @classmethod
    def build(cls, vectors: Tensor, *, exact_up_to: int = EXACT_UP_TO) -> ItemIndex:
        """Exact for at most `exact_up_to` items; more are put into 4 sqrt(N) clusters."""
        num_items, width = vectors.shape
        if num_items <= exact_up_to:
            index: Any = faiss.IndexFlatIP(width)
        else:
            index = _empty_clusters(width, max(1, int(4 * num_items**0.5)))
            index.cp.max_points_per_centroid = TRAINING_VECTORS_PER_CLUSTER
            index.train(_numpy(vectors))
        index.add(_numpy(vectors))
        return cls(vectors, index)

    def clusters(self) -> dict[str, Tensor]:
        """What cannot be had from the vectors quickly: nothing where all of them are compared.

        Returns:
            `centroids`, float32 [C, D], and `cluster_of`, int64 [N], below C.
        """
        if not isinstance(self._faiss, faiss.IndexIVFFlat):
            return {}
        lists: Any = self._faiss.invlists
        cluster_of = np.empty(len(self.vectors), dtype=np.int64)
        for number in range(self._faiss.nlist):
            members = _faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number))
            cluster_of[members] = number
        centroids = self._faiss.quantizer.reconstruct_n(0, self._faiss.nlist)
        return {
            "centroids": torch.from_numpy(centroids),
            "cluster_of": torch.from_numpy(cluster_of),
        }

    @classmethod
    def of_clusters(cls, vectors: Tensor, clusters: Mapping[str, Tensor]) -> ItemIndex:
        """The index of these vectors again, without a training.

        FAISS parses no file here: one of a stranger's could end the process.

        Args:
            vectors: float32 [N, D], of length 1.
            clusters: what `clusters` gave.

        Raises:
            ValueError: an item is in a cluster that there is not.
        """
        if not clusters:
            return cls.build(vectors, exact_up_to=len(vectors))
        centroids, cluster_of = _numpy(clusters["centroids"]), clusters["cluster_of"].numpy()
        if not ((cluster_of >= 0) & (cluster_of < len(centroids))).all():
            raise ValueError(f"items are in clusters beyond the {len(centroids)} that there are")
        index = _empty_clusters(vectors.shape[1], len(centroids))
        index.quantizer.add(centroids)
        index.is_trained = True
        pointers = (_faiss.swig_ptr(_numpy(vectors)), None, _faiss.swig_ptr(cluster_of))
        index.add_core(len(vectors), *pointers)
        return cls(vectors, index)

    def search(
        self, user_vector: Tensor, permitted: Tensor | None, k: int, source: str
    ) -> Recommendations:
        """The k best permitted items by dot product; the lowest item_index first among equals.

        Few forbidden items are fetched along and dropped; many are filtered inside FAISS. Where
        clusters give fewer than there are, all permitted items are compared.

        Args:
            user_vector: float32 [B, D].
            permitted: bool [B, N] or [1, N]; None permits all.
            k: items asked for; may exceed what is permitted.
            source: the recommender's name.
        """
        num_items = len(self.vectors)
        if permitted is None:
            found = self._nearest(user_vector, k + SPARE)
            if bool(((found != NO_ITEM).sum(1) >= min(k, num_items)).all()):
                return self._best(user_vector, found, k, source)
            permitted = torch.ones(1, num_items, dtype=torch.bool)
        most_forbidden = num_items - int(permitted.sum(1).min()) if len(permitted) else 0
        if most_forbidden <= MOST_OVERFETCH:
            found = self._nearest(user_vector, k + SPARE + most_forbidden)
            table = permitted.expand(len(user_vector), -1)
            forbidden = ~table.gather(1, found.clamp(min=0))
            found = found.masked_fill(forbidden, NO_ITEM)
            enough = (found != NO_ITEM).sum(1) >= table.sum(1).clamp(max=k)
            if bool(enough.all()):
                return self._best(user_vector, found, k, source)
        return self._filtered(user_vector, permitted, k, source)

    def _filtered(
        self, user_vector: Tensor, permitted: Tensor, k: int, source: str
    ) -> Recommendations:
        """One search for each row, FAISS passing over what is forbidden."""
        answers = []
        for row, vector in enumerate(user_vector):
            allowed = permitted[row if len(permitted) > 1 else 0]  # [N]
            found = self._nearest(vector[None], k + SPARE, allowed)
            if int((found != NO_ITEM).sum()) < min(k, int(allowed.sum())):
                found = allowed.nonzero().T  # [1, C]
            answers.append(self._best(vector[None], found, k, source))
        return Recommendations(
            item_index=torch.cat([answer.item_index for answer in answers]),
            score=torch.cat([answer.score for answer in answers]),
            source=source,
        )

    def _nearest(self, user_vector: Tensor, count: int, allowed: Tensor | None = None) -> Tensor:
        """int64 [B, C]: about the `count` nearest items, NO_ITEM where FAISS found fewer."""
        count = min(count, len(self.vectors))
        if allowed is None:
            parameters = None
        else:
            bits = np.packbits(allowed.numpy(), bitorder="little")
            parameters = self._parameters(_faiss.IDSelectorBitmap(bits))
        with _faiss_threads(1 if len(user_vector) == 1 else torch.get_num_threads()):
            _, found = self._faiss.search(_numpy(user_vector), count, params=parameters)
        return torch.from_numpy(found)

    def _parameters(self, selector: Any) -> Any:
        if isinstance(self._faiss, faiss.IndexIVFFlat):
            return _faiss.SearchParametersIVF(sel=selector, nprobe=self._faiss.nprobe)
        return _faiss.SearchParameters(sel=selector)

    def _best(self, user_vector: Tensor, found: Tensor, k: int, source: str) -> Recommendations:
        """The k best of the found items, scored anew: FAISS's sums depend on the batch's size."""
        found = found.sort(dim=1).values  # [B, C], lowest item_index first, for ties
        vectors = self.vectors[found.clamp(min=0)]  # [B, C, D]
        score = (vectors * user_vector[:, None]).sum(-1)
        best = select_top_k(score, found != NO_ITEM, k, source)
        chosen = found.gather(1, best.item_index.clamp(min=0))
        item_index = chosen.masked_fill(best.item_index == NO_ITEM, NO_ITEM)
        return Recommendations(item_index=item_index, score=best.score, source=source)


def _empty_clusters(width: int, num_clusters: int) -> Any:
    """An untrained index that looks into one cluster of 32."""
    index: Any = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(width), width, num_clusters, faiss.METRIC_INNER_PRODUCT
    )
    index.nprobe = max(1, num_clusters // 32)
    return index


@contextmanager
def _faiss_threads(count: int) -> Iterator[None]:
    """FAISS's own OpenMP pool beside torch's: more threads than cores make both crawl."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _numpy(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float32)
