"""What residual assignment means, in float32 and without any speed: the specification."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["residual_assign_reference"]


def residual_assign_reference(vectors: Tensor, codebooks: Tensor) -> Tensor:
    """int64 [N, L]: on each level the code nearest to what the levels before left over.

    Distances are Euclidean; of equally near codes the lowest wins.

    Args:
        vectors: float32 [N, D].
        codebooks: float32 [L, K, D].

    Source: residual vector quantisation, as in SoundStream (arXiv 2107.03312, algorithm 1).
    """
    residual = vectors
    codes = torch.empty(len(vectors), len(codebooks), dtype=torch.int64, device=vectors.device)
    for level, codebook in enumerate(codebooks):
        distances = ((residual[:, None] - codebook[None]) ** 2).sum(dim=2)  # [N, K]
        codes[:, level] = distances.argmin(dim=1)
        residual = residual - codebook[codes[:, level]]
    return codes
