"""A decoder whose every log-probability is known."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genrec.decoding import Decoder, Edges, PrefixIndex


class TableDecoder(Decoder):
    """Gives every node of every request a fixed logit; knows the truth about every item."""

    def __init__(self, index: PrefixIndex, logits: list[Tensor]) -> None:
        self.index, self.logits = index, logits  # per level: float [B, nodes]
        self.beams = 1
        self.reached: list[Tensor] = []

    def score_children(self, level: int, edges: Edges) -> Tensor:
        request = edges.row // self.beams
        logits = self.logits[level][request, edges.child].masked_fill(~edges.is_child, -torch.inf)
        total = torch.zeros(edges.degree.numel()).index_add(0, edges.row, logits.exp())
        return torch.where(edges.is_child, logits - total.log()[edges.row], 7.0)

    def advance(self, level: int, parents: Tensor, nodes: Tensor) -> None:
        self.beams = nodes.shape[1]
        self.reached.append(nodes)

    def all_items(self) -> Tensor:
        """float [B, N]: the log-probability of every item, by walking its path."""
        total = torch.zeros(self.logits[0].shape[0], self.index.num_items)
        for level, logits in enumerate(self.logits):
            starts = self.index.first_child[level]
            log_probs = torch.cat(
                [
                    logits[:, a:b].log_softmax(1)
                    for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
                ],
                dim=1,
            )
            total += log_probs[:, self.index.path_of(torch.arange(self.index.num_items))[:, level]]
        return total


def make_decoder(seed: int, num_requests: int, num_items: int = 40) -> TableDecoder:
    random = np.random.default_rng(seed)
    codes = np.unique(random.integers(0, 4, (num_items, 3)), axis=0).astype(np.uint16)
    index = PrefixIndex(codes)
    generator = torch.Generator().manual_seed(seed)
    return TableDecoder(
        index, [torch.randn(num_requests, n, generator=generator) for n in index.num_nodes]
    )
