"""One folder a kernel: the public function, its reference, its Triton twin."""

from genrec.kernels.residual_assign import residual_assign

__all__ = ["residual_assign"]
