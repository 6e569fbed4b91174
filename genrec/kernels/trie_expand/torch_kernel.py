"""The kernel on a CPU: the edges are the entries of a sparse matrix, sampled from one product."""

from __future__ import annotations

import threading
import warnings
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from torch import Tensor
from torch.autograd.function import once_differentiable

from genrec.errors import InputError
from genrec.kernels.trie_expand.rows import Rows

__all__ = ["MOST_COPIED", "trie_expand_torch"]

MOST_COPIED = 1 << 14  # entries of vectors; copying more of them costs more than a sparse matrix

_NOTICE_LOCK = threading.Lock()


def trie_expand_torch(
    queries: Tensor, nodes: Tensor, child: Tensor, start: Tensor, degree: Tensor
) -> Tensor:
    """float32 [E], as `trie_expand` with checked shapes."""
    rows = Rows.of(start, degree, child.numel())
    if _has_all_nodes(rows, child, len(nodes)):
        with torch.autocast("cpu", enabled=False):  # it would round the product to bfloat16
            return F.log_softmax(queries @ nodes.T, dim=1).flatten()
    _check_children(child, len(nodes))
    if not (torch.is_grad_enabled() and (queries.requires_grad or nodes.requires_grad)):
        # Keeping what a gradient needs takes as long as scoring a handful of children.
        return rows.log_softmax(_scores(queries, nodes, child, rows))
    log_probs: Tensor = _TrieExpand.apply(queries, nodes, child, rows)  # type: ignore[no-untyped-call]
    return log_probs


class _TrieExpand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, nodes: Tensor, child: Tensor, rows: Rows) -> Tensor:
        """The log-probabilities; they are kept, the scores are not."""
        log_probs = rows.log_softmax(_scores(queries, nodes, child, rows))
        ctx.save_for_backward(queries, nodes, child, log_probs)
        ctx.rows = rows
        return log_probs

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        """The gradients of queries and nodes, where they are asked for."""
        queries, nodes, child, log_probs = ctx.saved_tensors
        weights = ctx.rows.softmax_gradient(log_probs, grad_outputs[0].contiguous())
        query_grad = node_grad = None
        if ctx.needs_input_grad[0]:
            begins = torch.from_numpy(ctx.rows.begins[:-1])
            query_grad = _weighted_sums(nodes, child, begins, weights)
        if ctx.needs_input_grad[1]:
            node_grad = _weighted_sums(queries, *_by_child(child, weights, ctx.rows, len(nodes)))
        return query_grad, node_grad, None, None


def _has_all_nodes(rows: Rows, child: Tensor, num_nodes: int) -> bool:
    """Whether every row has all nodes in order, as at the root: one dense product is faster."""
    if rows.width != num_nodes or rows.padding is not None or not num_nodes:
        return False
    # NumPy compares in half of PyTorch's time.
    return bool((child.numpy().reshape(-1, num_nodes) == np.arange(num_nodes)).all())


def _check_children(child: Tensor, num_nodes: int) -> None:
    if not child.numel():
        return
    lowest, highest = (int(bound) for bound in child.aminmax())
    if lowest < 0 or highest >= num_nodes:
        raise InputError(
            f"child must hold numbers of {num_nodes} nodes, in padding too, got {lowest} to "
            f"{highest}; give the node vectors of the level that the children stand on"
        )


def _scores(queries: Tensor, nodes: Tensor, child: Tensor, rows: Rows) -> Tensor:
    """float32 [E]: query times node vector along every edge.

    Where there are more than a few edges, no [E, D] copies of either are made: they would be most
    of the time.
    """
    if not (child.numel() and queries.numel()):
        return queries.new_zeros(child.shape)
    if child.numel() * queries.shape[1] <= MOST_COPIED:
        copied = nodes.index_select(0, child)
        return copied.mul_(queries.index_select(0, rows.row_of_place)).sum(dim=1)
    _take_notices()
    edges = torch.sparse_csr_tensor(
        torch.from_numpy(rows.begins),
        child,
        queries.new_zeros(child.shape),
        (len(queries), len(nodes)),
        check_invariants=False,
    )
    torch.sparse.sampled_addmm(edges, queries, nodes.T, beta=0.0, out=edges)
    return edges.values()


def _weighted_sums(vectors: Tensor, index: Tensor, begins: Tensor, weights: Tensor) -> Tensor:
    """float32 [groups, D]: of each group's entries, the sum of weight times vector.

    Args:
        vectors: float32 [n, D].
        index: int [E], rows of `vectors`.
        begins: int [groups], where each group's entries begin.
        weights: float32 [E].
    """
    return F.embedding_bag(index, vectors, begins, mode="sum", per_sample_weights=weights)


def _by_child(
    child: Tensor, weights: Tensor, rows: Rows, num_nodes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The edges by child instead of by row: row int [E], begins int [n], weight float32 [E].

    SciPy counts the edges of each child, which is faster than sorting them.
    """
    shape = (len(rows.begins) - 1, num_nodes)
    edges = csr_array((weights.numpy(), child.numpy(), rows.begins), shape=shape).tocsc()
    row, begins, weight = map(torch.from_numpy, (edges.indices, edges.indptr, edges.data))
    return row, begins[:-1], weight


def _take_notices() -> None:
    """Makes PyTorch say now, unheard, what it says once a process about sparse tensors.

    Filters of warnings belong to all threads, so they are not touched at every call.
    """
    with _NOTICE_LOCK:
        _make_sparse_tensor_unheard()


@cache
def _make_sparse_tensor_unheard() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")
        ends, column = torch.tensor([0, 1]), torch.tensor([0])
        torch.sparse_csr_tensor(ends, column, torch.ones(1), (1, 1), check_invariants=False)
