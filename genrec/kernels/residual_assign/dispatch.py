"""The public function: checks the shapes, then runs the implementation of the tensors' device."""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor

from genrec.errors import InputError, MissingDependencyError

__all__ = ["Backend", "residual_assign"]

ROWS_AT_ONCE = 8192


class Backend(StrEnum):
    """Which implementation runs."""

    TORCH = "torch"
    TRITON = "triton"


def residual_assign(
    vectors: Tensor, codebooks: Tensor, *, backend: Backend | None = None
) -> Tensor:
    """The nearest code on every level, the residual passed on; ties go to the lowest code.

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
    if backend is None:
        backend = _backend_of(vectors.device)
    if backend is Backend.TORCH:
        return _assign_torch(vectors, codebooks)
    try:
        from genrec.kernels.residual_assign.triton_kernel import residual_assign_triton
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "codes on a GPU are assigned by Triton, which is not installed: pip install triton, "
            "or move the tensors to the CPU"
        ) from error
    return residual_assign_triton(vectors, codebooks)


def _backend_of(device: torch.device) -> Backend:
    match device.type:
        case "cuda":
            return Backend.TRITON
        case "cpu":
            return Backend.TORCH
    raise InputError(f"residual_assign runs on cpu and cuda, not {device.type}; move the tensors")


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


def _assign_torch(vectors: Tensor, codebooks: Tensor) -> Tensor:
    codes = torch.empty(len(vectors), len(codebooks), dtype=torch.int64, device=vectors.device)
    square_norms = (codebooks**2).sum(dim=2)  # [L, K]
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        residual = vectors[start : start + ROWS_AT_ONCE]
        for level, codebook in enumerate(codebooks):
            # The residual's own norm is the same for every code and cannot change the order.
            distances = torch.addmm(square_norms[level], residual, codebook.T, alpha=-2.0)  # [n, K]
            nearest = distances.argmin(dim=1)
            codes[start : start + ROWS_AT_ONCE, level] = nearest
            residual = residual - codebook[nearest]
    return codes
