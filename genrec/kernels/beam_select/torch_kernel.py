"""The kernel in PyTorch: the best groups of entries first, then the best of their entries.

The entries of a row are divided into groups. At least M entries are as good as the M-th best of the
groups' maxima, so what is to be found lies in the M best groups, unless the next group's maximum is
as good as the last entry found there. Only one pass, for the maxima, reads everything.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CONTIGUOUS_GROUP", "FEWEST_ENTRIES", "SMALLEST_GROUP", "beam_select_torch"]

FEWEST_ENTRIES = 1 << 14  # of all rows; the steps below cost more than they save for fewer
SMALLEST_GROUP = 4  # entries; smaller ones leave too many maxima
CONTIGUOUS_GROUP = 48  # entries; PyTorch finds maxima of long runs fast, of short ones it does not


def beam_select_torch(scores: Tensor, index: Tensor, num_beams: int) -> tuple[Tensor, Tensor]:
    """float32 and int64 [B, M], as `beam_select` with checked arguments."""
    found = min(num_beams, scores.shape[1])
    size = int(math.sqrt(scores.shape[1] / (found + 1)))  # balances maxima and entries in groups
    if size < SMALLEST_GROUP or scores.numel() < FEWEST_ENTRIES:
        best, position = _best(scores, index, found)
    else:
        best, position = _best_of_groups(scores, index, found, size)
    position = position.masked_fill(best == -torch.inf, 0)
    if found < num_beams:
        missing = (0, num_beams - found)
        return F.pad(best, missing, value=-torch.inf), F.pad(position, missing)
    return best, position


def _best_of_groups(scores: Tensor, index: Tensor, found: int, size: int) -> tuple[Tensor, Tensor]:
    """The best scores [B, found] and their positions, from groups of `size` entries."""
    places, limit = _candidates(scores, found, size)
    index = index.expand_as(scores)
    best, chosen = _best(scores.gather(1, places), index, found, places)
    position = places.gather(1, chosen)
    undecided = ((best[:, -1] == limit) & (limit > -torch.inf)).nonzero()[:, 0]
    if undecided.numel():
        best[undecided], position[undecided] = _best_by_key(
            scores[undecided], index[undecided], found
        )
    return best, position


def _candidates(scores: Tensor, found: int, size: int) -> tuple[Tensor, Tensor]:
    """The entries of the best groups, and those behind the last whole group.

    Returns:
        Their positions, int64 [B, C], and the highest score of all other entries, float32 [B].
    """
    rows, width = scores.shape
    groups = width // size
    whole = scores[:, : groups * size]
    if size >= CONTIGUOUS_GROUP:
        maxima, stride, step = whole.view(rows, groups, size).amax(dim=2), size, 1
    else:
        maxima, stride, step = whole.view(rows, size, groups).amax(dim=1), 1, groups
    highest, group = maxima.topk(found + 1, dim=1)
    within = torch.arange(size, device=scores.device) * step
    places = (group[:, :found, None] * stride + within).flatten(1)
    rest = torch.arange(groups * size, width, device=scores.device).expand(rows, -1)
    return torch.cat([places, rest], dim=1), highest[:, found]


def _best(
    scores: Tensor, index: Tensor, found: int, places: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """By score alone where no two of the best are equal, else by key.

    Args:
        scores: float32 [B, C].
        index: int64 [B, W] or [W].
        found: how many.
        places: int64 [B, C]: where in `index` the scores' indices stand; None: where they stand.
    """
    best, position = scores.topk(min(found + 1, scores.shape[1]), dim=1)
    decided = best[:, :-1] > best[:, 1:]
    if decided.all() or (decided | (best[:, 1:] == -torch.inf)).all():
        return best[:, :found], position[:, :found]
    return _best_by_key(scores, index if places is None else index.gather(1, places), found)


def _best_by_key(scores: Tensor, index: Tensor, found: int) -> tuple[Tensor, Tensor]:
    """By int64 keys that order as the scores do and, among equal scores, put low indices first."""
    bits = (scores + 0.0).view(torch.int32).long()  # + 0.0 turns -0.0 into 0.0
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    position = ((ordered << 32) - index).topk(found, dim=1).indices
    return scores.gather(1, position), position
