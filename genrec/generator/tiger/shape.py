"""What a TIGER-shaped T5 is made of, and which token is which code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

__all__ = ["END", "PAD", "TigerShape", "tiger_t5"]

PAD = 0
"""Fills histories behind their end, and starts every decoding, as T5 has it."""
END = 1
"""Ends a sequence in training; an item ends after L codes, so decoding never asks for it."""


@dataclass(frozen=True, kw_only=True)
class TigerShape:
    """The sizes of encoder and decoder, and the vocabulary: pad, end, then K tokens a level.

    Source: Rajput et al. 2023 (TIGER), section 4; Raffel et al. 2020 (T5).
    """

    codebook_sizes: tuple[int, ...]
    """K of each level; a level's codes are a token range of their own."""
    width: int = 256
    """D of all hidden states."""
    num_layers: int = 4
    """Blocks of the encoder, and as many of the decoder."""
    num_heads: int = 4
    head_width: int = 64
    feed_forward: int = 1024
    """Width between the two products of a feed-forward network."""
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if not self.codebook_sizes or min(self.codebook_sizes) < 1:
            raise ValueError(f"every level needs at least one code, got {self.codebook_sizes}")

    @property
    def num_levels(self) -> int:
        """L: tokens an item."""
        return len(self.codebook_sizes)

    @property
    def vocabulary_size(self) -> int:
        """Pad, end and the codes of all levels."""
        return END + 1 + sum(self.codebook_sizes)

    @property
    def first_tokens(self) -> list[int]:
        """The token of code 0 of each level."""
        above = [sum(self.codebook_sizes[:level]) for level in range(self.num_levels)]
        return [END + 1 + codes for codes in above]

    def tokens(self, codes: Tensor) -> Tensor:
        """int64 [..., L], as `codes`: the tokens of Semantic IDs; a history is theirs in a row."""
        first = torch.tensor(self.first_tokens, device=codes.device)
        return codes.to(torch.int64) + first

    def config(self) -> T5Config:
        """The same, in transformers' words."""
        start: dict[str, Any] = {"decoder_start_token_id": PAD}  # no argument that types know
        return T5Config(
            vocab_size=self.vocabulary_size,
            d_model=self.width,
            d_kv=self.head_width,
            d_ff=self.feed_forward,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            dropout_rate=self.dropout,
            pad_token_id=PAD,
            eos_token_id=END,
            **start,
        )


def tiger_t5(shape: TigerShape, *, seed: int) -> T5ForConditionalGeneration:
    """transformers' T5 in this shape with fresh weights, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = T5ForConditionalGeneration(shape.config())
    model.train(False)
    return model
