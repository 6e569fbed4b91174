"""What an item that nobody has used takes over from used ones that are like it.

Its codes and its content count as any other item's. But a part of every item's vector is its own,
and so is what it followed: of a new item nothing of the kind was ever learnt, and it would stand
back behind all others. Until it has events, it has the mean of its relatives': the used items whose
content is most like its own, among those that share its first code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Relatives", "UsedItems"]

NUM_RELATIVES = 20
MOST_COMPARED = 500
"""Used items of a first code that a new one is compared with; of more, evenly spread ones."""
TEMPERATURE = 0.1
"""Of the softmax over likenesses that says how much each relative counts."""


@dataclass(frozen=True, kw_only=True)
class Relatives:
    """Those of n items."""

    items: Tensor
    """int64 [n, R]: used items, the most alike first; any item where there are fewer."""
    shares: Tensor
    """float32 [n, R]: what each counts, together 1; 0 where there is none."""

    def mean_of(self, values: Tensor) -> Tensor:
        """float [n, D]: the mean of `values` [N, D] over the relatives; 0 without any."""
        mean: Tensor = F.embedding_bag(
            self.items, values, per_sample_weights=self.shares, mode="sum"
        )
        return mean


class UsedItems:
    """The items that relatives are found among.

    Args:
        codes: int [N, L].
        content: float32 [N, Dc]: unit content.
        is_used: bool [N].
    """

    def __init__(self, codes: Tensor, content: Tensor, is_used: Tensor) -> None:
        self._content = content
        used = is_used.nonzero()[:, 0]
        first = codes[used, 0].long()
        self._items = used[first.argsort(stable=True)]
        """int64: by first code."""
        self._ends = first.bincount(minlength=int(codes[:, 0].max()) + 1).cumsum(0)

    def relatives(self, codes: Tensor, content: Tensor) -> Relatives:
        """Of items that are not among them.

        Args:
            codes: int [n, L].
            content: float32 [n, Dc]: unit content.
        """
        items = torch.zeros(len(codes), NUM_RELATIVES, dtype=torch.int64, device=codes.device)
        shares = content.new_zeros(items.shape)
        first = codes[:, 0]
        for code in first.unique().tolist():
            members = self._with_first(code)
            most = min(NUM_RELATIVES, len(members))
            if most:
                rows = (first == code).nonzero()[:, 0]
                alike, nearest = (content[rows] @ self._content[members].T).topk(most)
                items[rows, :most] = members[nearest]
                shares[rows, :most] = (alike / TEMPERATURE).softmax(1)
        return Relatives(items=items, shares=shares)

    def _with_first(self, code: int) -> Tensor:
        """int64 [m]: used items whose first code this is, MOST_COMPARED at most."""
        if code >= len(self._ends):
            return self._items[:0]
        start = int(self._ends[code - 1]) if code else 0
        end = int(self._ends[code])
        return self._items[start : end : max(-(-(end - start) // MOST_COMPARED), 1)]
