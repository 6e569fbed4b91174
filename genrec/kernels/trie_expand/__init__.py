"""Log-probabilities of trie nodes' children, differentiable: PyTorch on a CPU, Triton on a GPU."""

from genrec.kernels.trie_expand.dispatch import trie_expand

__all__ = ["trie_expand"]
