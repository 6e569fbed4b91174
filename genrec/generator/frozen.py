"""The Transformer blocks as they answer: the weights of one moment, in fewer and faster products.

`layers.py` has the same blocks as they are trained; what is here knows no gradients and no dropout.
Hidden states are rows [R, D], whomever they belong to.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.generator.layers import Attention, Block
from genrec.kernels.packed_linear import PackedLinear

__all__ = ["FrozenBlock", "FrozenNorm"]


class FrozenNorm:
    """A layer norm."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self._shape, self._epsilon = norm.normalized_shape, norm.eps
        self._gain, self._offset = norm.weight.detach().clone(), norm.bias.detach().clone()

    def __call__(self, hidden: Tensor) -> Tensor:
        """float, as `hidden` [..., D]."""
        normed: Tensor = torch.layer_norm(
            hidden, self._shape, self._gain, self._offset, self._epsilon
        )
        return normed


class FrozenBlock:
    """One block's weights; a copy, later training is not seen.

    Args:
        block: in the state that is to answer.
        few_rows: whether it is mostly asked for one row, which packed weights would slow down.
    """

    def __init__(self, block: Block, *, few_rows: bool = False) -> None:
        attention = block.self_attention
        pack = not few_rows
        self.num_heads = attention.num_heads
        self.self_norm = FrozenNorm(block.self_norm)
        self.self_input = PackedLinear.of(attention.query, attention.key_value, pack=pack)
        """[D] to [3 * D]: the queries, the keys and the values."""
        self.self_output = PackedLinear.of(attention.output, pack=pack)
        self.cross: _Cross | None = None
        if block.crosses:
            self.cross = _Cross(block.cross_norm, block.cross_attention)
        self._feed_norm = FrozenNorm(block.feed_norm)
        self._widen = PackedLinear.of(block.widen, pack=pack)
        self._narrow = PackedLinear.of(block.narrow, pack=pack)

    def feed_forward(self, hidden: Tensor) -> Tensor:
        """float, as `hidden` [R, D]: it and the position-wise network of it, added up."""
        return self._narrow.plus(self._widen.gelu(self._feed_norm(hidden)), hidden)


class _Cross:
    """The cross-attention of a block."""

    def __init__(self, norm: nn.LayerNorm, attention: Attention) -> None:
        self._num_heads = attention.num_heads
        self._norm = FrozenNorm(norm)
        self._query = PackedLinear.of(attention.query)
        self._key_value = PackedLinear.of(attention.key_value)
        self._output = PackedLinear.of(attention.output)

    def project(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of `states` [B, T, D], each [B, heads, T, D / heads]."""
        heads = self._key_value(states).unflatten(-1, (2, self._num_heads, -1))
        key, value = heads.permute(2, 0, 3, 1, 4).unbind()
        return key, value

    def attend(
        self, hidden: Tensor, keys_values: tuple[Tensor, Tensor], mask: Tensor | None
    ) -> Tensor:
        """float, as `hidden` [B * Q, D]: it and what it sees in projected states, added up.

        Args:
            hidden: Q rows a request.
            keys_values: what `project` gave.
            mask: float [B, 1, 1, T], added to the scores; None lets everybody see everything.
        """
        key, value = keys_values
        batch, _, _, width = key.shape
        queries = len(hidden) // max(batch, 1)
        query = self._query(self._norm(hidden)).view(batch, queries, self._num_heads, width)
        attended = F.scaled_dot_product_attention(query.transpose(1, 2), key, value, attn_mask=mask)
        return self._output.plus(attended.transpose(1, 2).reshape(hidden.shape), hidden)
