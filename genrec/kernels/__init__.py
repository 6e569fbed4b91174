"""One folder a kernel: the public function, its reference, its Triton twin."""

from genrec.kernels.backend import Backend
from genrec.kernels.beam_select import beam_select
from genrec.kernels.beam_self_attention import beam_self_attention
from genrec.kernels.code_embedding_bag import code_embedding_bag
from genrec.kernels.residual_assign import residual_assign
from genrec.kernels.trie_expand import trie_expand

__all__ = [
    "Backend",
    "beam_select",
    "beam_self_attention",
    "code_embedding_bag",
    "residual_assign",
    "trie_expand",
]
