"""The generator behind the beam search: keeps the `Decoder` protocol for one batch of requests."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.decoding import Edges
from genrec.generator.items import ItemTables
from genrec.generator.layers import Block
from genrec.generator.losses import child_log_probs
from genrec.generator.model import GenerativeRecommender
from genrec.kernels import beam_self_attention

__all__ = ["GeneratorDecoder"]


class GeneratorDecoder:
    """Steps through the levels; beams are query rows, and what they have read is never copied.

    The history's keys are projected once and shared by all beams. Those of the prefixes stay in the
    slots that they were written to, and each beam knows its ancestors' slots. A beam whose prefix
    is of a single item is finished: all that follows is certain, and is not decoded (where shapes
    must be known beforehand, it is decoded in vain).

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
        self.caches = [_BeamCache(block, model.config.num_levels) for block in model.decoder_blocks]
        self.slots = torch.zeros(self.batch, 1, 1, dtype=torch.int64, device=states.device)
        self.queries = self._decode(0, self.slots[..., 0], self.slots).flatten(0, 1)

    def score_children(self, level: int, edges: Edges) -> Tensor:
        """float32 [E]: see `Decoder`."""
        return child_log_probs(self.queries, self.tables.nodes[level], edges)

    def advance(self, level: int, parents: Tensor, nodes: Tensor) -> None:
        """See `Decoder`."""
        beams = nodes.shape[1]
        rows = parents.flatten()
        inherited = self.slots.flatten(0, 1)[rows].view(self.batch, beams, self.slots.shape[2])
        chosen = self._unfinished(level, nodes)
        own = torch.zeros_like(nodes)
        places = torch.arange(chosen.shape[1], device=nodes.device).expand_as(chosen)
        own.scatter_(1, chosen, places)
        self.slots = torch.cat([inherited, own[..., None]], dim=2)  # [B, M, S]
        ancestors = self.slots.gather(1, chosen[..., None].expand(-1, -1, level + 2))
        decoded = self._decode(level + 1, nodes.gather(1, chosen), ancestors)
        # A finished beam has one child, whose probability is 1 whatever the query.
        queries = decoded.new_zeros(self.batch, beams, decoded.shape[-1])
        queries.scatter_(1, chosen[..., None].expand_as(decoded), decoded)
        self.queries = queries.flatten(0, 1)

    def _unfinished(self, level: int, nodes: Tensor) -> Tensor:
        """int64 [B, M']: the beams that are decoded, as many for each request, in order."""
        if self.tables.index.is_static:  # how many are finished would have to be asked for
            return torch.arange(nodes.shape[1], device=nodes.device).expand_as(nodes)
        unfinished = self.tables.index.num_leaves(level, nodes) > 1  # [B, M]
        width = int(unfinished.sum(1).max()) if self.batch else 0
        if width == nodes.shape[1]:
            return torch.arange(width, device=nodes.device).expand_as(nodes)
        order = (~unfinished).to(torch.int8).argsort(dim=1, stable=True)
        return order[:, :width]

    def _decode(self, level: int, nodes: Tensor, ancestors: Tensor) -> Tensor:
        """float [B, M, D]: the queries of beams standing at `nodes` [B, M] of the level above."""
        hidden = self.model.decoder_inputs(self.tables, level, nodes) + self.last[:, None]
        for block, cache, memory in zip(
            self.model.decoder_blocks, self.caches, self.memory, strict=True
        ):
            hidden = cache.attend(level, hidden, ancestors)
            hidden = block.attend_cross(hidden, memory, self.mask)
            hidden = block.feed_forward(hidden)
        return self.model.queries(hidden)


class _BeamCache:
    """The keys and values of one block: a slot for every beam of every level, written once."""

    def __init__(self, block: Block, num_levels: int) -> None:
        self.block, self.num_levels = block, num_levels
        self.keys_values = block.self_attention.output.weight.new_empty(0)

    def attend(self, level: int, hidden: Tensor, ancestors: Tensor) -> Tensor:
        """float, as `hidden` [B, M, D]: the block's self-attention over the beams' prefixes.

        Args:
            level: where the keys and values of `hidden` go, to slots 0 to M - 1.
            hidden: of the beams that are decoded.
            ancestors: int64 [B, M, level + 1]: the slots of each beam's prefix, its own last.
        """
        attention = self.block.self_attention
        normed = self.block.self_norm(hidden)
        heads = attention.num_heads
        written = attention.key_value(normed).unflatten(-1, (2, heads, -1))  # [B, M, 2, H, d]
        self._write(level, written)
        if level == 0:
            attended = written[:, :, 1]  # nothing stands before it: a beam sees itself alone
        else:
            query = attention.query(normed).unflatten(-1, (heads, -1))
            keys, values = self.keys_values[:, :, : level + 1].unbind(0)
            attended = beam_self_attention(query, keys, values, ancestors)
        update: Tensor = attention.output(attended.flatten(2))
        return hidden + update

    def _write(self, level: int, written: Tensor) -> None:
        batch, beams, _, heads, width = written.shape
        if level == 0 or beams > self.keys_values.shape[3]:
            before = self.keys_values
            self.keys_values = written.new_empty(2, batch, self.num_levels, beams, heads, width)
            if level:
                self.keys_values[:, :, :level, : before.shape[3]] = before[:, :, :level]
        self.keys_values[:, :, level, :beams] = written.movedim(2, 0)
