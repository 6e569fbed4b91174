"""What expanding a trie means, in float32 and without any speed: the specification."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["trie_expand_reference"]


def trie_expand_reference(
    queries: Tensor, nodes: Tensor, child: Tensor, start: Tensor, degree: Tensor
) -> Tensor:
    """float32 [E]: the log-softmax over each row's children, -inf where no row has a child.

    A model of the next level that is a distribution over the valid continuations of a prefix, and
    over nothing else.

    Args:
        queries: float32 [R, D].
        nodes: float32 [n, D].
        child: int64 [E].
        start: int64 [R].
        degree: int64 [R].
    """
    log_probs = queries.new_full(child.shape, -torch.inf)
    for row, query in enumerate(queries):
        children = slice(int(start[row]), int(start[row] + degree[row]))
        log_probs[children] = torch.log_softmax(nodes[child[children]] @ query, dim=0)
    return log_probs
