"""What both heads are trained on: a softmax over all items, and over a node's children."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.decoding import Edges

__all__ = ["child_log_probs", "full_softmax_loss"]

ROWS_AT_ONCE = 256
"""Logits held at a time are this many times N: they stay in the cache instead of in memory."""


def full_softmax_loss(queries: Tensor, items: Tensor, target: Tensor) -> Tensor:
    """The mean cross-entropy of a softmax over all items.

    Equal to `F.cross_entropy(queries @ items.T, target)`, but never holds the logits of all rows:
    each chunk's gradient is taken while its logits are at hand.

    Args:
        queries: float [R, D], scaled.
        items: float [N, D].
        target: int64 [R].
    """
    loss: Tensor = _FullSoftmaxLoss.apply(queries, items, target)  # type: ignore[no-untyped-call]
    return loss


class _FullSoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, items: Tensor, target: Tensor) -> Tensor:
        """The loss; the gradients of both inputs are made on the way and kept for `backward`."""
        rows = max(queries.shape[0], 1)
        total = queries.new_zeros(())
        query_grad, item_grad = torch.zeros_like(queries), torch.zeros_like(items)
        buffer = queries.new_empty(min(ROWS_AT_ONCE, rows), items.shape[0])
        for start in range(0, queries.shape[0], ROWS_AT_ONCE):
            chunk = queries[start : start + ROWS_AT_ONCE]
            wanted = target[start : start + ROWS_AT_ONCE, None]
            logits = torch.mm(chunk, items.T, out=buffer[: chunk.shape[0]])  # [R', N]
            highest = logits.amax(1, keepdim=True)
            wanted_logit = logits.gather(1, wanted) - highest
            weights = logits.sub_(highest).exp_()
            sums = weights.sum(1, keepdim=True)
            total += (sums.log() - wanted_logit).sum()
            if any(ctx.needs_input_grad):
                weights.div_(sums * rows)
                weights.scatter_add_(1, wanted, weights.new_full(wanted.shape, -1 / rows))
                torch.mm(weights, items, out=query_grad[start : start + ROWS_AT_ONCE])
                item_grad.addmm_(weights.T, chunk)
        ctx.save_for_backward(query_grad, item_grad)
        return total / rows

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        query_grad, item_grad = ctx.saved_tensors
        return query_grad * grad_outputs[0], item_grad * grad_outputs[0], None


def child_log_probs(queries: Tensor, nodes: Tensor, edges: Edges) -> Tensor:
    """float [E]: log-softmax, over each row's children, of query times node vector.

    Args:
        queries: float [R, D], scaled.
        nodes: float [nodes, D]: vectors of the level that the edges lead to.
        edges: rows are rows of `queries`.
    """
    if edges.child.numel() == queries.shape[0] * nodes.shape[0]:  # every row stands at the root
        return F.log_softmax(queries @ nodes.T, dim=-1).flatten()
    logits: Tensor = _EdgeScores.apply(queries, nodes, edges)  # type: ignore[no-untyped-call]
    if edges.width is not None:
        logits = logits.masked_fill(~edges.is_child, -torch.inf)
        return F.log_softmax(logits.view(-1, edges.width), dim=-1).flatten()
    return _ragged_log_softmax(logits, edges)


class _EdgeScores(torch.autograd.Function):
    """The dot product of query and node along every edge, without [E, D] copies of either.

    On a CPU a seventieth of the time of `(queries[edges.row] * nodes[edges.child]).sum(-1)`, which
    was two fifths of a training step.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, nodes: Tensor, edges: Edges) -> Tensor:
        """float [E]."""
        ctx.save_for_backward(queries, nodes)
        ctx.edges = edges
        starts = F.pad(edges.start, (0, 1), value=edges.child.numel())
        pattern = _sparse_rows(starts, edges.child, queries.new_zeros(edges.child.shape), nodes)
        scores: Tensor = torch.sparse.sampled_addmm(pattern, queries, nodes.T, beta=0.0).values()
        return scores

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        (grad,) = grad_outputs
        queries, nodes = ctx.saved_tensors
        row, child, start = ctx.edges.row, ctx.edges.child, ctx.edges.start
        by_child = child.argsort(stable=True)
        parents = child.bincount(minlength=nodes.shape[0])
        return (
            _weighted_sums(nodes, child, start, grad),
            _weighted_sums(queries, row[by_child], parents.cumsum(0) - parents, grad[by_child]),
            None,
        )


def _weighted_sums(vectors: Tensor, index: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    """float [groups, D]: of the entries from each start on, the sum of weight times vector."""
    return F.embedding_bag(index, vectors, starts, mode="sum", per_sample_weights=weights)


def _sparse_rows(starts: Tensor, columns: Tensor, values: Tensor, like: Tensor) -> Tensor:
    """A sparse CSR matrix with one column per row of `like`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            starts, columns, values, (starts.numel() - 1, like.shape[0]), check_invariants=False
        )


def _ragged_log_softmax(logits: Tensor, edges: Edges) -> Tensor:
    """float [E]: log-softmax of the logits among the edges of each row."""
    rows = edges.degree.numel()
    highest = logits.detach().new_full((rows,), -torch.inf)
    highest = highest.scatter_reduce(0, edges.row, logits.detach(), "amax")
    shifted = logits - highest[edges.row]
    total = logits.new_zeros(rows).index_add(0, edges.row, shifted.exp())
    return shifted - total.log()[edges.row]
