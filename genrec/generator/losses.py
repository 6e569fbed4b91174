"""What both heads are trained on: a softmax over all items, and over a node's children.

In float32, whatever the rest of a step is computed in; only the products of the softmax over all
items follow autocast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genrec.decoding import Edges
from genrec.generator.layers import float32_stays
from genrec.kernels import trie_expand

__all__ = [
    "FULL_SOFTMAX_ITEMS",
    "ItemSampler",
    "Spans",
    "child_log_probs",
    "default_dense_samples",
    "full_softmax_loss",
    "full_softmax_loss_and_masses",
    "sampled_softmax_loss",
]

ROWS_AT_ONCE = 256
"""Logits held at a time are this many times N, four bytes each, and eight more for masses: of
catalogues of some thousands they stay in the cache instead of in memory."""

FULL_SOFTMAX_ITEMS = 100_000
"""Catalogues up to this size are scored whole; the softmax over larger ones is most of a step."""
DENSE_SAMPLES = 8192


def default_dense_samples(num_items: int) -> int:
    """How many items a training step draws from a catalogue of this size; 0 takes all of them."""
    return DENSE_SAMPLES if num_items > FULL_SOFTMAX_ITEMS else 0


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Ranges of neighbouring items, in rows of a softmax over all of them."""

    row: Tensor
    """int64 [E], rising."""
    first: Tensor
    """int64 [E]."""
    stop: Tensor
    """int64 [E]: behind the last."""


def full_softmax_loss(queries: Tensor, items: Tensor, target: Tensor) -> Tensor:
    """The mean cross-entropy of a softmax over all items.

    Equal to `F.cross_entropy(queries @ items.T, target)`, but never holds the logits of all rows:
    each chunk's gradient is taken while its logits are at hand.

    Args:
        queries: float [R, D], scaled.
        items: float [N, D].
        target: int64 [R].
    """
    return full_softmax_loss_and_masses(queries, items, target, ())[0]


def full_softmax_loss_and_masses(
    queries: Tensor, items: Tensor, target: Tensor, spans: Sequence[Spans]
) -> tuple[Tensor, list[Tensor]]:
    """As `full_softmax_loss`, and what part of each row's softmax stands in spans of the items.

    Args:
        queries: float [R, D], scaled.
        items: float [N, D].
        target: int64 [R].
        spans: any number of lists of spans.

    Returns:
        The loss, and for each list float32 [E], without gradient: probabilities, each precise to
        1e-7 of itself or, where that is more, to about 1e-15.
    """
    loss, *masses = _FullSoftmaxLoss.apply(  # type: ignore[no-untyped-call]
        queries.float(), items.float(), target, spans
    )
    return loss, masses


class _FullSoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, items: Tensor, target: Tensor, spans: Sequence[Spans]
    ) -> tuple[Tensor, ...]:
        """The loss; the gradients of both inputs are made on the way and kept for `backward`."""
        rows = max(queries.shape[0], 1)
        total = queries.new_zeros(())
        query_grad, item_grad = torch.zeros_like(queries), torch.zeros_like(items)
        masses = _Masses(spans, queries.shape[0], items)
        factor = _product_dtype(items)
        items = items.to(factor)
        for start in range(0, queries.shape[0], ROWS_AT_ONCE):
            chunk = queries[start : start + ROWS_AT_ONCE].to(factor)
            wanted = target[start : start + ROWS_AT_ONCE, None]
            logits = torch.mm(chunk, items.T).float()  # [R', N]
            highest = logits.amax(1, keepdim=True)
            wanted_logit = logits.gather(1, wanted) - highest
            weights = logits.sub_(highest).exp_()
            sums = weights.sum(1, keepdim=True)
            masses.take(start, weights, sums)
            total += (sums.log() - wanted_logit).sum()
            if any(ctx.needs_input_grad):
                weights.div_(sums * rows)
                weights.scatter_add_(1, wanted, weights.new_full(wanted.shape, -1 / rows))
                weights = weights.to(factor)
                query_grad[start : start + ROWS_AT_ONCE] = torch.mm(weights, items)
                item_grad += torch.mm(weights.T, chunk)
        ctx.save_for_backward(query_grad, item_grad)
        ctx.mark_non_differentiable(*masses.found)
        return total / rows, *masses.found

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None, None]:
        query_grad, item_grad = ctx.saved_tensors
        return query_grad * grad_outputs[0], item_grad * grad_outputs[0], None, None


