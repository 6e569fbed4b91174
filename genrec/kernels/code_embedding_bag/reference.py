"""What the sum of code embeddings means, level after level: the specification."""

from __future__ import annotations

from torch import Tensor

__all__ = ["code_embedding_bag_reference"]


def code_embedding_bag_reference(codes: Tensor, table: Tensor, offsets: Tensor) -> Tensor:
    """float32 [N, D]: of every item, the sum of its codes' vectors over the levels.

    Args:
        codes: int [N, L].
        table: float32 [K, D], the codes of all levels, one level behind the other.
        offsets: int64 [L], where each level's codes begin.
    """
    vectors = table.new_zeros(len(codes), table.shape[1])
    for level, offset in enumerate(offsets):
        vectors = vectors + table[offset + codes[:, level].long()]
    return vectors
