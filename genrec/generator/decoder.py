"""The generator behind the beam search: keeps the `Decoder` protocol for one batch of requests."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.decoding import Edges
from genrec.generator.frozen import FrozenBlock, FrozenNorm
from genrec.generator.items import ItemTables
from genrec.generator.losses import child_log_probs
from genrec.generator.model import GenerativeRecommender
from genrec.kernels import beam_self_attention
from genrec.kernels.packed_linear import PackedLinear

__all__ = ["DecoderWeights", "GeneratorDecoder"]

SHORTEST = 1e-12  # what a query is divided by at least, as `F.normalize` has it


class DecoderWeights:
    """The decoder of a model as it answers: a copy of the present weights.

    Args:
        model: in eval mode.
    """

    @torch.no_grad()
    def __init__(self, model: GenerativeRecommender) -> None:
        self.model = model
        self.blocks = [FrozenBlock(block) for block in model.decoder_blocks]
        self.levels = model.levels.weight.clone()
        """float [L, D]: what the decoder reads of a level itself."""
        self.prefix = PackedLinear.of(model.prefix)
        self._norm = FrozenNorm(model.decoder_norm)
        self._scale = model.log_scales[1].exp()

    def queries(self, hidden: Tensor) -> Tensor:
        """float, as `hidden` [R, D]: as `GenerativeRecommender.queries` of decoded states."""
        normed = self._norm(hidden)
        length = torch.linalg.vector_norm(normed, dim=-1, keepdim=True).clamp_(min=SHORTEST)
        return normed.mul_(self._scale / length)


class GeneratorDecoder:
    """Steps through the levels; beams are query rows, and what they have read is never copied.

    The history's keys are projected once and shared by all beams. Those of the prefixes stay in the
    slots that they were written to, and each beam knows its ancestors' slots. A beam whose prefix
    is of a single item is finished: all that follows is certain, and is not decoded (where shapes
    must be known beforehand, it is decoded in vain).

    Args:
        weights: of the model.
        tables: of the same weights.
        states: float [B, T, D], from the encoder.
        lengths: int64 [B], events per history; a history of length 0 reads the empty state.
    """

    def __init__(
        self, weights: DecoderWeights, tables: ItemTables, states: Tensor, lengths: Tensor
    ) -> None:
        self.weights, self.tables = weights, tables
        self.batch = states.shape[0]
        self.unseen: Tensor | None = None
        """float [B, 1, 1, T]: -inf where a request may not look, else 0; None where all may."""
        # Where shapes must be known beforehand, so must be what is read: nothing is looked at.
        if not tables.index.is_static and self.batch and (lengths == states.shape[1]).all():
            self.last = states[:, -1]  # [B, D]
        else:
            self.last = weights.model.last_states(states, lengths)
            states, seen = weights.model.decoder_memory(states, lengths)
            self.unseen = states.new_zeros(seen.shape).masked_fill_(~seen, -torch.inf)[
                :, None, None
            ]
        self.layers = [_Layer(block, states, weights.levels.shape[0]) for block in weights.blocks]
        self.slots = torch.zeros(self.batch, 1, 1, dtype=torch.int64, device=states.device)
        self.queries: Tensor | None = self._decode(0, None, self.slots)
        """float [B * M, D]; None where all beams are finished."""

    def score_children(self, level: int, edges: Edges) -> Tensor:
        """float32 [E]: see `Decoder`."""
        if self.queries is None:
            return edges.child.new_zeros(edges.child.shape, dtype=torch.float32)
        return child_log_probs(self.queries, self.tables.nodes[level], edges)

    def advance(self, level: int, parents: Tensor, nodes: Tensor) -> None:
        """See `Decoder`."""
        if self.queries is None:
            return
        beams = nodes.shape[1]
        inherited = self.slots.flatten(0, 1)[parents]  # [B, M, S]
        chosen = self._unfinished(level, nodes)
        if chosen is None:
            own = torch.arange(beams, device=nodes.device).expand_as(nodes)
            self.slots = torch.cat([inherited, own[..., None]], dim=2)  # [B, M, S + 1]
            self.queries = self._decode(level + 1, nodes, self.slots)
            return
        if not chosen.shape[1]:
            self.queries = None  # every beam has one child, whose probability is 1
            return
        own = torch.zeros_like(nodes)
        places = torch.arange(chosen.shape[1], device=nodes.device).expand_as(chosen)
        own.scatter_(1, chosen, places)
        self.slots = torch.cat([inherited, own[..., None]], dim=2)
        # A finished beam has one child, whose probability is 1 whatever the query.
        ancestors = self.slots.gather(1, chosen[..., None].expand(-1, -1, level + 2))
        decoded = self._decode(level + 1, nodes.gather(1, chosen), ancestors)
        decoded = decoded.view(*chosen.shape, -1)  # [B, M', D]
        queries = decoded.new_zeros(self.batch, beams, decoded.shape[2])
        queries.scatter_(1, chosen[..., None].expand_as(decoded), decoded)
        self.queries = queries.flatten(0, 1)

    def _unfinished(self, level: int, nodes: Tensor) -> Tensor | None:
        """int64 [B, M']: the beams that are decoded, as many for each request, in order.

        None where those are all beams.
        """
        if self.tables.index.is_static:  # how many are finished would have to be asked for
            return None
        unfinished = self.tables.index.num_leaves(level, nodes) > 1  # [B, M]
        width = int(unfinished.sum(1).max()) if self.batch else 0
        if width == nodes.shape[1]:
            return None
        order = (~unfinished).to(torch.int8).argsort(dim=1, stable=True)
        return order[:, :width]

    def _decode(self, level: int, nodes: Tensor | None, ancestors: Tensor) -> Tensor:
        """float [B * M, D]: the queries of beams standing at `nodes` [B, M] of the level above.

        Nobody stands anywhere at level 0.
        """
        hidden = self.last + self.weights.levels[level]  # [B, D]
        if nodes is not None:
            reached = self.tables.nodes[level - 1][nodes.flatten()]
            prefixes = self.weights.prefix(reached).view(*nodes.shape, -1)
            hidden = prefixes.add_(hidden[:, None]).flatten(0, 1)
        for layer in self.layers:
            hidden = layer(level, hidden, ancestors, self.unseen)
        return self.weights.queries(hidden)


class _Layer:
    """One block over the beams of a search: what it has projected, and where it stands.

    The keys and values of the prefixes have a slot for every beam of every level, written once.
    """

    def __init__(self, block: FrozenBlock, states: Tensor, num_levels: int) -> None:
        assert block.cross is not None
        self.block, self.cross, self.num_levels = block, block.cross, num_levels
        self.batch = len(states)
        self.memory = self.cross.project(states)
        self.keys_values = states.new_empty(0)  # [B, L, W, 2, H, d]

    def __call__(
        self, level: int, hidden: Tensor, ancestors: Tensor, unseen: Tensor | None
    ) -> Tensor:
        """float, as `hidden` [B * M, D]: the beams behind the block.

        Args:
            level: where the keys and values of `hidden` go, to slots 0 to M - 1.
            hidden: of the beams that are decoded.
            ancestors: int64 [B, M, level + 1]: the slots of each beam's prefix, its own last.
            unseen: float [B, 1, 1, T], added to the scores of the history; None adds nothing.
        """
        block = self.block
        projected = block.self_input(block.self_norm(hidden))  # [B * M, 3 * D]
        heads = projected.view(*ancestors.shape[:2], 3, block.num_heads, self.memory[0].shape[-1])
        self._write(level, heads[:, :, 1:])
        if level == 0:
            attended = heads[:, :, 2]  # nothing stands before it: a beam sees itself alone
        else:
            cache = self.keys_values[:, : level + 1]
            attended = beam_self_attention(heads[:, :, 0], cache, ancestors)
        hidden = block.self_output.plus(attended.reshape(hidden.shape), hidden)
        return block.feed_forward(self.cross.attend(hidden, self.memory, unseen))

    def _write(self, level: int, written: Tensor) -> None:
        """Puts the keys and values [B, M, 2, H, d] of a level into its slots."""
        beams = written.shape[1]
        if level == 0 or beams > self.keys_values.shape[2]:
            before = self.keys_values
            shape = (self.batch, self.num_levels, beams, *written.shape[2:])
            self.keys_values = written.new_empty(shape)
            if level:
                self.keys_values[:, :level, : before.shape[2]] = before[:, :level]
        self.keys_values[:, level, :beams] = written
