"""Items by how often they were had: the floor under every table, and the answer of last resort."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.interactions import (
    NO_ITEM,
    Histories,
    Recommendations,
    RequestBatch,
    select_top_k,
)

__all__ = ["PopularitySource", "count_items"]


def count_items(histories: Histories, num_items: int) -> npt.NDArray[np.int64]:
    """int64 [N]: how many events each item has."""
    return np.bincount(histories.item_index, minlength=num_items).astype(np.int64)


class PopularitySource:
    """The same list for everybody: items by their count, the lowest item_index first among equals.

    Args:
        counts: int64 [N], not negative: training events of each item; the score is the count.
    """

    name = "popularity"

    def __init__(self, counts: npt.NDArray[np.int64]) -> None:
        if counts.ndim != 1 or not counts.size or counts.min() < 0:
            raise InputError(
                f"counts must be a vector of at least one count, none negative; got shape "
                f"{counts.shape}: use count_items(histories, num_items)"
            )
        self.counts = counts
        self._order = torch.from_numpy(np.argsort(-counts, kind="stable"))  # [N]
        self._scores = torch.from_numpy(counts.astype(np.float32))[self._order]  # [N], falling

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        """The k most frequent permitted items of each question."""
        requests = requests.within(len(self._order))
        permitted = requests.permitted(len(self._order))
        width = self._enough(permitted, k)
        items = self._order[:width]
        scores = self._scores[:width].expand(len(requests), -1)  # [B, width]
        best = select_top_k(
            scores, None if permitted is None else permitted[:, items], k, self.name
        )
        chosen = items[best.item_index.clamp(min=0)]
        item_index = chosen.masked_fill(best.item_index == NO_ITEM, NO_ITEM)
        return Recommendations(item_index=item_index, score=best.score, source=self.name)

    def _enough(self, permitted: Tensor | None, k: int) -> int:
        """How many of the most frequent items are sure to hold the k best permitted ones."""
        num_items = len(self._order)
        forbidden = 0
        if permitted is not None and len(permitted):
            forbidden = num_items - int(permitted.sum(1).min())
        return min(num_items, k + forbidden)
