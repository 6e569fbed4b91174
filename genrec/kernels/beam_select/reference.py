"""What selecting beams means, row by row and without any speed: the specification."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["beam_select_reference"]


def beam_select_reference(scores: Tensor, index: Tensor, num_beams: int) -> tuple[Tensor, Tensor]:
    """float32 and int64 [B, M]: the best by score, among equals the lowest index, and where.

    Places without an entry have the score -inf and the position 0.

    Args:
        scores: float32 [B, W], -inf where there is nothing to select.
        index: int64 [B, W] or [W].
        num_beams: M.
    """
    best = scores.new_full((len(scores), num_beams), -torch.inf)
    position = torch.zeros(best.shape, dtype=torch.int64, device=scores.device)
    for row, indices in enumerate(index.expand_as(scores)):
        available = (scores[row] > -torch.inf).nonzero()[:, 0]
        by_index = available[indices[available].argsort()]
        by_score = scores[row, by_index].argsort(descending=True, stable=True)
        chosen = by_index[by_score][:num_beams]
        best[row, : len(chosen)] = scores[row, chosen]
        position[row, : len(chosen)] = chosen
    return best, position
