"""The kernel in Triton: a block of items adds up its rows of the table, no index is built."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from genrec.kernels.scatter_sum import scatter_sum

__all__ = ["BLOCK_SIZES", "code_bag_kernel", "code_embedding_bag_triton"]

BLOCK_SIZES = {"BLOCK_N": 32, "BLOCK_D": 64}


def code_embedding_bag_triton(codes: Tensor, table: Tensor, offsets: Tensor) -> Tensor:
    """float32 [N, D], as `code_embedding_bag` with checked arguments."""
    tensors = (each.contiguous() for each in (codes, table, offsets))
    vectors: Tensor = _CodeEmbeddingBag.apply(*tensors)  # type: ignore[no-untyped-call]
    return vectors


class _CodeEmbeddingBag(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, codes: Tensor, table: Tensor, offsets: Tensor) -> Tensor:
        """The sums; only codes and offsets are kept."""
        (num_items, num_levels), width = codes.shape, table.shape[1]
        vectors = table.new_empty(num_items, width)
        ctx.save_for_backward(codes, offsets)
        ctx.num_rows = len(table)
        grid = (
            triton.cdiv(num_items, BLOCK_SIZES["BLOCK_N"]),
            triton.cdiv(width, BLOCK_SIZES["BLOCK_D"]),
        )
        # Triton launches on the current device, which need not be the tensors'; on a CPU: nothing.
        with torch.cuda.device_of(table):
            code_bag_kernel[grid](
                codes, table, offsets, vectors, num_items, num_levels, width, **BLOCK_SIZES
            )
        return vectors

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[None, Tensor, None]:
        """Added up by PyTorch, code after code, in a fixed order."""
        codes, offsets = ctx.saved_tensors
        rows = (codes.long() + offsets).flatten()
        items = torch.arange(len(codes), device=codes.device).repeat_interleave(len(offsets))
        return None, scatter_sum(grad_outputs[0].contiguous(), items, rows, ctx.num_rows), None


@triton.jit  # type: ignore[untyped-decorator]
def code_bag_kernel(  # type: ignore[no-untyped-def]
    codes_ptr,
    table_ptr,
    offsets_ptr,
    vectors_ptr,
    num_items,
    num_levels,
    width,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program adds up BLOCK_D columns of BLOCK_N items; all tensors are contiguous."""
    items = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    columns = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    item_mask = items < num_items
    mask = item_mask[:, None] & (columns < width)[None, :]
    vectors = tl.zeros([BLOCK_N, BLOCK_D], dtype=tl.float32)
    for level in range(num_levels):
        codes = tl.load(codes_ptr + items * num_levels + level, mask=item_mask, other=0)
        rows = tl.load(offsets_ptr + level) + codes.to(tl.int64)
        vectors += tl.load(
            table_ptr + rows[:, None] * width + columns[None, :], mask=mask, other=0.0
        )
    tl.store(vectors_ptr + items[:, None] * width + columns[None, :], vectors, mask=mask)
