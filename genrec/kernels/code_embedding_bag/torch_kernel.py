"""The kernel in PyTorch: its embedding bag, over the rows of the joined table."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["code_embedding_bag_torch"]


def code_embedding_bag_torch(codes: Tensor, table: Tensor, offsets: Tensor) -> Tensor:
    """float32 [N, D], as `code_embedding_bag` with checked arguments."""
    return F.embedding_bag(codes.long() + offsets, table, mode="sum")
