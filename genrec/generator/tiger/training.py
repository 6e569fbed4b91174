"""Trains a TIGER: T5 reads the codes of a history one by one and learns those of what came next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genrec.errors import InputError
from genrec.generator.batches import sorted_batches
from genrec.generator.layers import Dropout
from genrec.generator.tiger.shape import END, PAD, TigerShape, tiger_t5
from genrec.interactions import NO_ITEM, Histories
from genrec.training import Batch, BatchSize, FitResult, TrainingConfig, fit

__all__ = ["Tiger", "TigerBatches", "TigerTraining", "fit_tiger"]

GROUPS_SORTED_TOGETHER = 32


@dataclass(frozen=True, kw_only=True)
class TigerTraining:
    """Size of the T5 and how it is trained.

    The sizes and the history are the paper's for this data; AdamW with a cosine takes the place of
    its 200,000 steps of Adafactor, and there is no token for the person.

    Source: Rajput et al. 2023 (TIGER), section 4 and appendix.
    """

    history: int = 20
    """T: events read at most, the latest ones."""
    width: int = 128
    """D of all hidden states."""
    num_layers: int = 4
    """Blocks of the encoder, and as many of the decoder."""
    num_heads: int = 6
    head_width: int = 64
    feed_forward: int = 1024
    dropout: float = 0.1
    tokens: int = 2048
    """Input tokens a batch, padding included; larger ones take as long an epoch on a CPU."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            num_epochs=6, learning_rate=1e-3, weight_decay=0.05, patience=6
        )
    )
    """Epochs, learning rate, seed."""

    def __post_init__(self) -> None:
        if self.history < 1:
            raise ValueError(f"history must be at least 1, got {self.history}")

    def shape(self, codebook_sizes: tuple[int, ...]) -> TigerShape:
        """The T5 that these settings make over these codebooks."""
        return TigerShape(
            codebook_sizes=codebook_sizes,
            width=self.width,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            head_width=self.head_width,
            feed_forward=self.feed_forward,
            dropout=self.dropout,
        )


@dataclass(frozen=True, kw_only=True)
class TigerOutput:
    """What a training step gives."""

    loss: Tensor
    """float32 []: -log p of a target's token, mean over levels and targets."""


class Tiger(nn.Module):
    """transformers' T5 and the codes of the catalogue.

    Args:
        codes: int [N, L], unique rows.
        shape: of the T5; its codebooks hold the codes.
        history: T: events read at most.
        seed: of the fresh weights.
    """

    codes: Tensor

    def __init__(
        self, codes: npt.NDArray[np.integer], shape: TigerShape, *, history: int, seed: int
    ) -> None:
        super().__init__()
        self.shape, self.history = shape, history
        self.register_buffer("codes", torch.from_numpy(codes.astype(np.int64)), persistent=False)
        self.t5 = tiger_t5(shape, seed=seed)
        _lighten(self.t5)

    def tokens(self, item_index: Tensor) -> Tensor:
        """int64 [B, T * L + 1]: each history's tokens, then END; PAD behind it.

        Args:
            item_index: int64 [B, S], oldest first, NO_ITEM behind the end; the last T are read.
        """
        lengths = (item_index != NO_ITEM).sum(1)  # [B]
        read = lengths.clamp(max=self.history)
        columns = torch.arange(max(int(read.max()), 1) if len(read) else 1)  # [T]
        columns = columns.to(item_index.device)
        inside = columns < read[:, None]
        places = (lengths - read)[:, None] + columns
        items = item_index.gather(1, places.clamp(max=item_index.shape[1] - 1))
        own = self.shape.tokens(self.codes[items.clamp(min=0)])  # [B, T, L]
        own = own.masked_fill(~inside[..., None], PAD).flatten(1)
        ended = torch.cat([own, own.new_full((len(own), 1), PAD)], dim=1)
        return ended.scatter(1, read[:, None] * self.shape.num_levels, END)

    def forward(self, item_index: Tensor, target: Tensor) -> TigerOutput:
        """The loss of one target a history; 0, with gradients, where there is none.

        Args:
            item_index: int64 [B, T], NO_ITEM behind the end.
            target: int64 [B].
        """
        is_empty = not len(target)
        if is_empty:  # T5 cannot read nothing
            item_index, target = item_index.new_full((1, 1), NO_ITEM), target.new_zeros(1)
        tokens = self.tokens(item_index)
        labels = self.shape.tokens(self.codes[target])  # [B, L]
        found = self.t5(input_ids=tokens, attention_mask=(tokens != PAD).long(), labels=labels)
        return TigerOutput(loss=found.loss * 0 if is_empty else found.loss)


