"""Training windows of like length in one batch, every event of a history asked for exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genrec.interactions import NO_ITEM, Histories
from genrec.training import Batch, BatchSize

__all__ = [
    "BATCHES_SORTED_TOGETHER",
    "PaddedBatches",
    "WindowBatches",
    "cut_to_window",
    "padded_batch",
    "sorted_batches",
    "window_start",
    "windows_of",
]

IntArray = npt.NDArray[np.int64]
BATCHES_SORTED_TOGETHER = 32
WINDOWS_PER_OPENING = 16
"""One window in so many also asks for the item it begins with, of the state before any event."""


def window_start(lengths: IntArray, history: int) -> IntArray:
    """int64, as `lengths`: where the window over each history begins, in steps of half a window.

    Training, evaluation and serving share this rule, so that a cached state is what training saw.

    Args:
        lengths: int64, events before the question.
        history: T, even.
    """
    half = history // 2
    beyond = np.maximum(lengths - history, 0)
    return np.asarray((beyond + half - 1) // half * half)


def cut_to_window(item_index: Tensor, history: int) -> Tensor:
    """int64 [B, T]: the window of each history that the encoder reads, T at most `history`.

    Args:
        item_index: int64 [B, S], oldest first, NO_ITEM behind the end.
        history: T, even.
    """
    lengths = (item_index != NO_ITEM).sum(1)
    start = torch.from_numpy(window_start(lengths.numpy(), history))
    longest = max(int((lengths - start).max()), 1) if len(lengths) else 1
    columns = start[:, None] + torch.arange(longest)  # [B, T]
    inside = columns < lengths[:, None]
    window = item_index.gather(1, columns.clamp(max=item_index.shape[1] - 1))
    return window.masked_fill(~inside, NO_ITEM)


class PaddedBatches:
    """What batches of windows have in common, wherever the windows come from."""

    def size_of(self, batch: Batch) -> BatchSize:
        """Targets, openings among them; events read; and places of the padded rectangle."""
        item_index = batch["item_index"]
        return BatchSize(
            targets=int((batch["target"] != NO_ITEM).sum()) + batch["opening"].numel(),
            events=int((item_index != NO_ITEM).sum()),
            places=item_index.numel(),
        )

    def part(self, batch: Batch, index: int, parts: int) -> Batch:
        """Every `parts`-th window and opening, from `index` on: as long as those of the others.

        Where there is none, a single place that asks for nothing.
        """
        item_index, target = (batch[name][index::parts] for name in ("item_index", "target"))
        longest = int((item_index != NO_ITEM).sum(1).max()) if len(item_index) else 0
        if longest == 0:
            item_index = target = torch.full((1, 1), NO_ITEM)
            longest = 1
        return {
            "item_index": item_index[:, :longest],
            "target": target[:, :longest],
            "opening": batch["opening"][index::parts],
        }


class WindowBatches(PaddedBatches):
    """Keeps the `Batches` protocol of the training loop.

    Args:
        histories: what may be learnt from.
        history: T, the longest window.
        tokens: inputs a batch at most, padding included.
        seed: of the order.
    """

    def __init__(self, histories: Histories, *, history: int, tokens: int, seed: int) -> None:
        self.items = histories.item_index
        self.tokens, self.seed = max(tokens, history), seed
        self.windows = windows_of(histories.offsets, history)
        self._length = len(self._plan(0))

    def __len__(self) -> int:
        return self._length

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Batches of `item_index` and `target`, int64 [B, T], and `opening`, int64 [F]."""
        return (padded_batch(self.items, self.windows[rows]) for rows in self._plan(epoch))

    def _plan(self, epoch: int) -> list[IntArray]:
        """Which windows go together: drawn at random, sorted by length within large groups."""
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(len(self.windows))
        lengths = self.windows[:, 1] - self.windows[:, 0]
        mean = max(float(lengths.mean()), 1.0) if lengths.size else 1.0
        group = max(int(self.tokens / mean), 1) * BATCHES_SORTED_TOGETHER
        plan = []
        for start in range(0, order.size, group):
            plan += sorted_batches(order[start : start + group], lengths, self.tokens)
        return [plan[i] for i in random.permutation(len(plan))]


def sorted_batches(rows: IntArray, lengths: IntArray, tokens: int) -> list[IntArray]:
    """Which windows go together: `rows` sorted by length and cut into batches.

    Args:
        rows: int64 [n]: windows, in the order that breaks ties.
        lengths: int64 [W]: inputs of every window.
        tokens: inputs a batch at most, padding included.
    """
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    return _cut(rows, lengths[rows], tokens)


def padded_batch(items: IntArray, windows: IntArray) -> Batch:
    """`item_index` and `target`, int64 [B, T], and `opening`, int64 [F], of some windows.

    Args:
        items: int64 [E]: the flat events that the windows point into.
        windows: int64 [B, 3], as `windows_of` gives them.
    """
    start, stop, first_asked = windows.T
    columns = np.arange(int((stop - start).max()))
    rows = start[:, None] + columns  # [B, T]
    opening = items[start[::WINDOWS_PER_OPENING]]  # [F]
    inside = rows < stop[:, None]
    rows = np.minimum(rows, items.size - 2)
    asked = inside & (rows >= first_asked[:, None])
    return {
        "item_index": torch.from_numpy(np.where(inside, items[rows], NO_ITEM)),
        "target": torch.from_numpy(np.where(asked, items[rows + 1], NO_ITEM)),
        "opening": torch.from_numpy(opening),
    }


def windows_of(offsets: IntArray, history: int) -> IntArray:
    """int64 [W, 3]: `start`, `stop` and `first_asked` of every window, history by history.

    A window's inputs are the rows `start` to `stop - 1` of the flat events, and from `first_asked`
    on each of them asks for the row behind it. Every event but the first of a history is asked for
    in exactly one window, the one that serving would read.

    Args:
        offsets: int64 [U + 1]: where each history begins.
        history: T, even.
    """
    half = history // 2
    last = np.diff(offsets) - 1  # [U], the last event's place
    counts = np.where(last > 0, 1 + -(-np.maximum(last - history, 0) // half), 0)
    user = np.repeat(np.arange(counts.size), counts)
    number = np.arange(user.size) - np.repeat(np.cumsum(counts) - counts, counts)
    start = offsets[:-1][user] + number * half
    stop = np.minimum(start + history, (offsets[:-1] + last)[user])
    first_asked = start + np.where(number == 0, 0, half)
    return np.stack([start, stop, first_asked], axis=1)


def _cut(rows: IntArray, lengths: IntArray, tokens: int) -> list[IntArray]:
    """Cuts windows, sorted by length, into batches of at most `tokens` padded inputs."""
    batches, first = [], 0
    for i in range(1, rows.size + 1):
        if i == rows.size or (i - first + 1) * int(lengths[i]) > tokens:
            batches.append(rows[first:i])
            first = i
    return batches