class _Masses:
    """What stands in spans of a softmax, found chunk by chunk of its rows."""

    def __init__(self, spans: Sequence[Spans], num_rows: int, items: Tensor) -> None:
        self._spans = spans
        self._before = torch.zeros(
            min(num_rows, ROWS_AT_ONCE) if spans else 0,
            len(items) + 1,
            dtype=torch.float64,
            device=items.device,
        )
        """Per row, what stands before each item and, last, behind all of them."""
        self.found = [torch.empty(len(each.row), device=each.row.device) for each in spans]
        """Per list of spans, float32 [E]."""
        self._ends = []
        for each in spans:  # where each chunk's spans begin: looked up once, not chunk by chunk
            starts = torch.arange(0, num_rows + ROWS_AT_ONCE, ROWS_AT_ONCE, device=each.row.device)
            self._ends.append(torch.searchsorted(each.row.contiguous(), starts).tolist())

    def take(self, start: int, weights: Tensor, sums: Tensor) -> None:
        """The chunk of rows from `start` on.

        Args:
            start: a multiple of ROWS_AT_ONCE.
            weights: float32 [R', N], in proportion to the softmax.
            sums: float32 [R', 1], of the weights.
        """
        if not self._spans:
            return
        before = self._before[: len(weights)]
        torch.cumsum(weights, 1, dtype=torch.float64, out=before[:, 1:])
        chunk = start // ROWS_AT_ONCE
        for each, ends, found in zip(self._spans, self._ends, self.found, strict=True):
            here = slice(ends[chunk], ends[chunk + 1])
            row = each.row[here] - start
            place = row * before.shape[1]
            mass = before.take(place + each.stop[here]) - before.take(place + each.first[here])
            mass.clamp_(min=0)  # a parallel sum need not rise
            found[here] = (mass / sums[:, 0].take(row)).float()


class ItemSampler:
    """Draws the items that stand for the catalogue in a sampled softmax, with replacement.

    Args:
        counts: int64 [N]: training events of every item. An item is drawn with probability
            proportional to log(2 + its events): popular items are the rivals that matter, and
            every item may be drawn.
    """

    def __init__(self, counts: Tensor) -> None:
        weights = torch.log(counts.double() + 2)
        self.probability = weights / weights.sum()  # [N]
        self._up_to = self.probability.cumsum(0)

    def draw(self, num_samples: int) -> tuple[Tensor, Tensor]:
        """int64 [S], and float32 [S]: the log of how often each is expected among S draws.

        From torch's own random state on the CPU, which checkpoints keep.
        """
        places = torch.rand(num_samples, dtype=torch.float64) * self._up_to[-1]
        drawn = torch.searchsorted(self._up_to, places, right=True)
        drawn = drawn.clamp(max=len(self._up_to) - 1)
        return drawn, torch.log(num_samples * self.probability[drawn]).float()


def sampled_softmax_loss(
    queries: Tensor, items: Tensor, target: Tensor, sampled: Tensor, log_expected: Tensor
) -> Tensor:
    """The mean cross-entropy of a softmax over all items, estimated from a sample of them.

    The sum over the catalogue is the target's own term plus, for each drawn item that is not the
    target, its term divided by how often it was expected among the draws (logQ correction). That
    sum is right in expectation, and equal to the full softmax where every item is drawn once.
    The target is in the sum with certainty, so its own term is not corrected.

    Args:
        queries: float [R, D], scaled.
        items: float [N, D].
        target: int64 [R].
        sampled: int64 [S]: drawn items, with or without replacement.
        log_expected: float [S]: log of how often each is expected in a sample.

    Source: Bengio and Senécal, Adaptive Importance Sampling to Accelerate Training of a Neural
    Probabilistic Language Model, 2008; Yi et al., RecSys 2019, for the correction's use here.
    """
    with float32_stays(queries):
        queries, items = queries.float(), items.float()
        own = (queries * items[target]).sum(-1, keepdim=True)  # [R, 1]
        logits = torch.addmm(-log_expected, queries, items[sampled].T)  # [R, S]
        logits = logits.masked_fill(sampled == target[:, None], -torch.inf)
        total = torch.logsumexp(torch.cat([own, logits], dim=1), dim=1) - own[:, 0]
        return total.sum() / max(len(target), 1)


def child_log_probs(queries: Tensor, nodes: Tensor, edges: Edges) -> Tensor:
    """float32 [E]: log-softmax, over each row's children, of query times node vector.

    Args:
        queries: float [R, D], scaled.
        nodes: float [nodes, D]: vectors of the level that the edges lead to.
        edges: rows are rows of `queries`; for padding -inf is given.
    """
    with float32_stays(queries):
        return trie_expand(queries.float(), nodes.float(), edges.child, edges.start, edges.degree)


def _product_dtype(tensor: Tensor) -> torch.dtype:
    """What matrices are multiplied in: the tensor's own, or what autocast asks for."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype
