"""The vectors of items and of trie nodes: one geometry for encoder, codes and dense head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.decoding import PrefixIndex
from genrec.generator.config import GeneratorConfig

__all__ = ["ItemEncoder", "ItemTables", "node_vectors"]


@dataclass(frozen=True, kw_only=True)
class ItemTables:
    """What one state of the weights makes of the catalogue; computed once for many requests."""

    items: Tensor
    """float [N, D]: every item's vector, as the history reads it."""
    directions: Tensor
    """float [N, D]: the same at unit length, as the heads score it."""
    nodes: list[Tensor]
    """Per level, float [nodes, D]: the unit vector of every prefix; at the last, of every leaf."""


class ItemEncoder(nn.Module):
    """An item's vector: the sum of its code embeddings, its projected content and its own part."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.codebook_sizes = config.codebook_sizes
        self.dropout = config.item_dropout
        self.codes = nn.Embedding(sum(config.codebook_sizes), config.width)
        self.content = nn.Linear(config.content_width, config.width, bias=False)
        self.own = nn.Embedding(config.num_items, config.width)

    def forward(self, codes: Tensor, content: Tensor, known: Tensor) -> Tensor:
        """float [N, D].

        Args:
            codes: int64 [N, L].
            content: float [N, content_width].
            known: bool [N]: items with training events; the others have no part of their own.
        """
        sizes = torch.tensor([0, *self.codebook_sizes[:-1]], device=codes.device)
        rows = codes + sizes.cumsum(0)
        shared = F.embedding_bag(rows, self.codes.weight, mode="sum") + self.content(content)
        if self.training:
            known = known & (torch.rand(known.shape, device=known.device) >= self.dropout)
        vectors: Tensor = shared + self.own.weight * known[:, None]
        return vectors


def node_vectors(directions: Tensor, index: PrefixIndex) -> list[Tensor]:
    """Per level, float [nodes, D]: the normalised mean of the unit vectors beneath each node.

    Args:
        directions: float [N, D] over item_index.
        index: the catalogue's prefixes.
    """
    sums = directions[index.leaf_item.long()]
    vectors = [sums]
    for level in range(index.num_levels - 1, 0, -1):
        degree = index.first_child[level].diff().long()
        parent = torch.repeat_interleave(degree)
        sums = sums.new_zeros(degree.numel(), sums.shape[1]).index_add(0, parent, sums)
        vectors.append(F.normalize(sums, dim=-1))
    return vectors[::-1]
