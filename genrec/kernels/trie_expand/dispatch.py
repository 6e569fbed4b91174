"""The public function: checks the arguments, then runs the implementation of their device."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.kernels.backend import Backend, choose_backend
from genrec.kernels.checks import check_devices, check_dtype
from genrec.kernels.trie_expand.torch_kernel import trie_expand_torch

__all__ = ["trie_expand"]


def trie_expand(
    queries: Tensor,
    nodes: Tensor,
    child: Tensor,
    start: Tensor,
    degree: Tensor,
    *,
    backend: Backend | None = None,
) -> Tensor:
    """The log-softmax, over each row's children, of query times node vector.

    Row r has the children `child[start[r] : start[r] + degree[r]]`. Rows stand in order and do not
    overlap; between two of them may be places that no row covers (padding). Differentiable in
    `queries` and `nodes`, and the gradients are the same bits every time.

    What the numbers in `child`, `start` and `degree` say is checked on the CPU only: a look at them
    would make the host wait for the GPU. There they must fit.

    Args:
        queries: float32 [R, D], scaled.
        nodes: float32 [n, D].
        child: int64 [E], rows of `nodes`, in padding too; E at most R · n, which is enough where
            the children of a row are different nodes.
        start: int64 [R], where each row's children begin in `child`.
        degree: int64 [R], children of each row; may be 0.
        backend: None takes Triton for CUDA tensors and PyTorch for CPU tensors. PyTorch works on
            CPU tensors only; Triton on CPU tensors works on its interpreter only
            (TRITON_INTERPRET=1).

    Returns:
        float32 [E], -inf in padding.

    Raises:
        InputError: shapes, dtypes or devices that do not fit; on a CPU also rows that overlap or
            reach past the end, and children that are no rows of `nodes`.
        MissingDependencyError: Triton is to run and is not installed.
    """
    _check(queries, nodes, child, start, degree)
    if choose_backend("trie_expand", queries.device, backend) is Backend.TORCH:
        if queries.device.type != "cpu":
            raise InputError(
                f"trie_expand in PyTorch runs on cpu, not {queries.device.type}; "
                "leave the backend out, or move the tensors"
            )
        return trie_expand_torch(queries, nodes, child, start, degree)
    from genrec.kernels.trie_expand.triton_kernel import trie_expand_triton

    return trie_expand_triton(queries, nodes, child, start, degree)


def _check(queries: Tensor, nodes: Tensor, child: Tensor, start: Tensor, degree: Tensor) -> None:
    if queries.ndim != 2 or nodes.ndim != 2 or queries.shape[1] != nodes.shape[1]:
        raise InputError(
            "trie_expand needs queries [R, D] and nodes [n, D], got "
            f"{list(queries.shape)} and {list(nodes.shape)}"
        )
    if child.ndim != 1 or start.shape != queries.shape[:1] or degree.shape != queries.shape[:1]:
        raise InputError(
            "trie_expand needs child [E], and start and degree with one entry for each of "
            f"{len(queries)} queries, got {list(child.shape)}, {list(start.shape)} and "
            f"{list(degree.shape)}"
        )
    if child.numel() > len(queries) * len(nodes):  # PyTorch cuts what it takes for a sparse matrix
        raise InputError(
            f"{child.numel()} places are more than {len(queries)} queries have children among "
            f"{len(nodes)} nodes; leave out repeated children, or padding"
        )
    check_dtype("trie_expand", torch.float32, queries=queries, nodes=nodes)
    check_dtype("trie_expand", torch.int64, child=child, start=start, degree=degree)
    check_devices(queries=queries, nodes=nodes, child=child, start=start, degree=degree)
