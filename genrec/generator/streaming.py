"""Training windows streamed from Parquet shards: what is in memory does not grow with the log."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from datasets import load_dataset

from genrec.generator.batches import (
    BATCHES_SORTED_TOGETHER,
    PaddedBatches,
    padded_batch,
    sorted_batches,
    windows_of,
)
from genrec.interactions import Histories, HistoryShards
from genrec.interactions.shards import histories_of, joined
from genrec.training import Batch

__all__ = ["StreamedWindowBatches"]

IntArray = npt.NDArray[np.int64]
READ_AT_ONCE = 1024
SHUFFLED_TOGETHER = 32_768
"""Histories among which the next ones are drawn; the order of the shards is drawn too."""
EXPECTED_PADDING = 0.05


class StreamedWindowBatches(PaddedBatches):
    """The windows of `WindowBatches`, in an order that a reader of shards can keep.

    `datasets` reads the shards, in an order drawn from seed and epoch, into a buffer from which
    histories are drawn. Windows of some batches' worth of histories are sorted by length, cut into
    batches, and these drawn anew. Each process reads all shards and computes its part of every
    batch, so that several processes do the training of one.

    Args:
        shards: what may be learnt from.
        history: T, the longest window.
        tokens: inputs a batch at most, padding included.
        seed: of the order.
    """

    def __init__(self, shards: HistoryShards, *, history: int, tokens: int, seed: int) -> None:
        self.shards, self.history, self.seed = shards, history, seed
        self.tokens = max(tokens, history)
        inputs = 0
        for block in shards.blocks():
            windows = windows_of(block.offsets, history)
            inputs += int((windows[:, 1] - windows[:, 0]).sum())
        self._length = -(-int(inputs / (1 - EXPECTED_PADDING)) // self.tokens)

    def __len__(self) -> int:
        """Batches an epoch, about: how well lengths go together shows only on the way."""
        return self._length

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of `item_index` and `target`, int64 [B, T], and `opening`, int64 [F]."""
        random = np.random.default_rng((self.seed, epoch))
        wanted = self.tokens * BATCHES_SORTED_TOGETHER
        group: list[Histories] = []
        for drawn in self._shuffled(random):
            group.append(drawn)
            if sum(each.item_index.size for each in group) >= wanted:
                yield from self._batches(joined(group), random)
                group = []
        if group:
            yield from self._batches(joined(group), random)

    def _shuffled(self, random: np.random.Generator) -> Iterator[Histories]:
        """All histories, some hundreds at a time: of a full buffer, half is drawn and goes on."""
        buffer: list[Histories] = []
        for block in self._read(random):
            buffer.append(block)
            if sum(len(each) for each in buffer) >= SHUFFLED_TOGETHER:
                order = random.permutation(len(whole := joined(buffer)))
                half = order.size // 2
                yield from _pieces(whole, order[:half])
                buffer = [whole.select(order[half:])]
        if buffer:
            whole = joined(buffer)
            yield from _pieces(whole, random.permutation(len(whole)))

    def _read(self, random: np.random.Generator) -> Iterator[Histories]:
        paths = self.shards.paths
        files = [str(paths[number]) for number in random.permutation(len(paths))]
        rows = load_dataset("parquet", data_files=files, split="train", streaming=True)
        for table in rows.with_format("arrow").iter(batch_size=READ_AT_ONCE):
            yield histories_of(table.column("item_index").combine_chunks())

    def _batches(self, group: Histories, random: np.random.Generator) -> Iterator[Batch]:
        windows = windows_of(group.offsets, self.history)
        lengths = windows[:, 1] - windows[:, 0]
        plan = sorted_batches(random.permutation(len(windows)), lengths, self.tokens)
        for number in random.permutation(len(plan)):
            yield padded_batch(group.item_index, windows[plan[number]])


def _pieces(histories: Histories, rows: IntArray) -> Iterator[Histories]:
    return (
        histories.select(rows[start : start + READ_AT_ONCE])
        for start in range(0, rows.size, READ_AT_ONCE)
    )
