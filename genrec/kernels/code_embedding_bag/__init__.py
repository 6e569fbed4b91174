"""Sums of code embeddings over the levels, differentiable: PyTorch on a CPU, Triton on a GPU."""

from genrec.kernels.code_embedding_bag.dispatch import code_embedding_bag

__all__ = ["code_embedding_bag"]
