"""Residual assignment in one kernel: a block of items keeps its residual on chip for all levels."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from genrec.errors import InputError

__all__ = ["residual_assign_kernel", "residual_assign_triton"]

BLOCK_ITEMS = 32
LARGEST_TILE = 8192  # floats of a codebook block; 32 KiB of shared memory
WIDEST = 512


@triton.jit  # type: ignore[untyped-decorator]
def residual_assign_kernel(  # type: ignore[no-untyped-def]
    vectors_ptr,
    codebooks_ptr,
    codes_ptr,
    num_items,
    num_codes,
    width,
    num_levels,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program assigns BLOCK_N items; [N, D], [L, K, D] and [N, L] are contiguous."""
    items = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    columns = tl.arange(0, BLOCK_D)
    item_mask = items < num_items
    column_mask = columns < width
    residual = tl.load(
        vectors_ptr + items[:, None] * width + columns[None, :],
        mask=item_mask[:, None] & column_mask[None, :],
        other=0.0,
    )  # [BLOCK_N, BLOCK_D]
    for level in range(num_levels):
        codebook_ptr = codebooks_ptr + level * num_codes * width
        nearest = tl.zeros([BLOCK_N], dtype=tl.int32)
        nearest_distance = tl.full([BLOCK_N], float("inf"), dtype=tl.float32)
        for first in range(0, num_codes, BLOCK_K):
            codes = first + tl.arange(0, BLOCK_K)
            codebook = tl.load(
                codebook_ptr + codes[:, None] * width + columns[None, :],
                mask=(codes < num_codes)[:, None] & column_mask[None, :],
                other=0.0,
            )  # [BLOCK_K, BLOCK_D]
            products = tl.dot(residual, tl.trans(codebook), input_precision="ieee")
            distances = tl.sum(codebook * codebook, axis=1)[None, :] - 2.0 * products
            distances = tl.where((codes < num_codes)[None, :], distances, float("inf"))
            block_distance = tl.min(distances, axis=1)
            block_nearest = first + tl.argmin(distances, axis=1, tie_break_left=True)
            # Strictly nearer only: an equally near code of a later block has a higher number.
            nearer = block_distance < nearest_distance
            nearest = tl.where(nearer, block_nearest, nearest)
            nearest_distance = tl.where(nearer, block_distance, nearest_distance)
        residual -= tl.load(
            codebook_ptr + nearest[:, None] * width + columns[None, :],
            mask=column_mask[None, :],
            other=0.0,
        )
        tl.store(codes_ptr + items * num_levels + level, nearest.to(tl.int64), mask=item_mask)


def residual_assign_triton(vectors: Tensor, codebooks: Tensor) -> Tensor:
    """int64 [N, L], as `residual_assign` with checked arguments.

    Raises:
        InputError: D is too wide to stay on chip.
    """
    num_items, width = vectors.shape
    num_levels, num_codes, _ = codebooks.shape
    if width > WIDEST:
        raise InputError(f"the Triton kernel takes vectors up to width {WIDEST}, got {width}")
    codes = torch.empty(num_items, num_levels, dtype=torch.int64, device=vectors.device)
    if num_items == 0:
        return codes
    block_width = max(16, triton.next_power_of_2(width))
    residual_assign_kernel[(triton.cdiv(num_items, BLOCK_ITEMS),)](
        vectors.contiguous(),
        codebooks.contiguous(),
        codes,
        num_items,
        num_codes,
        width,
        num_levels,
        BLOCK_N=BLOCK_ITEMS,
        BLOCK_K=min(128, max(16, LARGEST_TILE // block_width)),
        BLOCK_D=block_width,
    )
    return codes
