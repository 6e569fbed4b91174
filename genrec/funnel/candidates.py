"""Many sources' lists become one set of candidates, each item once, with what each source said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genrec.interactions import NO_ITEM, Recommendations, RequestBatch

__all__ = ["Candidates", "merge_candidates"]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """C items per question that a ranker shall order."""

    item_index: Tensor
    """int64 [B, C]: each item once per row, NO_ITEM behind the end."""
    source_scores: Mapping[str, Tensor]
    """float32 [B, C] by source name: its score; NaN where the source did not list the item."""

    def permitted_by(self, requests: RequestBatch) -> Candidates:
        """The same candidates without those that these B requests do not permit."""
        there = self.item_index != NO_ITEM
        return self._keep(there & requests.permits(self.item_index))

    def _keep(self, kept: Tensor) -> Candidates:
        """Moves what is kept to the front of its row, in its order, and drops empty columns."""
        order = (~kept).to(torch.int8).argsort(dim=1, stable=True)  # [B, C]
        width = int(kept.sum(1).max()) if kept.numel() else 0
        order = order[:, :width]
        there = kept.gather(1, order)
        return Candidates(
            item_index=self.item_index.gather(1, order).masked_fill(~there, NO_ITEM),
            source_scores={
                name: score.gather(1, order).masked_fill(~there, torch.nan)
                for name, score in self.source_scores.items()
            },
        )


def merge_candidates(found: Sequence[Recommendations]) -> Candidates:
    """The union of these lists, in the order of their first mention.

    Args:
        found: one list per source, sources of different names, the same B questions in each.
    """
    item_index = torch.cat([each.item_index for each in found], dim=1)  # [B, C]
    first = _first_mentions(item_index)
    scores = {each.source: _score_of(item_index, each) for each in found}
    return Candidates(item_index=item_index, source_scores=scores)._keep(first)


def _first_mentions(item_index: Tensor) -> Tensor:
    """bool [B, C]: true where an item stands for the first time in its row."""
    ordered, places = item_index.sort(dim=1, stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return torch.empty_like(first).scatter_(1, places, first) & (item_index != NO_ITEM)


def _score_of(item_index: Tensor, source: Recommendations) -> Tensor:
    """float32 [B, C]: this source's score of every item, NaN where it did not list it."""
    width = source.item_index.shape[1]
    if not width:
        return torch.full(item_index.shape, torch.nan)
    ordered, places = source.item_index.sort(dim=1)
    found = torch.searchsorted(ordered, item_index.contiguous()).clamp(max=width - 1)
    listed = (ordered.gather(1, found) == item_index) & (item_index != NO_ITEM)
    score = source.score.gather(1, places.gather(1, found)).float()
    return score.masked_fill(~listed, torch.nan)
