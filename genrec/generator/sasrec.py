"""SASRec as a control: item ids alone, a causal Transformer, a softmax over all items.

Kang and McAuley, ICDM 2018, with the full-softmax cross-entropy that makes it strong (Klenitskiy
and Vasilev, RecSys 2023). It reads no content and no codes, and is trained on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genrec.errors import InputError
from genrec.generator.batches import WindowBatches, cut_to_window
from genrec.generator.layers import Block, Dropout
from genrec.generator.losses import full_softmax_loss
from genrec.interactions import (
    NO_ITEM,
    Histories,
    Recommendations,
    RequestBatch,
    answer_in_parts,
    select_top_k,
)
from genrec.training import FitResult, TrainingConfig, fit

__all__ = ["SasRec", "SasRecConfig", "SasRecSource", "fit_sasrec"]

ROWS_AT_ONCE = 1024
SELECTION_METRIC = "ndcg@10"

Judge = Callable[["SasRecSource"], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class SasRecConfig:
    """Size of the model and how it is trained."""

    history: int = 50
    """T: events read at most, even."""
    width: int = 128
    """D of all hidden states."""
    num_heads: int = 2
    """Attention heads; they divide the width."""
    num_layers: int = 2
    """Blocks over the history."""
    dropout: float = 0.3
    """Share of hidden values left out while training."""
    tokens: int = 2048
    """Events a batch, padding included."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            num_epochs=15, learning_rate=2e-3, weight_decay=0.0, patience=5
        )
    )
    """Epochs, learning rate, seed."""

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError(
                f"width must be a multiple of num_heads, got {self.width} and {self.num_heads}"
            )
        if self.history < 2 or self.history % 2 or self.tokens < self.history:
            raise ValueError(
                "history must be even, at least 2 and at most tokens, got "
                f"{self.history} and {self.tokens}"
            )


@dataclass(frozen=True, kw_only=True)
class SasRecOutput:
    """What a training step gives."""

    loss: Tensor
    """float []: mean over the batch's targets."""


class SasRec(nn.Module):
    """The state after each event scores every item by a dot product with its embedding.

    As in the authors' code, embeddings are multiplied by √D where a history is read: otherwise
    what the blocks add drowns the items.

    Args:
        num_items: N.
        config: sizes.
    """

    def __init__(self, num_items: int, config: SasRecConfig) -> None:
        super().__init__()
        self.config = config
        self.items = nn.Embedding(num_items, config.width)
        self.positions = nn.Embedding(config.history, config.width)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(config.width, config.num_heads, config.dropout, crosses=False)
            for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.empty_state = nn.Parameter(torch.zeros(config.width))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def encode(self, item_index: Tensor) -> Tensor:
        """float [B, T, D]: the state after each event; NO_ITEM stands behind the end."""
        places = torch.arange(item_index.shape[1], device=item_index.device)
        items = self.items(item_index.clamp(min=0)) * self.config.width**0.5
        hidden = self.dropout(items + self.positions(places))
        for block in self.blocks:
            assert isinstance(block, Block)
            hidden = block.feed_forward(block.attend_self(hidden))
        states: Tensor = self.norm(hidden)
        return states

    def forward(self, item_index: Tensor, target: Tensor, opening: Tensor) -> SasRecOutput:
        """The loss of every position that has a target, and of first items (see `WindowBatches`).

        Args:
            item_index: int64 [B, T], NO_ITEM behind the end.
            target: int64 [B, T]: what came next, NO_ITEM where nothing is asked.
            opening: int64 [F]: items that windows begin with, asked of a learnt empty state.
        """
        asked = target != NO_ITEM
        empty = self.empty_state.expand(opening.numel(), -1)
        states = torch.cat([self.encode(item_index)[asked], empty])  # [R, D]
        wanted = torch.cat([target[asked], opening])  # [R]
        return SasRecOutput(loss=full_softmax_loss(states, self.items.weight, wanted))


class SasRecSource:
    """Keeps the `Source` protocol; the score is the logit.

    Args:
        model: trained; it is put into eval mode.
    """

    name = "sasrec"

    def __init__(self, model: SasRec) -> None:
        self.model = model
        model.train(False)

    @torch.inference_mode()
    def recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        """The k items with the highest logits of each question."""
        return answer_in_parts(requests, ROWS_AT_ONCE, lambda part: self._recommend(part, k))

    def _recommend(self, requests: RequestBatch, k: int) -> Recommendations:
        model = self.model
        window = cut_to_window(requests.item_index, model.config.history)
        window = window.to(model.empty_state.device)
        lengths = (window != NO_ITEM).sum(1)
        rows = torch.arange(len(window), device=window.device)
        last = model.encode(window)[rows, (lengths - 1).clamp(min=0)]
        last = torch.where(lengths[:, None] > 0, last, model.empty_state)
        scores = (last @ model.items.weight.T).cpu()  # [B, N]
        return select_top_k(scores, requests.permitted(scores.shape[1]), k, self.name)


def fit_sasrec(
    train: Histories,
    num_items: int,
    config: SasRecConfig,
    *,
    judge: Judge | None,
    work_dir: Path,
    identity: dict[str, Any],
) -> tuple[SasRec, FitResult]:
    """A SASRec with the weights of its best epoch.

    Args:
        train: what may be learnt from.
        num_items: N.
        config: sizes, epochs, seed.
        judge: measures a source on validation, as metrics that include ndcg@10, which chooses the
            epoch; None trains all epochs.
        work_dir: checkpoints and logs; an interrupted training found there is continued.
        identity: digests of the data, so that a checkpoint of other data is not continued.

    Raises:
        InputError: nobody has two events to learn from.
    """
    if not (train.lengths >= 2).any():
        raise InputError(
            "SASRec learns from people with at least 2 training events, there are none; give it "
            "longer histories"
        )
    torch.manual_seed(config.training.seed)
    model = SasRec(num_items, config)
    result = fit(
        model,
        WindowBatches(
            train, history=config.history, tokens=config.tokens, seed=config.training.seed
        ),
        config.training,
        validate=None if judge is None else lambda: judge(SasRecSource(model)),
        metric=SELECTION_METRIC,
        work_dir=work_dir,
        label="sasrec",
        identity=identity,
    )
    model.train(False)
    return model, result