def _lighten(t5: nn.Module) -> None:
    """Gives T5 our dropout: that of PyTorch is a sixth of a training step on a CPU."""
    for module in list(t5.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(module, name, Dropout(child.p))


class TigerBatches:
    """Every event is asked for once an epoch, of the history before it; keeps `Batches`.

    Args:
        histories: what may be learnt from; first events are asked of an empty history.
        history: T: events read at most.
        tokens: input tokens a batch at most, padding included.
        num_levels: L, tokens an item.
        seed: of the order.
    """

    def __init__(
        self, histories: Histories, *, history: int, tokens: int, num_levels: int, seed: int
    ) -> None:
        self.items, self.seed = histories.item_index, seed
        begin = np.repeat(histories.offsets[:-1], histories.lengths)
        self.stop = np.arange(self.items.size)  # of the history, and the target's row
        self.start = np.maximum(begin, self.stop - history)
        self.events = max(tokens // num_levels, history)
        self._length = len(self._plan(0))

    def __len__(self) -> int:
        return self._length

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of `item_index`, int64 [B, T], and `target`, int64 [B]."""
        return (self._batch(rows) for rows in self._plan(epoch))

    def size_of(self, batch: Batch) -> BatchSize:
        """Targets; events read; and places of the padded rectangle."""
        item_index = batch["item_index"]
        return BatchSize(
            targets=len(batch["target"]),
            events=int((item_index != NO_ITEM).sum()),
            places=item_index.numel(),
        )

    def part(self, batch: Batch, index: int, parts: int) -> Batch:
        """Every `parts`-th question, from `index` on."""
        return {name: values[index::parts] for name, values in batch.items()}

    def _plan(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(self.items.size)
        lengths = np.maximum(self.stop - self.start, 1)
        group = int(self.events / max(lengths.mean(), 1.0)) * GROUPS_SORTED_TOGETHER
        plan = []
        for first in range(0, order.size, group):
            plan += sorted_batches(order[first : first + group], lengths, self.events)
        return [plan[i] for i in random.permutation(len(plan))]

    def _batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        start, stop = self.start[rows], self.stop[rows]
        places = start[:, None] + np.arange(max(int((stop - start).max()), 1))
        inside = places < stop[:, None]
        items = self.items[np.minimum(places, self.items.size - 1)]
        return {
            "item_index": torch.from_numpy(np.where(inside, items, NO_ITEM)),
            "target": torch.from_numpy(self.items[stop]),
        }


def fit_tiger(
    train: Histories,
    codes: npt.NDArray[np.integer],
    codebook_sizes: tuple[int, ...],
    config: TigerTraining,
    *,
    work_dir: Path,
    identity: dict[str, Any],
) -> tuple[Tiger, FitResult]:
    """A TIGER after all its epochs.

    Args:
        train: what may be learnt from.
        codes: int [N, L], unique rows.
        codebook_sizes: K of each level.
        config: sizes, epochs, seed.
        work_dir: checkpoints and logs; an interrupted training found there is continued.
        identity: digests of the data, so that a checkpoint of other data is not continued.

    Raises:
        InputError: there is no event to learn from.
    """
    if not train.item_index.size:
        raise InputError("TIGER learns from training events, there are none")
    seed = config.training.seed
    shape = config.shape(codebook_sizes)
    model = Tiger(codes, shape, history=config.history, seed=seed)
    result = fit(
        model,
        TigerBatches(
            train,
            history=config.history,
            tokens=config.tokens,
            num_levels=shape.num_levels,
            seed=seed,
        ),
        config.training,
        validate=None,
        metric="",
        work_dir=work_dir,
        label="tiger",
        identity=identity,
    )
    model.train(False)
    return model, result
