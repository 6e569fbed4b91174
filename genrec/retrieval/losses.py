"""Softmax over the items of the batch, corrected for how often each of them is drawn."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["in_batch_softmax_loss"]


def in_batch_softmax_loss(
    user_vector: Tensor,
    item_vector: Tensor,
    *,
    target: Tensor,
    user: Tensor,
    log_frequency: Tensor,
    temperature: float,
) -> Tensor:
    """The mean cross-entropy of each row's own item against the other rows' items.

    The logit of item j is the dot product / temperature - log q_j, where q_j is the probability
    that a draw is item j: frequent items stand in more batches and would otherwise be pushed down
    for it. Columns that hold the row's own target again (accidental hits) or another target of
    the same person are no negatives and are left out.

    Args:
        user_vector: float [P, D]: P prefixes.
        item_vector: float [P, D]: what came next.
        target: int64 [P]: item_index of what came next.
        user: int64 [P]: whose prefix it is.
        log_frequency: float [P]: log q of each target.
        temperature: above 0.

    Returns:
        float32 []: the loss; 0 of no rows.

    Source: Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations, RecSys 2019, equations 3-5.
    """
    with torch.autocast(user_vector.device.type, enabled=False):
        queries = user_vector.float() / temperature
        logits = torch.addmm(-log_frequency, queries, item_vector.float().T)  # [P, P]
    no_negative = (target[:, None] == target) | (user[:, None] == user)  # [P, P]
    no_negative.fill_diagonal_(False)
    logits = logits.masked_fill(no_negative, -torch.inf)
    own = torch.arange(len(target), device=logits.device)
    total = torch.nn.functional.cross_entropy(logits, own, reduction="sum")
    return total / max(len(target), 1)
