"""What both heads are trained on: a softmax over all items, and over a node's children.

In float32, whatever the rest of a step is computed in.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genrec.decoding import Edges
from genrec.kernels import trie_expand

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
    with torch.autocast(queries.device.type, enabled=False):
        loss: Tensor = _FullSoftmaxLoss.apply(  # type: ignore[no-untyped-call]
            queries.float(), items.float(), target
        )
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
    """float32 [E]: log-softmax, over each row's children, of query times node vector.

    Args:
        queries: float [R, D], scaled.
        nodes: float [nodes, D]: vectors of the level that the edges lead to.
        edges: rows are rows of `queries`; for padding -inf is given.
    """
    with torch.autocast(queries.device.type, enabled=False):
        return trie_expand(queries.float(), nodes.float(), edges.child, edges.start, edges.degree)
