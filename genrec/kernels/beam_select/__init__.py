"""The best of each row, exactly and in order: PyTorch on a CPU, Triton on a GPU."""

from genrec.kernels.beam_select.dispatch import beam_select

__all__ = ["beam_select"]
