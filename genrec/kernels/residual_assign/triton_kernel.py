"""The first pass in Triton: the scores of a block of items are compared where they are made."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from genrec.kernels.residual_assign.levels import assign_levels

__all__ = ["BLOCK_SIZES", "nearest_code_kernel", "propose_triton", "residual_assign_triton"]

BLOCK_SIZES = {"BLOCK_N": 64, "BLOCK_K": 64, "BLOCK_D": 32}
RESIDUAL_FLOATS = 1 << 28  # 1 GiB of residuals at once


@triton.jit  # type: ignore[untyped-decorator]
def nearest_code_kernel(  # type: ignore[no-untyped-def]
    residual_ptr,
    codebook_ptr,
    square_norms_ptr,
    nearest_ptr,
    gap_ptr,
    num_items,
    num_codes,
    width,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program proposes the codes of BLOCK_N items; [N, D] and [K, D] are contiguous.

    Scores are what `scores_of` says. Rows are numbered in int64: N·D and K·D may pass 2³¹.
    """
    items = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    item_mask = items < num_items
    nearest = tl.zeros([BLOCK_N], dtype=tl.int64)
    lowest = tl.full([BLOCK_N], float("inf"), dtype=tl.float32)
    next_lowest = tl.full([BLOCK_N], float("inf"), dtype=tl.float32)
    for first_code in range(0, num_codes, BLOCK_K):
        codes = first_code + tl.arange(0, BLOCK_K).to(tl.int64)
        code_mask = codes < num_codes
        products = tl.zeros([BLOCK_N, BLOCK_K], dtype=tl.float32)
        for first_column in range(0, width, BLOCK_D):
            columns = first_column + tl.arange(0, BLOCK_D)
            column_mask = columns < width
            residual = tl.load(
                residual_ptr + items[:, None] * width + columns[None, :],
                mask=item_mask[:, None] & column_mask[None, :],
                other=0.0,
            )  # [BLOCK_N, BLOCK_D]
            codebook = tl.load(
                codebook_ptr + codes[None, :] * width + columns[:, None],
                mask=code_mask[None, :] & column_mask[:, None],
                other=0.0,
            )  # [BLOCK_D, BLOCK_K]
            # TF32 would be off by more than the margin that decides whether to look again.
            products = tl.dot(residual, codebook, products, input_precision="ieee")
        square_norms = tl.load(square_norms_ptr + codes, mask=code_mask, other=float("inf"))
        scores = square_norms[None, :] - 2.0 * products  # [BLOCK_N, BLOCK_K]
        block_lowest, column = tl.min(scores, axis=1, return_indices=True)
        is_lowest = tl.arange(0, BLOCK_K)[None, :] == column[:, None]
        block_next = tl.min(tl.where(is_lowest, float("inf"), scores), axis=1)
        # The second of two sorted pairs is the larger of the firsts or the smaller of the seconds.
        next_lowest = tl.minimum(
            tl.maximum(lowest, block_lowest), tl.minimum(next_lowest, block_next)
        )
        nearest = tl.where(block_lowest < lowest, first_code + column, nearest)
        lowest = tl.minimum(lowest, block_lowest)
    tl.store(nearest_ptr + items, nearest, mask=item_mask)
    tl.store(gap_ptr + items, next_lowest - lowest, mask=item_mask)


def residual_assign_triton(vectors: Tensor, codebooks: Tensor) -> Tensor:
    """int64 [N, L], as `residual_assign` with checked arguments."""
    return assign_levels(
        vectors,
        codebooks,
        propose_triton,
        coarseness=0.0,
        rows_at_once=max(1, RESIDUAL_FLOATS // vectors.shape[1]),
    )


def propose_triton(
    residual: Tensor, codebook: Tensor, square_norms: Tensor
) -> tuple[Tensor, Tensor]:
    """The codes int64 [n] and gaps float32 [n], as `levels.Propose` has them."""
    num_items, width = residual.shape
    nearest = torch.empty(num_items, dtype=torch.int64, device=residual.device)
    gap = torch.empty(num_items, dtype=torch.float32, device=residual.device)
    # Triton launches on the current device, which need not be the tensors'; on a CPU: nothing.
    with torch.cuda.device_of(residual):
        nearest_code_kernel[(triton.cdiv(num_items, BLOCK_SIZES["BLOCK_N"]),)](
            residual.contiguous(),
            codebook.contiguous(),
            square_norms,
            nearest,
            gap,
            num_items,
            len(codebook),
            width,
            **BLOCK_SIZES,
        )
    return nearest, gap
