"""The generator behind the beam search: keeps the `Decoder` protocol for one batch of requests."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.decoding import Edges
from genrec.generator.items import ItemTables
from genrec.generator.losses import child_log_probs
from genrec.generator.model import GenerativeRecommender

__all__ = ["GeneratorDecoder"]


class GeneratorDecoder:
    """Steps through the levels with cached keys and values.

    The history's keys are projected once and shared by all beams, which are query rows of one
    attention; the keys of the prefix follow their beams.

    Args:
        model: in eval mode.
        tables: of its present weights.
        states: float [B, T, D], from `model.encode`.
        lengths: int64 [B], events per history; a history of length 0 reads the empty state.
    """

    def __init__(
        self,
        model: GenerativeRecommender,
        tables: ItemTables,
        states: Tensor,
        lengths: Tensor,
    ) -> None:
        self.model, self.tables = model, tables
        self.batch = states.shape[0]
        self.last = model.last_states(states, lengths)  # [B, D]
        states, seen = model.decoder_memory(states, lengths)
        self.mask = seen[:, None, None]  # [B, 1, 1, T]
        self.memory = [block.cross_attention.project(states) for block in model.decoder_blocks]
        self.prefixes: list[tuple[Tensor, Tensor] | None] = [None] * len(model.decoder_blocks)
        self._decode(0, torch.zeros(self.batch, 1, dtype=torch.int64, device=states.device))

    def score_children(self, level: int, edges: Edges) -> Tensor:
        """float32 [E]: see `Decoder`."""
        return child_log_probs(self.queries, self.tables.nodes[level], edges).float()

    def advance(self, level: int, parents: Tensor, nodes: Tensor) -> None:
        """See `Decoder`."""
        rows = parents.flatten()
        self.prefixes = [
            None if cache is None else (cache[0][rows], cache[1][rows]) for cache in self.prefixes
        ]
        self._decode(level + 1, nodes)

    def _decode(self, level: int, nodes: Tensor) -> None:
        """Sets `queries` [B * M, D] for beams standing at `nodes` [B, M] of the level above."""
        hidden = self.model.decoder_inputs(self.tables, level, nodes) + self.last[:, None]
        beams = nodes.shape[1]
        for depth, block in enumerate(self.model.decoder_blocks):
            rows = hidden.view(self.batch * beams, 1, -1)
            normed = block.self_norm(rows)
            key, value = block.self_attention.project(normed)
            past = self.prefixes[depth]
            if past is not None:
                key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
            self.prefixes[depth] = (key, value)
            rows = rows + block.self_attention(normed, (key, value))
            hidden = rows.view(self.batch, beams, -1)
            hidden = block.attend_cross(hidden, self.memory[depth], self.mask)
            hidden = block.feed_forward(hidden)
        self.queries = self.model.queries(hidden).flatten(0, 1)
