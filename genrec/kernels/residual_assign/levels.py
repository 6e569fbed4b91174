"""Level after level: codes by fast scores, and exact distances where rounding might have decided.

A score is ‖c‖² - 2 r·c, the squared distance without the ‖r‖² that all codes share: one matrix
product gives those of all codes. Its rounding error has a bound, so two scores that are further
apart stand in their true order. The few items with a closer pair go through all levels again, and
the codes that might be nearest are compared by their distances in float64.

Scores made from inner products of the codebooks would need no residual, but lose their digits where
the codes of later levels are small.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Propose", "assign_levels", "matmul_coarseness", "scores_of"]

Propose = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From residual [n, D], codebook [K, D] and its square norms [K]: the code of the lowest score,
int64 [n], and how far above it the next score lies, float32 [n]."""

ROUNDOFF = 2.0**-24
BFLOAT16_COARSENESS = 2.0**-7  # both factors of a product rounded, with room; TF32 is finer
SETTLED_FLOATS = 1 << 18


def assign_levels(
    vectors: Tensor, codebooks: Tensor, propose: Propose, *, coarseness: float, rows_at_once: int
) -> Tensor:
    """int64 [N, L], as `residual_assign` with checked arguments.

    Args:
        vectors: float32 [N, D].
        codebooks: float32 [L, K, D].
        propose: the first pass's choice on one level.
        coarseness: relative error of a product inside `propose` beyond float32's own; 0 for none.
        rows_at_once: items of a call of `propose`; bounds the memory.
    """
    codes = torch.empty(len(vectors), len(codebooks), dtype=torch.int64, device=vectors.device)
    doubtful = torch.zeros(len(vectors), dtype=torch.bool, device=vectors.device)
    square_norms = torch.linalg.vector_norm(codebooks, dim=2).square()  # [L, K]
    for start in range(0, len(vectors), rows_at_once):
        block = slice(start, start + rows_at_once)
        residual = vectors[block]
        for level, codebook in enumerate(codebooks):
            nearest, gap = propose(residual, codebook, square_norms[level])
            # Negated, so that a gap that is not a number is doubtful.
            doubtful[block] |= ~(gap > _margin(residual, square_norms[level], coarseness))
            codes[block, level] = nearest
            residual = residual - codebook.index_select(0, nearest)
    rows_at_once = max(1, SETTLED_FLOATS // max(codebooks.shape[1:]))
    for rows in doubtful.nonzero()[:, 0].split(rows_at_once):
        codes[rows] = _settle(vectors[rows], codebooks, square_norms)
    return codes


def scores_of(residual: Tensor, codebook: Tensor, square_norms: Tensor) -> Tensor:
    """float32 [n, K]: squared distances, less what is the same for every code of an item."""
    return torch.addmm(square_norms, residual, codebook.T, alpha=-2.0)


def matmul_coarseness(device: torch.device) -> float:
    """Relative error of a product in `scores_of`, where the user lets matmul round more."""
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    coarse = backend.matmul.fp32_precision in {"tf32", "bf16"}
    return BFLOAT16_COARSENESS if coarse else 0.0


def _margin(residual: Tensor, square_norms: Tensor, coarseness: float) -> Tensor:
    """float32 [n]: scores of an item that are further apart stand in their true order.

    A sum of D products is off by at most D roundoffs of ‖r‖ ‖c‖, whatever its order (Higham,
    Accuracy and Stability of Numerical Algorithms, equation 3.5), and a square norm likewise; two
    scores take part. The 8 pays for the few operations around them, the smallest normal number for
    underflow. Norms are multiplied first: where a score could overflow, the margin is infinite.
    """
    largest = square_norms.amax().sqrt()
    norms = torch.linalg.vector_norm(residual, dim=1)
    relative = 4 * ((residual.shape[1] + 8) * ROUNDOFF + coarseness)
    margin: Tensor = (norms + largest) * largest * relative + torch.finfo(torch.float32).tiny
    return margin


def _settle(vectors: Tensor, codebooks: Tensor, square_norms: Tensor) -> Tensor:
    """int64 [n, L]: the nearest, or lowest of the nearest, of the codes that might be nearest."""
    codes = torch.empty(len(vectors), len(codebooks), dtype=torch.int64, device=vectors.device)
    coarseness = matmul_coarseness(vectors.device)
    residual = vectors
    for level, codebook in enumerate(codebooks):
        scores = scores_of(residual, codebook, square_norms[level])
        limits = scores.amin(dim=1) + _margin(residual, square_norms[level], coarseness)
        candidates = ~(scores > limits[:, None])  # [n, K]
        codes[:, level] = _distances(residual, codebook, candidates).argmin(dim=1)
        residual = residual - codebook.index_select(0, codes[:, level])
    return codes


def _distances(residual: Tensor, codebook: Tensor, candidates: Tensor) -> Tensor:
    """float64 [n, K]: squared distances of the candidates, infinite elsewhere."""
    distances = torch.full(
        candidates.shape, torch.inf, dtype=torch.float64, device=candidates.device
    )
    pairs_at_once = max(1, SETTLED_FLOATS // codebook.shape[1])
    for pairs in candidates.nonzero().split(pairs_at_once):
        items, codes = pairs.unbind(dim=1)
        differences = residual.index_select(0, items).double()  # [pairs, D]
        differences -= codebook.index_select(0, codes)
        distances[items, codes] = differences.square_().sum(dim=1)
    return distances
