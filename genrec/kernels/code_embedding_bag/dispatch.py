"""The public function: checks the arguments, then runs the implementation of their device."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.kernels.backend import Backend, choose_backend
from genrec.kernels.checks import check_devices, check_dtype
from genrec.kernels.code_embedding_bag.torch_kernel import code_embedding_bag_torch

__all__ = ["code_embedding_bag"]


def code_embedding_bag(
    codes: Tensor, table: Tensor, offsets: Tensor, *, backend: Backend | None = None
) -> Tensor:
    """The sum of each item's code embeddings over the levels; differentiable in `table`.

    The gradients are the same bits every time.

    Args:
        codes: integers [N, L], level l in 0…K_l-1; that they are is not checked, but on a CPU a
            code behind the whole table is refused by PyTorch (RuntimeError).
        table: float32 [sum of K_l, D].
        offsets: int64 [L], where each level's codes begin in the table; L at least 1.
        backend: None takes Triton for CUDA tensors and PyTorch for CPU tensors. Triton on CPU
            tensors works on its interpreter only (TRITON_INTERPRET=1).

    Returns:
        float32 [N, D].

    Raises:
        InputError: shapes, dtypes or devices that do not fit.
        MissingDependencyError: Triton is to run and is not installed.
    """
    _check(codes, table, offsets)
    if choose_backend("code_embedding_bag", table.device, backend) is Backend.TORCH:
        return code_embedding_bag_torch(codes, table, offsets)
    from genrec.kernels.code_embedding_bag.triton_kernel import code_embedding_bag_triton

    return code_embedding_bag_triton(codes, table, offsets)


def _check(codes: Tensor, table: Tensor, offsets: Tensor) -> None:
    if codes.ndim != 2 or table.ndim != 2 or offsets.shape != codes.shape[1:] or not len(offsets):
        raise InputError(
            "code_embedding_bag needs codes [N, L], table [sum of K, D] and offsets [L] with L at "
            f"least 1, got {list(codes.shape)}, {list(table.shape)} and {list(offsets.shape)}"
        )
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise InputError(f"code_embedding_bag needs integer codes, got {codes.dtype}")
    check_dtype("code_embedding_bag", torch.float32, table=table)
    check_dtype("code_embedding_bag", torch.int64, offsets=offsets)
    check_devices(codes=codes, table=table, offsets=offsets)
