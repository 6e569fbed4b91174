"""The public function: checks the shapes, then runs the implementation of the tensors' device."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.kernels.backend import Backend, choose_backend
from genrec.kernels.residual_assign.torch_kernel import residual_assign_torch

__all__ = ["residual_assign"]


def residual_assign(
    vectors: Tensor, codebooks: Tensor, *, backend: Backend | None = None
) -> Tensor:
    """The nearest code on every level, the residual passed on; ties go to the lowest code.

    Distances that float32 cannot safely tell apart are compared in float64, so every backend gives
    the same codes; where most items are as near to several codes, that takes several times as long.
    The memory beside the codes is that of one block of items a thread.

    Args:
        vectors: float32 [N, D]; N may be 0.
        codebooks: float32 [L, K, D] on the same device; L, K and D at least 1.
        backend: None takes Triton for CUDA tensors and PyTorch for CPU tensors. Triton on CPU
            tensors works on its interpreter only (TRITON_INTERPRET=1).

    Returns:
        int64 [N, L], codes in 0…K-1.

    Raises:
        InputError: shapes, dtypes or devices that do not fit.
        MissingDependencyError: Triton is to run and is not installed.
    """
    _check(vectors, codebooks)
    vectors, codebooks = vectors.detach(), codebooks.detach()
    if choose_backend("residual_assign", vectors.device, backend) is Backend.TORCH:
        return residual_assign_torch(vectors, codebooks)
    from genrec.kernels.residual_assign.triton_kernel import residual_assign_triton

    return residual_assign_triton(vectors, codebooks)


def _check(vectors: Tensor, codebooks: Tensor) -> None:
    if vectors.ndim != 2 or codebooks.ndim != 3 or vectors.shape[1] != codebooks.shape[2]:
        raise InputError(
            "residual_assign needs vectors [N, D] and codebooks [L, K, D], got "
            f"{list(vectors.shape)} and {list(codebooks.shape)}"
        )
    if 0 in codebooks.shape:
        raise InputError(f"codebooks need L, K and D of at least 1, got {list(codebooks.shape)}")
    if vectors.dtype != torch.float32 or codebooks.dtype != torch.float32:
        raise InputError(
            f"residual_assign needs float32, got {vectors.dtype} and {codebooks.dtype}"
        )
    if vectors.device != codebooks.device:
        raise InputError(
            f"vectors are on {vectors.device} and codebooks on {codebooks.device}; move one of them"
        )
