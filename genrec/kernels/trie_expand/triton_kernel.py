"""The kernel in Triton: one program a row walks over its children, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from genrec.kernels.scatter_sum import scatter_sum

__all__ = [
    "BLOCK_SIZES",
    "row_log_softmax_kernel",
    "row_softmax_gradient_kernel",
    "trie_expand_triton",
]

BLOCK_SIZES = {"BLOCK_E": 32, "BLOCK_D": 64}


def trie_expand_triton(
    queries: Tensor, nodes: Tensor, child: Tensor, start: Tensor, degree: Tensor
) -> Tensor:
    """float32 [E], as `trie_expand` with checked arguments."""
    tensors = (each.contiguous() for each in (queries, nodes, child, start, degree))
    log_probs: Tensor = _TrieExpand.apply(*tensors)  # type: ignore[no-untyped-call]
    return log_probs


class _TrieExpand(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, nodes: Tensor, child: Tensor, start: Tensor, degree: Tensor
    ) -> Tensor:
        """The log-probabilities, which are kept."""
        log_probs = queries.new_full(child.shape, -torch.inf)
        num_rows, width = queries.shape
        # Triton launches on the current device, which need not be the tensors'; on a CPU: nothing.
        with torch.cuda.device_of(queries):
            row_log_softmax_kernel[(num_rows,)](
                queries, nodes, child, start, degree, log_probs, width, **BLOCK_SIZES
            )
        ctx.save_for_backward(queries, nodes, child, start, degree, log_probs)
        return log_probs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Each row's in Triton; what nodes get is added up by PyTorch, in a fixed order."""
        queries, nodes, child, start, degree, log_probs = ctx.saved_tensors
        weights = torch.zeros_like(log_probs)
        query_grad = torch.zeros_like(queries)
        num_rows, width = queries.shape
        with torch.cuda.device_of(queries):
            row_softmax_gradient_kernel[(num_rows,)](
                nodes,
                child,
                start,
                degree,
                log_probs,
                grad_outputs[0].contiguous(),
                weights,
                query_grad,
                width,
                **BLOCK_SIZES,
            )
        if not num_rows:
            return query_grad, torch.zeros_like(nodes), None, None, None
        places = torch.arange(len(child), device=child.device)
        # Places before the first row have no weight: any row will do for them.
        row = (torch.searchsorted(start, places, right=True) - 1).clamp(min=0)
        node_grad = scatter_sum(queries, row, child, len(nodes), weights)
        return query_grad, node_grad, None, None, None


@triton.jit  # type: ignore[untyped-decorator]
def row_log_softmax_kernel(  # type: ignore[no-untyped-def]
    queries_ptr,
    nodes_ptr,
    child_ptr,
    start_ptr,
    degree_ptr,
    log_probs_ptr,
    width,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program scores the children of one row, then subtracts the logarithm of their sum.

    The sum is kept on the way, scaled to the highest score so far (Milakov and Gimelshein, Online
    normalizer calculation for softmax, arXiv 1805.02867).
    """
    row = tl.program_id(0).to(tl.int64)
    start = tl.load(start_ptr + row)
    degree = tl.load(degree_ptr + row)
    highest = float("-inf")
    total = 0.0
    for first in range(0, degree, BLOCK_E):
        places = first + tl.arange(0, BLOCK_E)
        place_mask = places < degree
        child = tl.load(child_ptr + start + places, mask=place_mask, other=0)
        products = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
        for first_column in range(0, width, BLOCK_D):
            columns = first_column + tl.arange(0, BLOCK_D)
            column_mask = columns < width
            query = tl.load(queries_ptr + row * width + columns, mask=column_mask, other=0.0)
            node = tl.load(
                nodes_ptr + child[:, None] * width + columns[None, :],
                mask=place_mask[:, None] & column_mask[None, :],
                other=0.0,
            )  # [BLOCK_E, BLOCK_D]
            products += node * query[None, :]
        scores = tl.where(place_mask, tl.sum(products, axis=1), float("-inf"))
        tl.store(log_probs_ptr + start + places, scores, mask=place_mask)
        block_highest = tl.maximum(highest, tl.max(scores, axis=0))
        total = total * tl.exp(highest - block_highest)
        total += tl.sum(tl.exp(scores - block_highest), axis=0)
        highest = block_highest
    tl.debug_barrier()  # a score may be read by another thread than wrote it
    log_total = tl.log(total)
    for first in range(0, degree, BLOCK_E):
        places = first + tl.arange(0, BLOCK_E)
        place_mask = places < degree
        scores = tl.load(log_probs_ptr + start + places, mask=place_mask)
        # Together the two would be rounded to a last bit of the highest score.
        tl.store(log_probs_ptr + start + places, scores - highest - log_total, mask=place_mask)


@triton.jit  # type: ignore[untyped-decorator]
def row_softmax_gradient_kernel(  # type: ignore[no-untyped-def]
    nodes_ptr,
    child_ptr,
    start_ptr,
    degree_ptr,
    log_probs_ptr,
    grad_ptr,
    weights_ptr,
    query_grad_ptr,
    width,
    BLOCK_E: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program: the gradients by the scores of one row, and by its query.

    A score's is `grad - exp(log_prob) * (sum of grad)`; the query's is the sum of the children's
    vectors, weighted by them.
    """
    row = tl.program_id(0).to(tl.int64)
    start = tl.load(start_ptr + row)
    degree = tl.load(degree_ptr + row)
    total = 0.0
    for first in range(0, degree, BLOCK_E):
        places = first + tl.arange(0, BLOCK_E)
        grad = tl.load(grad_ptr + start + places, mask=places < degree, other=0.0)
        total += tl.sum(grad, axis=0)
    for first_column in range(0, width, BLOCK_D):
        columns = first_column + tl.arange(0, BLOCK_D)
        column_mask = columns < width
        query_grad = tl.zeros([BLOCK_D], dtype=tl.float32)
        for first in range(0, degree, BLOCK_E):
            places = first + tl.arange(0, BLOCK_E)
            place_mask = places < degree
            grad = tl.load(grad_ptr + start + places, mask=place_mask, other=0.0)
            log_probs = tl.load(
                log_probs_ptr + start + places, mask=place_mask, other=float("-inf")
            )
            weights = grad - tl.exp(log_probs) * total
            tl.store(weights_ptr + start + places, weights, mask=place_mask)
            child = tl.load(child_ptr + start + places, mask=place_mask, other=0)
            node = tl.load(
                nodes_ptr + child[:, None] * width + columns[None, :],
                mask=place_mask[:, None] & column_mask[None, :],
                other=0.0,
            )  # [BLOCK_E, BLOCK_D]
            query_grad += tl.sum(node * weights[:, None], axis=0)
        tl.store(query_grad_ptr + row * width + columns, query_grad, mask=column_mask)
