"""Nearest code on every level of a residual quantiser: PyTorch on a CPU, Triton on a GPU."""

from genrec.kernels.residual_assign.dispatch import residual_assign

__all__ = ["residual_assign"]
