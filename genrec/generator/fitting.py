"""Trains a generator: joint loss, epochs chosen on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from genrec.decoding import PrefixIndex
from genrec.errors import InputError
from genrec.generator.batches import WindowBatches
from genrec.generator.config import GeneratorConfig
from genrec.generator.followers import strongest_followers
from genrec.generator.items import unit_content
from genrec.generator.losses import FULL_SOFTMAX_ITEMS, ItemSampler, default_dense_samples
from genrec.generator.model import GenerativeRecommender, make_model
from genrec.generator.relatives import UsedItems
from genrec.generator.source import GeneratorSource, Mode
from genrec.generator.streaming import StreamedWindowBatches
from genrec.interactions import Histories, HistoryShards
from genrec.training import FitResult, TrainingConfig, fit

__all__ = ["GeneratorTraining", "fit_generator"]

SELECTION_METRIC = "ndcg@10"
TAUGHT_SHARE = 0.5

Judge = Callable[[GeneratorSource], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class GeneratorTraining:
    """What is fitted, beside the data."""

    history: int = 50
    """T: events read at most."""
    width: int = 128
    """D of all hidden states."""
    encoder_layers: int = 2
    decoder_layers: int = 1
    dropout: float = 0.2
    """Share of hidden values left out while training."""
    item_dropout: float = 0.3
    """Share of items whose own embedding is left out in a step."""
    node_residuals: bool | None = None
    """Whether every prefix has a learnt residual; None has them for up to 100,000 items."""
    followers: int = 64
    """F: items kept at most that followed each item, for `combined`."""
    dense_samples: int | None = None
    """Items drawn for the dense head's softmax in a step; 0 takes all, and None all up to 100,000
    and a sample above."""
    taught_share: float | None = None
    """Share of the decoder's loss that the dense head's softmax sets, see `GeneratorConfig`; None
    takes half where that softmax is over all items, and none where it is sampled."""
    tokens: int = 2048
    """Events a batch, padding included."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            num_epochs=15, learning_rate=1.5e-3, weight_decay=0.05, patience=4
        )
    )
    """Epochs, learning rate, seed."""

    def __post_init__(self) -> None:
        if self.tokens < self.history:
            raise ValueError(
                f"tokens must be at least the history ({self.history}), got {self.tokens}"
            )
        self.shape(1, (1,), 1)  # what no model can have is refused before anything is counted

    def shape(
        self,
        num_items: int,
        codebook_sizes: tuple[int, ...],
        content_width: int,
        num_followers: int = 0,
        num_nodes: Sequence[int] = (),
    ) -> GeneratorConfig:
        """The model that these settings make of a catalogue.

        Args:
            num_items: N.
            codebook_sizes: K of each level.
            content_width: Dc.
            num_followers: F.
            num_nodes: prefixes of each level of the catalogue; without them there are no residuals.
        """
        dense_samples = (
            default_dense_samples(num_items) if self.dense_samples is None else self.dense_samples
        )
        has_residuals = (
            num_items <= FULL_SOFTMAX_ITEMS if self.node_residuals is None else self.node_residuals
        )
        taught_share = self.taught_share
        if taught_share is None:
            taught_share = 0.0 if dense_samples else TAUGHT_SHARE
        return GeneratorConfig(
            num_items=num_items,
            codebook_sizes=list(codebook_sizes),
            content_width=content_width,
            history=self.history,
            width=self.width,
            encoder_layers=self.encoder_layers,
            decoder_layers=self.decoder_layers,
            dropout=self.dropout,
            item_dropout=self.item_dropout,
            item_scale=self.width**0.5,
            residual_nodes=list(num_nodes) if has_residuals else [],
            num_followers=num_followers,
            dense_samples=dense_samples,
            taught_share=taught_share,
        )


