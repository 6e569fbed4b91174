"""Training histories cut into batches in which every prefix of a history asks for its next item.

A batch is flat: the events of many histories one behind the other, so that nothing is padded and
a history of any length fits. It knows no model.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from genrec.errors import InputError
from genrec.interactions import Histories
from genrec.training import Batch, BatchSize

__all__ = ["PrefixBatches"]

IntArray = npt.NDArray[np.int64]


class PrefixBatches:
    """Batches of about `batch_events` events, in a new order every epoch; keeps `Batches`.

    The negatives of a target are the other targets of what is computed together. On several
    processes that is the process's part of the batch, so the loss is another one than on one: raise
    `batch_events` with the number of processes to keep the number of negatives.

    Histories longer than a quarter of a batch are cut into pieces that carry the `max_history`
    events before them as context, so that one person cannot fill a batch.

    Args:
        histories: what may be learnt from; E events.
        batch_events: events in a batch.
        max_history: events before a target that the model reads.
        seed: of the order.
    """

    def __init__(
        self, histories: Histories, *, batch_events: int, max_history: int, seed: int
    ) -> None:
        if not histories.item_index.size:
            raise InputError("there is no event to train on: every training history is empty")
        self._histories = histories
        self._batch_events = batch_events
        self._seed = seed
        self._cut(max(batch_events // 4, 1), max_history)

    def _cut(self, length: int, max_history: int) -> None:
        """One piece for each `length` targets of a history, with the context it needs."""
        pieces = -(-self._histories.lengths // length)  # [U]
        user = np.repeat(np.arange(len(pieces)), pieces)
        number = np.arange(user.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begin = self._histories.offsets[user]
        self._first_target = begin + number * length
        self._stop = np.minimum(self._first_target + length, self._histories.offsets[user + 1])
        self._start = np.maximum(self._first_target - max_history, begin)
        self._begin, self._user = begin, user

    def __len__(self) -> int:
        events = int((self._stop - self._start).sum())
        return -(-events // self._batch_events)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Every piece once: the arguments of `TwoTowerModel.forward`, all of shape [E]."""
        order = np.random.default_rng([self._seed, epoch]).permutation(self._user.size)
        ends = np.cumsum((self._stop - self._start)[order])
        batch_of = (ends - 1) // self._batch_events
        for pieces in np.split(order, np.flatnonzero(np.diff(batch_of)) + 1):
            yield self._batch(pieces)

    def size_of(self, batch: Batch) -> BatchSize:
        """Targets and events; nothing is padded."""
        events = batch["item_index"].numel()
        return BatchSize(targets=int(batch["is_target"].sum()), events=events, places=events)

    def part(self, batch: Batch, index: int, parts: int) -> Batch:
        """Every `parts`-th piece, from piece `index` on; where there is none, nothing is asked."""
        mine = batch["piece"] % parts == index
        if mine.any():
            return {name: column[mine] for name, column in batch.items()}
        first = {name: column[:1] for name, column in batch.items()}
        return {**first, "is_target": torch.zeros_like(first["is_target"])}

    def _batch(self, pieces: IntArray) -> Batch:
        lengths = (self._stop - self._start)[pieces]
        ends = np.cumsum(lengths)
        piece = np.repeat(np.arange(pieces.size), lengths)  # [E]
        rows = np.arange(ends[-1]) + np.repeat(self._start[pieces] - (ends - lengths), lengths)
        columns = {
            "item_index": self._histories.item_index[rows],
            "piece": piece,
            "user": self._user[pieces][piece],
            "position": rows - self._begin[pieces][piece],
            "is_target": rows >= self._first_target[pieces][piece],
        }
        return {name: torch.from_numpy(column) for name, column in columns.items()}
