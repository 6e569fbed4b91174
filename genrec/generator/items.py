"""The vectors of items and of trie nodes: one geometry for encoder, codes and dense head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.decoding import PrefixIndex
from genrec.generator.config import GeneratorConfig
from genrec.generator.relatives import Relatives
from genrec.kernels import code_embedding_bag
from genrec.training.processes import as_main_drew

__all__ = [
    "ItemEncoder",
    "ItemTables",
    "NodeResiduals",
    "node_sums",
    "node_vectors",
    "unit_content",
]

RESIDUAL_SHARE = 0.2
"""How much a weight counts in a node's residual, of what it counts in an item's vector."""


@dataclass(frozen=True, kw_only=True)
class ItemTables:
    """What one state of the weights makes of the catalogue; computed once for many requests."""

    items: Tensor
    """float [N, D]: every item's vector, as the history reads it."""
    directions: Tensor
    """float [N, D]: the same at unit length, as the heads score it."""
    nodes: list[Tensor]
    """Per level, float [nodes, D]: the unit vector of every prefix; at the last, of every leaf."""
    index: PrefixIndex
    """The prefixes that the nodes are numbered by."""
    added_content: Tensor | None = None
    """float [n, Dc]: unit content of the last n items, which came after training; None where all
    were there."""
    added_relatives: Relatives | None = None
    """Theirs; None where there are none of them."""
    gone: Tensor | None = None
    """bool [N]: items that are in the catalogue no more; None where all are."""

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.items)


class ItemEncoder(nn.Module):
    """An item's vector: the sum of its code embeddings, its projected content and its own part.

    `config.item_scale` multiplies all of it. Items without training events have no part of their
    own while others learn; afterwards they borrow one (`relatives.py`).
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.scale = config.item_scale
        self.codebook_sizes = config.codebook_sizes
        self.dropout = config.item_dropout
        self.codes = nn.Embedding(sum(config.codebook_sizes), config.width)
        self.content = nn.Linear(config.content_width, config.width, bias=False)
        self.own = nn.Embedding(config.num_items, config.width)

    def forward(
        self, codes: Tensor, content: Tensor, known: Tensor, relatives: Relatives | None = None
    ) -> Tensor:
        """float [N, D].

        Args:
            codes: int [N, L].
            content: float [N, content_width].
            known: bool [N]: items with training events; the others have no part of their own.
            relatives: of those others, in the order of their numbers; None where nothing is
                borrowed.
        """
        if self.training:
            kept = torch.rand(known.shape, device=known.device) >= self.dropout
            known = known & as_main_drew(kept)
        own = self.own.weight * (known[:, None] * self.scale)
        vectors: Tensor = self.shared(codes, content) + own
        if relatives is not None:
            vectors[~known] += self.borrowed(relatives)
        return vectors

    def borrowed(self, relatives: Relatives) -> Tensor:
        """float [n, D]: what stands in place of an own part in items that have these relatives."""
        return relatives.mean_of(self.own.weight) * self.scale

    def shared(self, codes: Tensor, content: Tensor) -> Tensor:
        """float [n, D]: what codes [n, L] and content [n, content_width] say of any items."""
        sizes = torch.tensor([0, *self.codebook_sizes[:-1]], device=codes.device)
        bags = code_embedding_bag(codes, self.codes.weight, sizes.cumsum(0))
        vectors: Tensor = (bags + self.content(content)) * self.scale
        return vectors


class NodeResiduals(nn.Module):
    """What a node means beside the items beneath it, learnt for every prefix of the catalogue.

    A node's vector begins as the mean of its items; what distinguishes it from its siblings may be
    something else. Begins at zero, and is scaled by the length of what it is added to. A prefix of
    items that nobody has used has none: it would only ever learn not to be chosen.

    Args:
        num_nodes: of each level.
        config: its width and scale.
    """

    def __init__(self, num_nodes: list[int], config: GeneratorConfig) -> None:
        super().__init__()
        self.num_nodes = num_nodes
        self.scale = RESIDUAL_SHARE * config.item_scale
        self.weight = nn.Parameter(torch.zeros(sum(num_nodes), config.width))

    def forward(self, sums: list[Tensor], num_known: list[Tensor]) -> list[Tensor]:
        """Per level, float [nodes, D]: the sums with the residuals added.

        Args:
            sums: per level, float [nodes, D]: what `node_sums` gave.
            num_known: per level, float [nodes, 1]: items beneath each node that have been used.
        """
        added = self.weight.split(self.num_nodes)
        return [
            each + each.norm(dim=-1, keepdim=True) * (known > 0) * (residual * self.scale)
            for each, known, residual in zip(sums, num_known, added, strict=True)
        ]


def node_vectors(sums: list[Tensor]) -> list[Tensor]:
    """Per level, float [nodes, D]: unit vectors of what `node_sums` or `NodeResiduals` gave."""
    return [F.normalize(each, dim=-1) for each in sums]


def node_sums(values: Tensor, index: PrefixIndex) -> list[Tensor]:
    """Per level, float [nodes, D]: the sum of the items' values beneath each node.

    Args:
        values: float [N, D] over item_index.
        index: the catalogue's prefixes.
    """
    sums = values[index.leaf_item.long()]
    levels = [sums]
    for level in range(index.num_levels - 1, 0, -1):
        degree = index.first_child[level].diff().long()
        parent = torch.repeat_interleave(degree)
        sums = sums.new_zeros(degree.numel(), sums.shape[1]).index_add(0, parent, sums)
        levels.append(sums)
    return levels[::-1]


def unit_content(content: Tensor, centre: Tensor) -> Tensor:
    """float [N, Dc]: content embeddings, centred and at unit length; one at the centre stays zero.

    Args:
        content: float [N, Dc].
        centre: float [Dc]: the mean over the catalogue that was trained on.
    """
    return F.normalize(content - centre, dim=-1)