def fit_generator(
    train: Histories | HistoryShards,
    codes: npt.NDArray[np.uint16],
    codebook_sizes: tuple[int, ...],
    content: npt.NDArray[np.float32],
    config: GeneratorTraining,
    *,
    judge: Judge | None,
    work_dir: Path,
    identity: dict[str, Any],
) -> tuple[GenerativeRecommender, FitResult]:
    """A generator with the weights of its best epoch.

    Args:
        train: what may be learnt from; shards are streamed, and never in memory as a whole.
        codes: uint16 [N, L], unique rows.
        codebook_sizes: K of each level.
        content: float32 [N, Dc]: content embeddings; they are centred and brought to unit length.
        config: sizes, epochs, seed.
        judge: measures a source on validation, as metrics that include ndcg@10; the mean of the
            generative and the dense ndcg@10 chooses the epoch. None trains all epochs.
        work_dir: checkpoints and logs; an interrupted training found there is continued.
        identity: digests of the data, so that a checkpoint of other data is not continued.

    Raises:
        InputError: nobody has two events to learn from.
    """
    batches = _batches(train, config)
    if not len(batches):
        raise InputError(
            "a generator learns from people with at least 2 training events, there are none; "
            "give it longer histories"
        )
    torch.manual_seed(config.training.seed)
    model = _fresh_model(train, codes, codebook_sizes, content, config)
    result = fit(
        model,
        batches,
        config.training,
        validate=None if judge is None else lambda: _validate(model, judge),
        metric=SELECTION_METRIC,
        work_dir=work_dir,
        label="generator",
        identity=identity,
    )
    model.train(False)
    return model, result


def _fresh_model(
    train: Histories | HistoryShards,
    codes: npt.NDArray[np.uint16],
    codebook_sizes: tuple[int, ...],
    content: npt.NDArray[np.float32],
    config: GeneratorTraining,
) -> GenerativeRecommender:
    """A model before its training, with all that is counted instead of learnt."""
    counts = _counts(train, len(codes))
    centre = torch.from_numpy(content.mean(axis=0))
    unit, is_used = unit_content(torch.tensor(content), centre), torch.from_numpy(counts > 0)
    rows = torch.from_numpy(codes.astype(np.int32))
    relatives = UsedItems(rows, unit, is_used).relatives(rows[~is_used], unit[~is_used])
    blocks = train.blocks() if isinstance(train, HistoryShards) else [train]
    followers, strengths = strongest_followers(blocks, len(codes), config.followers, relatives)
    shape = config.shape(
        len(codes),
        codebook_sizes,
        content.shape[1],
        followers.shape[1],
        PrefixIndex(codes).num_nodes,
    )
    model = make_model(
        shape,
        codes=rows,
        content=unit,
        content_centre=centre,
        known=is_used,
        followers=followers,
        follower_strengths=strengths,
    )
    model.sampler = ItemSampler(torch.from_numpy(counts))
    return model


def _batches(
    train: Histories | HistoryShards, config: GeneratorTraining
) -> WindowBatches | StreamedWindowBatches:
    history, tokens, seed = config.history, config.tokens, config.training.seed
    if isinstance(train, HistoryShards):
        return StreamedWindowBatches(train, history=history, tokens=tokens, seed=seed)
    return WindowBatches(train, history=history, tokens=tokens, seed=seed)


def _counts(train: Histories | HistoryShards, num_items: int) -> npt.NDArray[np.int64]:
    """int64 [N]: training events of every item."""
    if isinstance(train, HistoryShards):
        return train.counts(num_items)
    return np.bincount(train.item_index, minlength=num_items)


def _validate(model: GenerativeRecommender, judge: Judge) -> dict[str, float]:
    metrics = {}
    for mode in (Mode.GENERATIVE, Mode.DENSE):
        measured = judge(GeneratorSource(model, mode))
        metrics.update({f"{mode} {name}": value for name, value in measured.items()})
    both = [metrics[f"{mode} {SELECTION_METRIC}"] for mode in (Mode.GENERATIVE, Mode.DENSE)]
    return {**metrics, SELECTION_METRIC: sum(both) / len(both)}
