"""How like an item's content is to what somebody had: the fourth voice of `combined`.

The encoder presses content into its own few dimensions; the content embeddings themselves tell
finer likeness, and they know an item that nobody has used as well as any other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.interactions import NO_ITEM

__all__ = ["content_of", "faded", "history_content"]

FADING = 0.6
"""What an event of the history counts beside the one after it."""


def faded(history: Tensor) -> Tensor:
    """float32 [B, T]: what each event of the histories counts, the last 1, each before it less.

    Args:
        history: int64 [B, T], oldest first, NO_ITEM behind the end, which counts 0.
    """
    there = history != NO_ITEM
    age = there.sum(1, keepdim=True) - 1 - torch.arange(history.shape[1], device=history.device)
    return torch.where(there, FADING**age, 0.0)


def history_content(content: Tensor, added: Tensor | None, history: Tensor) -> Tensor:
    """float32 [B, Dc]: the mean of the events' content, later events counting more; 0 without any.

    Args:
        content: float32 [N, Dc]: unit content of the items that were trained on.
        added: float32 [n, Dc]: of the items behind them; None where there are none.
        history: int64 [B, T], oldest first, NO_ITEM behind the end.
    """
    counts = faded(history)  # [B, T]
    if not history.shape[1]:
        return content.new_zeros(len(history), content.shape[1])
    total = counts.sum(1, keepdim=True).clamp(min=torch.finfo(counts.dtype).tiny)
    vectors = content_of(content, added, history.clamp(min=0))
    return ((counts / total)[:, None] @ vectors)[:, 0]


def content_of(content: Tensor, added: Tensor | None, items: Tensor) -> Tensor:
    """float32 [..., Dc]: the rows of `items` [...]; `content` and `added` as `history_content`."""
    if added is None:
        return content[items]
    is_added = items >= len(content)
    old = content[items.clamp(max=len(content) - 1)]
    return torch.where(is_added[..., None], added[(items - len(content)).clamp(min=0)], old)
