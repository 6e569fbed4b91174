"""What a beam's attention to its past means, beam by beam: the specification."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["beam_self_attention_reference"]


def beam_self_attention_reference(
    query: Tensor,
    keys_values: Tensor,
    ancestors: Tensor,
    scale: float,
    bias: Tensor | None = None,
) -> Tensor:
    """float32 [B, M, H, d]: scaled dot-product attention of each beam to its S ancestors.

    Args:
        query: float32 [B, M, H, d].
        keys_values: float32 [B, S, W, 2, H, d].
        ancestors: int64 [B, M, S], slots of the steps.
        scale: of the dot products.
        bias: float32 [H, S], added to the scaled products.

    Source: Vaswani et al., Attention is all you need (arXiv 1706.03762, equation 1); the bias as in
    T5 (arXiv 1910.10683, section 2.1).
    """
    keys, values = keys_values.unbind(3)
    attended = torch.empty_like(query)
    steps = torch.arange(keys.shape[1], device=keys.device)
    for request in range(query.shape[0]):
        for beam in range(query.shape[1]):
            slots = ancestors[request, beam]
            past = keys[request, steps, slots]  # [S, H, d]
            scores = (query[request, beam] * past).sum(dim=2).T * scale  # [H, S]
            if bias is not None:
                scores = scores + bias
            weights = scores.softmax(dim=1)
            seen = values[request, steps, slots]  # [S, H, d]
            attended[request, beam] = (weights.T[..., None] * seen).sum(dim=0)
    return attended
