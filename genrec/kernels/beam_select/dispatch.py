"""The public function: checks the arguments, then runs the implementation of their device."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.errors import InputError
from genrec.kernels.backend import Backend, choose_backend
from genrec.kernels.beam_select.torch_kernel import beam_select_torch
from genrec.kernels.checks import check_devices, check_dtype

__all__ = ["beam_select"]


def beam_select(
    scores: Tensor, index: Tensor, num_beams: int, *, backend: Backend | None = None
) -> tuple[Tensor, Tensor]:
    """The M best of each row, best first; among equal scores the lowest index comes first.

    Exact, and the same on every backend. Nothing is differentiable.

    Args:
        scores: float32 [B, W], -inf where there is nothing to select; not NaN. -0.0 equals 0.0.
        index: int64 [B, W] or [W], from 0 to 2³¹ - 1, unique among entries of equal score. It is
            not checked: that would take longer than the selection.
        num_beams: M, at least 1; may exceed W.
        backend: None takes Triton for CUDA tensors and PyTorch for CPU tensors. Triton on CPU
            tensors works on its interpreter only (TRITON_INTERPRET=1).

    Returns:
        The scores, float32 [B, M], and their positions in the row, int64 [B, M]. Where a row has
        fewer than M entries above -inf: -inf, and the position 0.

    Raises:
        InputError: shapes, dtypes or devices that do not fit, or num_beams below 1.
        MissingDependencyError: Triton is to run and is not installed.
    """
    _check(scores, index, num_beams)
    scores = scores.detach()
    if choose_backend("beam_select", scores.device, backend) is Backend.TORCH:
        return beam_select_torch(scores, index, num_beams)
    from genrec.kernels.beam_select.triton_kernel import beam_select_triton

    return beam_select_triton(scores, index, num_beams)


def _check(scores: Tensor, index: Tensor, num_beams: int) -> None:
    if scores.ndim != 2 or index.shape not in {scores.shape, scores.shape[1:]}:
        raise InputError(
            "beam_select needs scores [B, W] and index [B, W] or [W], got "
            f"{list(scores.shape)} and {list(index.shape)}"
        )
    if num_beams < 1:
        raise InputError(f"num_beams must be at least 1, got {num_beams}")
    check_dtype("beam_select", torch.float32, scores=scores)
    check_dtype("beam_select", torch.int64, index=index)
    check_devices(scores=scores, index=index)
