"""The Transformer blocks: pre-norm, self-attention over a history or a prefix, cross-attention."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Attention", "Block", "Dropout", "float32_stays"]

BYTE_VALUES = 256


class Dropout(nn.Module):
    """Dropout whose random numbers are bytes: the share is rounded to 1/256.

    On a CPU the random numbers of `nn.Dropout` are a third of a training step; one 64-bit draw
    gives eight of ours.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.dropped_bytes = round(share * BYTE_VALUES)
        if not 0 <= self.dropped_bytes < BYTE_VALUES:
            raise ValueError(f"dropout must be at least 0 and well below 1, got {share}")

    def forward(self, hidden: Tensor) -> Tensor:
        """`hidden` with its share of values set to zero and the rest scaled up."""
        if not self.training or self.dropped_bytes == 0:
            return hidden
        words = torch.empty(-(-hidden.numel() // 8), dtype=torch.int64, device=hidden.device)
        drawn = words.random_(-(2**63), None).view(torch.uint8)[: hidden.numel()]
        kept = (drawn >= self.dropped_bytes).view(hidden.shape)
        scaled: Tensor = hidden * (kept * (BYTE_VALUES / (BYTE_VALUES - self.dropped_bytes)))
        return scaled


def float32_stays(tensor: Tensor) -> AbstractContextManager[None]:
    """In which autocast, if it is on where the tensor is, changes no float32."""
    device = tensor.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


class Attention(nn.Module):
    """Multi-head attention whose keys and values can be projected once and used many times."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def project(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of `states` [B, S, D], each [B, heads, S, D / heads]."""
        return self.split(self.key_value(states))

    def split(self, keys_values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values apart, each [B, heads, S, D / heads], of what `key_value` gave."""
        key, value = keys_values.chunk(2, dim=-1)  # [B, S, D] each
        return self._heads(key), self._heads(value)

    def forward(
        self,
        queries: Tensor,
        keys_values: tuple[Tensor, Tensor],
        *,
        mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Attends.

        Args:
            queries: [B, Q, D].
            keys_values: what `project` gave.
            mask: bool, broadcastable to [B, heads, Q, S]; True may be seen.
            is_causal: query q sees keys up to q; excludes `mask`.
        """
        key, value = keys_values
        query = self._heads(self.query(queries))
        is_slow = query.dtype != torch.float32 and query.device.type == "cpu"
        if is_slow:  # bfloat16, as autocast gives it: on a CPU, attention is faster in float32
            query, key, value = query.float(), key.float(), value.float()
        with float32_stays(query) if is_slow else nullcontext():
            attended = F.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, is_causal=is_causal
            )
        joined: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return joined

    def _heads(self, states: Tensor) -> Tensor:
        heads: Tensor = states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return heads


class Block(nn.Module):
    """One pre-norm block: self-attention, cross-attention where asked for, feed-forward."""

    def __init__(self, width: int, num_heads: int, dropout: float, *, crosses: bool) -> None:
        super().__init__()
        self.crosses = crosses
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = Attention(width, num_heads)
        if crosses:
            self.cross_norm = nn.LayerNorm(width)
            self.cross_attention = Attention(width, num_heads)
        self.feed_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.dropout = Dropout(dropout)

    def attend_self(self, hidden: Tensor) -> Tensor:
        """Causal self-attention over all of `hidden` [B, S, D]."""
        normed = self.self_norm(hidden)
        keys_values = self.self_attention.project(normed)
        attended = self.self_attention(normed, keys_values, is_causal=hidden.shape[1] > 1)
        return self._add(hidden, attended)

    def attend_cross(
        self, hidden: Tensor, keys_values: tuple[Tensor, Tensor], mask: Tensor | None
    ) -> Tensor:
        """Cross-attention from `hidden` [B, Q, D] to projected states."""
        normed = self.cross_norm(hidden)
        return self._add(hidden, self.cross_attention(normed, keys_values, mask=mask))

    def feed_forward(self, hidden: Tensor) -> Tensor:
        """The position-wise network."""
        inner = F.gelu(self.widen(self.feed_norm(hidden)), approximate="tanh")
        return self._add(hidden, self.narrow(inner))

    def _add(self, hidden: Tensor, update: Tensor) -> Tensor:
        added: Tensor = hidden + self.dropout(update)
        return added
