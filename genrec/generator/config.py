"""What a generator is made of: everything that its weights depend on, saved beside them."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from transformers import PreTrainedConfig

__all__ = ["GeneratorConfig"]


class GeneratorConfig(PreTrainedConfig):
    """The shape of a generator; keyword arguments only, as `transformers` saves and loads it."""

    model_type = "genrec-generator"

    num_items: int = 1
    """N."""
    codebook_sizes: list[int] = field(default_factory=lambda: [256] * 4)
    """K of each level."""
    content_width: int = 384
    """Width of an item's content embedding."""
    history: int = 50
    """T: events read at most, even; the window moves by half of it."""
    width: int = 128
    """D of all hidden states."""
    num_heads: int = 4
    """Attention heads; they divide the width."""
    encoder_layers: int = 2
    """Blocks over the history."""
    decoder_layers: int = 1
    """Blocks over the codes."""
    dropout: float = 0.2
    """Share of hidden values left out while training."""
    item_dropout: float = 0.3
    """Share of items whose own embedding is left out in a training step, so that content and codes
    alone learn to carry an item nobody has used."""
    item_scale: float = 1.0
    """Multiplies the items' vectors as histories read them. Training takes √D, as Vaswani et al.
    2017 (section 3.4): the small weights then learn as fast as the rest, and the items are not
    drowned by what the blocks add to them."""
    residual_nodes: list[int] = field(default_factory=list)
    """Prefixes of each level, each with a learnt residual; none where it is empty."""
    num_followers: int = 0
    """F: items kept that followed each item in training, for `combined`; 0 keeps none."""
    dense_samples: int = 0
    """Items drawn for the dense head's softmax in a training step; 0 takes all of them."""
    taught_share: float = 0.0
    """Share of the decoder's loss in which the dense head's softmax, summed over what is beneath
    each child, is the target of every step, instead of what came next alone; needs all items in
    that softmax."""
    combination_weight: float = 0.5
    """Weight of log p_generative in `combined`, against log p_dense; chosen on validation."""
    follower_weight: float = 0.0
    """Weight in `combined` of what followed the history's events; chosen on validation."""
    content_weight: float = 0.0
    """Weight in `combined` of content like that of the history's events; chosen on validation."""

    def __post_init__(self, **kwargs: Any) -> None:
        if self.width % self.num_heads:
            raise ValueError(
                f"width must be a multiple of num_heads, got {self.width} and {self.num_heads}"
            )
        if self.history < 2 or self.history % 2:
            raise ValueError(f"history must be even and at least 2, got {self.history}")
        for name in ("taught_share", "combination_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        for name in ("dropout", "item_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        for name in ("dense_samples", "num_followers", "follower_weight", "content_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.taught_share and self.dense_samples:
            raise ValueError(
                "a decoder is taught by a softmax over all items, and dense_samples is "
                f"{self.dense_samples}; set taught_share or dense_samples to 0"
            )
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]

    @property
    def num_levels(self) -> int:
        """L: codes per item."""
        return len(self.codebook_sizes)
