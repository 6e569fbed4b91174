"""Items whose log-probability is asked for beside a search: they go along behind its beams."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.decoding.prefix_index import Edges, PrefixIndex
from genrec.interactions import NO_ITEM

__all__ = ["TrackedItems"]


class TrackedItems:
    """C items a request; at every level behind the first their prefixes are rows behind the beams.

    Args:
        index: the catalogue.
        items: int64 [B, C], of the catalogue; NO_ITEM where there are fewer.
    """

    def __init__(self, index: PrefixIndex, items: Tensor) -> None:
        self._index = index
        self._is_item = items != NO_ITEM
        # Item 0 may have left the catalogue; what has a leaf has a path.
        some = torch.where(self._is_item, items, index.leaf_item[0])
        self._path = index.path_of(some).clamp_(min=0)  # [B, C, L]
        self._log_prob = torch.zeros(items.shape, device=items.device)

    @property
    def log_prob(self) -> Tensor:
        """float32 [B, C]: of each item, down to the level that was scored last; -inf of none."""
        return self._log_prob.masked_fill(~self._is_item, -torch.inf)

    def score(self, level: int, edges: Edges, log_probs: Tensor, beams: int) -> None:
        """Adds what the step to `level` gives.

        Args:
            level: that the edges lead to.
            edges: of the rows of all requests.
            log_probs: float32 [E], of each child given its row's prefix.
            beams: rows a request that belong to the search, in front of those of the items.
        """
        if not log_probs.numel():
            return
        place = self._index.place_of(edges, self._rows(level, beams), self._path[..., level])
        self._log_prob = self._log_prob + log_probs.take(place)

    def hide(self, level: int, edges: Edges, scores: Tensor, beams: int) -> Tensor:
        """float32 [E]: -inf on the items' own edges, so that no beam goes on from there."""
        if level == 0:
            return scores
        total = beams + self._path.shape[1]
        if edges.width is not None:
            scores.view(-1, total, edges.width)[:, beams:].fill_(-torch.inf)
            return scores
        return scores.masked_fill_(edges.row % total >= beams, -torch.inf)

    def behind(
        self, level: int, nodes: Tensor, scores: Tensor, parents: Tensor, beams: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes, scores and parents [B, M + C]: those of the beams, then those of the items.

        Args:
            level: that was chosen.
            nodes: int64 [B, M]: where the beams stand.
            scores: float32 [B, M].
            parents: int64 [B, M]: the rows that they descend from.
            beams: rows a request that belonged to the search before.
        """
        return (
            torch.cat([nodes, self._path[..., level]], dim=1),
            torch.cat([scores, torch.zeros_like(self._log_prob)], dim=1),
            torch.cat([parents, self._rows(level, beams)], dim=1),
        )

    def _rows(self, level: int, beams: int) -> Tensor:
        """int64 [B, C]: the rows of the prefixes above `level`; all of them the root's at first."""
        batch, items, _ = self._path.shape
        device = self._path.device
        first = torch.arange(batch, device=device)[:, None]
        if level == 0:
            return (first * beams).expand(-1, items)
        return first * (beams + items) + torch.arange(beams, beams + items, device=device)
