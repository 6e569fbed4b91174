"""A list that was made beforehand: it knows nobody, costs next to nothing and cannot fail."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.interactions import NO_ITEM, Recommendations, RequestBatch, Source, select_top_k

__all__ = ["LastResort"]


class LastResort:
    """The same order for everybody, minus what is not permitted.

    Args:
        name: as tables and `served_by` show it.
        scores: float [N]: what the order goes by, higher first.
    """

    def __init__(self, name: str, scores: Tensor) -> None:
        best = select_top_k(scores[None, :], None, scores.shape[0], name)
        self._name = name
        self._order = best.item_index[0]  # [N]
        self._score = best.score[0]  # [N]

    @property
    def name(self) -> str:
        """As tables and `served_by` show it."""
        return self._name

    @property
    def num_items(self) -> int:
        """N: the items of the catalogue."""
        return self._order.shape[0]

    @classmethod
    def of(cls, source: Source, num_items: int) -> LastResort:
        """What this source recommends to somebody without a history, kept for later."""
        nobody = RequestBatch(
            item_index=torch.full((1, 1), NO_ITEM, dtype=torch.int64),
            event_time=torch.zeros(1, 1, dtype=torch.int64),
            user_index=torch.full((1,), -1, dtype=torch.int64),
        )
        best = source.recommend(nobody, num_items)
        scores = torch.full((num_items,), -torch.inf)
        there = best.item_index[0] != NO_ITEM
        scores[best.item_index[0][there]] = best.score[0][there].float()
        return cls(source.name, scores)

    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        """The first k permitted items of the list, for each question; of N items, N at most."""
        num_items, num_questions = self._order.shape[0], len(requests)
        k = min(k, num_items)
        permitted = requests.permitted(num_items)
        if permitted is None:
            allowed = torch.ones(num_questions, num_items, dtype=torch.bool)
        else:
            allowed = permitted[:, self._order].expand(num_questions, -1)
        allowed = allowed & (self._score > -torch.inf)
        place = allowed.cumsum(1) - 1  # [B, N]: of each item in the answer
        rows, columns = torch.nonzero(allowed & (place < k), as_tuple=True)
        item_index = torch.full((num_questions, k), NO_ITEM, dtype=torch.int64)
        score = torch.full((num_questions, k), -torch.inf)
        item_index[rows, place[rows, columns]] = self._order[columns]
        score[rows, place[rows, columns]] = self._score[columns]
        return Recommendations(item_index=item_index, score=score, source=self._name)
