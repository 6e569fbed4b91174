"""T5's weights, packed for inference, and its encoder over them.

The gains of a norm are multiplied into the matrix behind it, and matrices that read the same input
stand side by side: fewer and faster products for the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import T5ForConditionalGeneration

from genrec.errors import InputError
from genrec.generator.tiger.positions import position_bias
from genrec.generator.tiger.shape import TigerShape
from genrec.kernels.packed_linear import PackedLinear

__all__ = ["BlockWeights", "T5Weights"]


@dataclass(frozen=True, kw_only=True)
class BlockWeights:
    """One block of the encoder or the decoder; H heads of width d, F = H * d."""

    self_input: PackedLinear | None
    """[D] to [3 * F]: queries, keys and values; None in the first block, whose are in a table."""
    self_output: PackedLinear
    """[F] to [D]."""
    cross_query: PackedLinear | None
    """[D] to [F]; None in the encoder."""
    cross_output: PackedLinear | None
    """[F] to [D]; None in the encoder."""
    widen: PackedLinear
    """[D] to [feed-forward]."""
    narrow: PackedLinear
    """[feed-forward] to [D]."""


class T5Weights:
    """A copy of a T5's weights; P is the number of input tokens, L for every item of a history.

    Args:
        model: with ReLU networks, as TIGER's; later changes of its weights are not seen.
        shape: what its tokens mean.

    Raises:
        InputError: the model has gated feed-forward networks or another vocabulary.
    """

    @torch.no_grad()
    def __init__(self, model: T5ForConditionalGeneration, shape: TigerShape) -> None:
        config: Any = model.config  # its attributes depend on the release
        if config.vocab_size != shape.vocabulary_size:
            raise InputError(
                f"the codebooks make {shape.vocabulary_size} tokens, the T5 has "
                f"{config.vocab_size}; make it with tiger_t5"
            )
        if config.is_gated_act or config.dense_act_fn != "relu":
            raise InputError(
                f"T5's feed_forward_proj must be relu, as TIGER's, got {config.feed_forward_proj}"
            )
        self.shape = shape
        self.num_heads, self.head_width = int(config.num_heads), int(config.d_kv)
        self.width = int(config.d_model)
        self.start_token = int(config.decoder_start_token_id)
        self.max_distance = int(config.relative_attention_max_distance)
        encoder: Any = model.encoder
        decoder: Any = model.decoder
        self.embeddings = model.shared.weight.detach()
        """float [V, D]."""
        self._shortest = self.embeddings.new_tensor(self.width * config.layer_norm_epsilon).sqrt()
        self.encoder_blocks, self.decoder_blocks = (
            [_pack(block, not depth) for depth, block in enumerate(stack.block)]
            for stack in (encoder, decoder)
        )
        # A token's first queries, keys and values are the same in every request.
        self._encoder_entry, self.decoder_entry = (
            _self_input(stack.block[0].layer[0])(self.normalise(self.embeddings))
            for stack in (encoder, decoder)
        )
        """float [V, 3 * F]: of each token, in the first block."""
        self.encoder_gain: Tensor = encoder.final_layer_norm.weight.detach() * self.width**0.5
        """float [D]."""
        cross = [block.layer[1].EncDecAttention for block in decoder.block]
        self.memory_input = _side_by_side(
            *(each for attention in cross for each in (attention.k, attention.v))
        )
        """[D] to [decoder blocks * 2 * F]: keys and values of the history, block by block."""
        scale = self.width**-0.5 if config.scale_decoder_outputs else 1.0
        gain = decoder.final_layer_norm.weight * scale
        self.head = _side_by_side(model.lm_head, gain=gain)
        """[D] to [V]."""
        self._encoder_positions = _position_table(encoder)
        self._encoder_bias = self._bias_between_inputs(0)
        self.decoder_biases = self._bias_to_prefixes(_position_table(decoder))
        """Per step, float [H, S]: of its query with the keys of the S steps up to itself."""
        self.openings = self._openings()
        """For the first step and, if there is one, the second, float [V, D]: each token behind the
        first block's self-attention; before it stands the start token, the same everywhere."""

    @property
    def heads(self) -> tuple[int, int]:
        """H heads of width d."""
        return self.num_heads, self.head_width

    def normalise(self, hidden: Tensor) -> Tensor:
        """`hidden` [R, D] by its length.

        `F.rms_norm`, which is six operations on a CPU, in three: the gains, and √D between length
        and root mean square, stand in the matrices.
        """
        length: Tensor = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)  # [R, 1]
        normed: Tensor = hidden / torch.hypot(length, self._shortest)
        return normed

    def encode(self, tokens: Tensor, unseen: Tensor | None = None) -> Tensor:
        """float [B, P, D]: the encoder's states.

        Args:
            tokens: int64 [B, P].
            unseen: float [B, 1, 1, P], 0 where the token may be seen, -inf where not; None where
                all may.
        """
        batch, length = tokens.shape
        bias = self.encoder_bias(length)[None]  # [1, H, P, P]
        if unseen is not None:
            bias = bias + unseen
        hidden = F.embedding(tokens, self.embeddings).flatten(0, 1)  # [B * P, D]
        for block in self.encoder_blocks:
            if block.self_input is None:
                projected = F.embedding(tokens, self._encoder_entry)
            else:
                projected = block.self_input(self.normalise(hidden))
            heads = projected.view(batch, length, 3, self.num_heads, self.head_width)
            query, key, value = heads.permute(2, 0, 3, 1, 4).unbind()
            attended = F.scaled_dot_product_attention(
                query, key, value, attn_mask=bias, scale=1.0
            )  # [B, H, P, d]
            attended = attended.transpose(1, 2).flatten(2).flatten(0, 1)
            hidden = block.self_output.plus(attended, hidden)
            hidden = self.feed_forward(hidden, block)
        states = self.normalise(hidden) * self.encoder_gain
        return states.view(batch, length, self.width)

    def feed_forward(self, hidden: Tensor, block: BlockWeights) -> Tensor:
        """float, as `hidden` [R, D]: it and the position-wise network of it, added up."""
        return block.narrow.plus(block.widen.relu(self.normalise(hidden)), hidden)

    def encoder_bias(self, length: int) -> Tensor:
        """float [H, P, P]: the encoder's position bias; that of the longest history is kept."""
        if length > self._encoder_bias.shape[1]:
            self._encoder_bias = self._bias_between_inputs(length)
        return self._encoder_bias[:, :length, :length]

    def _openings(self) -> list[Tensor]:
        heads = self.decoder_entry.view(-1, 3, self.num_heads, self.head_width)
        query, key, value = heads.unbind(1)  # [V, H, d]
        attended = [value]  # the softmax over one key is 1
        if self.shape.num_levels > 1:
            past_keys, past_values = (
                torch.stack([each[self.start_token].expand_as(each), each], dim=2)
                for each in (key, value)
            )  # [V, H, 2, d]
            scores = (query[:, :, None] * past_keys).sum(-1) + self.decoder_biases[1]
            attended.append((scores.softmax(-1)[..., None] * past_values).sum(2))
        output = self.decoder_blocks[0].self_output
        return [output.plus(each.flatten(1), self.embeddings) for each in attended]

    def _bias_between_inputs(self, length: int) -> Tensor:
        places = torch.arange(length, device=self.embeddings.device)
        return position_bias(
            self._encoder_positions,
            places,
            places,
            both_ways=True,
            max_distance=self.max_distance,
        )

    def _bias_to_prefixes(self, table: Tensor) -> list[Tensor]:
        places = torch.arange(self.shape.num_levels, device=table.device)
        bias = position_bias(
            table, places, places, both_ways=False, max_distance=self.max_distance
        )  # [H, L, L]
        return [bias[:, step, : step + 1].contiguous() for step in places.tolist()]


