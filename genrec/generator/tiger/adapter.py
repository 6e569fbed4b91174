"""T5 behind the beam search: keeps the `Decoder` protocol for one batch of histories."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.decoding import Edges, PrefixIndex
from genrec.errors import InputError
from genrec.generator.tiger.shape import PAD
from genrec.generator.tiger.weights import BlockWeights, T5Weights
from genrec.kernels import beam_self_attention

__all__ = ["T5Decoder"]


class T5Decoder:
    """Steps through the levels; a child's score is T5's log-probability of its token.

    The softmax runs over the whole vocabulary, as in `generate`: the scores of a beam's children
    sum to less than one in probability, for T5 spends the rest on tokens that lead to no item. The
    history's keys are projected once and shared by all beams, which are query rows of one
    attention. A step's own keys are written once and never move: which of them belong to a beam
    says a table of ancestors.

    Args:
        weights: of the model.
        index: the catalogue, whose codes fit the model's codebooks.
        tokens: int64 [B, P]: the `TigerShape.tokens` of each history, item by item; PAD behind the
            end.

    Raises:
        InputError: a history has no token.
    """

    def __init__(self, weights: T5Weights, index: PrefixIndex, tokens: Tensor) -> None:
        self.weights, self.index = weights, index
        self.first_tokens = weights.shape.first_tokens
        self.batch = tokens.shape[0]
        self.unseen = _mask(tokens) if index.is_static else _unseen(tokens)
        states = weights.encode(tokens, self.unseen)
        self.memory = self._project(states)
        self.ancestors = tokens.new_zeros(self.batch, 1, 1)  # [B, M, S]
        self.cache = self._new_cache(1)
        self._decode(tokens.new_full((self.batch, 1), weights.start_token))

    def score_children(self, level: int, edges: Edges) -> Tensor:
        """float32 [E]: see `Decoder`."""
        tokens = self.index.codes_at(level, edges.child).add_(self.first_tokens[level])
        places = tokens.add_(edges.row, alpha=self.log_probs.shape[1])
        return self.log_probs.take(places)

    def advance(self, level: int, parents: Tensor, nodes: Tensor) -> None:
        """See `Decoder`."""
        num_beams = nodes.shape[1]
        written = self.cache.shape[3]
        if num_beams > written:
            cache, self.cache = self.cache, self._new_cache(num_beams)
            self.cache[:, :, :, :written] = cache
        own = torch.arange(num_beams, device=nodes.device).expand(self.batch, -1)
        inherited = self.ancestors.flatten(0, 1)[parents]  # [B, M, S]
        self.ancestors = torch.cat([inherited, own[..., None]], dim=-1)
        self._decode(self.index.codes_at(level, nodes) + self.first_tokens[level])

    def _decode(self, tokens: Tensor) -> None:
        """Sets `log_probs` [B * M, V] for beams whose last token is `tokens` [B, M]."""
        weights, (num_beams, steps) = self.weights, self.ancestors.shape[1:]
        hidden = F.embedding(tokens.flatten(), weights.embeddings)  # [B * M, D]
        projected = F.embedding(tokens.flatten(), weights.decoder_entry)  # [B * M, 3 * F]
        caches = self.cache[:, :, :steps].unbind()  # [B, S, W, 2, H, d] each
        slots = self.cache[:, :, steps - 1, :num_beams].unbind()  # [B, M, 2, H, d] each
        for depth, block in enumerate(weights.decoder_blocks):
            if block.self_input is not None:
                projected = block.self_input(weights.normalise(hidden))
            heads = projected.view(self.batch, num_beams, 3, *weights.heads)
            slots[depth].copy_(heads[:, :, 1:])
            if depth == 0 and steps <= len(weights.openings):
                hidden = F.embedding(tokens.flatten(), weights.openings[steps - 1])
            else:
                attended = self._attend_prefix(heads, caches[depth])
                hidden = block.self_output.plus(attended, hidden)
            hidden = self._attend_history(hidden, depth, block)
            hidden = weights.feed_forward(hidden, block)
        self.log_probs = weights.head(weights.normalise(hidden)).log_softmax(-1)

    def _attend_prefix(self, heads: Tensor, cache: Tensor) -> Tensor:
        """float [B * M, F]: the attention to the beams' own tokens.

        Args:
            heads: float [B, M, 3, H, d]: queries, keys and values of the last token.
            cache: float [B, S, W, 2, H, d]: keys and values of all tokens.
        """
        steps = cache.shape[1]
        if steps == 1:
            attended = heads[:, :, 2]  # the softmax over one key is 1
        else:
            bias = self.weights.decoder_biases[steps - 1]
            attended = beam_self_attention(
                heads[:, :, 0], cache, self.ancestors, scale=1.0, bias=bias
            )
        return attended.flatten(2).flatten(0, 1)

    def _attend_history(self, hidden: Tensor, depth: int, block: BlockWeights) -> Tensor:
        """float, as `hidden` [B * M, D]: it and the attention to the encoder's states."""
        assert block.cross_query is not None
        assert block.cross_output is not None
        query = block.cross_query(self.weights.normalise(hidden))
        key, value = self.memory[depth]
        attended = F.scaled_dot_product_attention(
            self._split(query), key, value, attn_mask=self.unseen, scale=1.0
        )  # [B, H, M, d]
        attended = attended.transpose(1, 2).flatten(2).flatten(0, 1)
        return block.cross_output.plus(attended, hidden)

    def _project(self, states: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Per block of the decoder, keys and values of the history's states, each [B, H, P, d]."""
        weights = self.weights
        projected = weights.memory_input(states.flatten(0, 1))
        shape = (*states.shape[:2], len(weights.decoder_blocks), 2, *weights.heads)
        heads = projected.view(shape)
        keys_values = heads.permute(2, 3, 0, 4, 1, 5).contiguous()
        return [(key, value) for key, value in keys_values]

    def _split(self, rows: Tensor) -> Tensor:
        """[B, H, rows / B, d] of [rows, H * d]."""
        each = len(rows) // max(self.batch, 1)
        return rows.view(self.batch, each, *self.weights.heads).transpose(1, 2)

    def _new_cache(self, num_beams: int) -> Tensor:
        """Room for the keys and values of all steps: [decoder blocks, B, L, W, 2, H, d]."""
        weights = self.weights
        steps = (len(weights.decoder_blocks), self.batch, weights.shape.num_levels)
        return weights.embeddings.new_empty(*steps, num_beams, 2, *weights.heads)


def _unseen(tokens: Tensor) -> Tensor | None:
    """float [B, 1, 1, P]: -inf where there is padding, else 0; None where there is none at all."""
    padding = tokens == PAD
    if not padding.any():
        return None
    if padding.all(1).any():
        raise InputError("a history has no token; T5 needs at least one item")
    return _mask(tokens)


def _mask(tokens: Tensor) -> Tensor:
    """float [B, 1, 1, P]: -inf where there is padding, else 0."""
    padding = tokens == PAD
    zero = torch.zeros(tokens.shape, device=tokens.device)
    return zero.masked_fill(padding, -torch.inf)[:, None, None]
