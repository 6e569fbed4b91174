"""What people did, in order: one ragged array over all users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["UNKNOWN_TIME", "Histories"]

IntArray = npt.NDArray[np.int64]

UNKNOWN_TIME = int(np.iinfo(np.int64).min)
"""Stands where an event has no time."""


@dataclass(frozen=True, kw_only=True)
class Histories:
    """The events of U users: user u owns rows `offsets[u]` to `offsets[u + 1]`, oldest first."""

    item_index: IntArray
    """int64 [E]: what was interacted with, 0…N-1."""
    event_time: IntArray
    """int64 [E]: seconds since 1970 (UTC), or UNKNOWN_TIME."""
    offsets: IntArray
    """int64 [U + 1]: where each user's events begin."""

    def __post_init__(self) -> None:
        if self.item_index.shape != self.event_time.shape:
            raise ValueError(
                f"{self.item_index.shape} items but {self.event_time.shape} times: give one each"
            )
        if self.offsets.ndim != 1 or self.offsets[0] != 0:
            raise ValueError("offsets must be one-dimensional and start at 0")
        if self.offsets[-1] != self.item_index.size or np.any(np.diff(self.offsets) < 0):
            raise ValueError(
                f"offsets must grow and end at the number of events ({self.item_index.size}), "
                f"they end at {self.offsets[-1]}"
            )

    def __len__(self) -> int:
        return int(self.offsets.size - 1)

    def __iter__(self) -> Iterator[IntArray]:
        return (self.items_of(user) for user in range(len(self)))

    @property
    def lengths(self) -> IntArray:
        """int64 [U]: events per user."""
        return np.diff(self.offsets)

    def items_of(self, user: int) -> IntArray:
        """int64 [T]: one user's items, oldest first."""
        return self.item_index[self.offsets[user] : self.offsets[user + 1]]

    def times_of(self, user: int) -> IntArray:
        """int64 [T]: the times of one user's events."""
        return self.event_time[self.offsets[user] : self.offsets[user + 1]]

    def keep_first(self, counts: IntArray) -> Histories:
        """Every user's first `counts[u]` events (all of them where the user has fewer)."""
        kept = np.minimum(self.lengths, np.maximum(counts, 0))
        return self._rows(self.offsets[:-1], kept)

    def keep_last(self, count: int) -> Histories:
        """Every user's last `count` events (all of them where the user has fewer)."""
        kept = np.minimum(self.lengths, count)
        return self._rows(self.offsets[1:] - kept, kept)

    def select(self, users: IntArray) -> Histories:
        """The histories of these users, in this order."""
        return self._rows(self.offsets[:-1][users], self.lengths[users])

    def _rows(self, starts: IntArray, lengths: IntArray) -> Histories:
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Histories(
            item_index=self.item_index[rows], event_time=self.event_time[rows], offsets=offsets
        )

    @classmethod
    def from_lists(cls, items: list[list[int]], times: list[list[int]] | None = None) -> Histories:
        """Histories of plain lists, one a user; times are unknown where none are given."""
        lengths = np.array([len(row) for row in items], dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        flat = np.array([item for row in items for item in row], dtype=np.int64)
        if times is None:
            event_time = np.full(flat.shape, UNKNOWN_TIME, dtype=np.int64)
        else:
            event_time = np.array([time for row in times for time in row], dtype=np.int64)
        return cls(item_index=flat, event_time=event_time, offsets=offsets)