def _pack(block: Any, is_first: bool) -> BlockWeights:
    """One T5Block's matrices; those of the first block's entry only make a table."""
    attention, feed_forward = block.layer[0], block.layer[-1]
    cross = block.layer[1] if len(block.layer) == 3 else None
    return BlockWeights(
        self_input=None if is_first else _self_input(attention),
        self_output=_side_by_side(attention.SelfAttention.o),
        cross_query=cross and _side_by_side(cross.EncDecAttention.q, gain=cross.layer_norm.weight),
        cross_output=cross and _side_by_side(cross.EncDecAttention.o),
        widen=_side_by_side(feed_forward.DenseReluDense.wi, gain=feed_forward.layer_norm.weight),
        narrow=_side_by_side(feed_forward.DenseReluDense.wo),
    )


def _self_input(attention: Any) -> PackedLinear:
    """Queries, keys and values of a T5LayerSelfAttention, the norm in front of them included."""
    own = attention.SelfAttention
    return _side_by_side(own.q, own.k, own.v, gain=attention.layer_norm.weight)


def _side_by_side(*linears: Any, gain: Tensor | None = None) -> PackedLinear:
    """Linear maps that read the same input.

    Args:
        linears: without bias.
        gain: float [in]: of the norm in front of them, which `T5Weights.normalise` begins.
    """
    joined = torch.cat([each.weight for each in linears])  # [out, in]
    return PackedLinear(joined if gain is None else joined * (gain * len(gain) ** 0.5))


def _position_table(stack: Any) -> Tensor:
    """float [buckets, H]: a stack's relative position biases, which stand in its first block."""
    table: Tensor = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    return table.detach()
