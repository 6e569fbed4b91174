"""Vectors that may be too many for memory: their rows are read, or made, when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["ITEMS_AT_ONCE", "LazyVectors", "Rows", "Vectors", "blocks_of", "sample_rows"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64] | slice

ITEMS_AT_ONCE = 16_384


class Vectors(Protocol):
    """float32 [N, D], by rows: an array, one that is mapped from a file, or `LazyVectors`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows, /) -> Floats: ...


class LazyVectors:
    """Vectors [N, D] that are made from others whenever some of their rows are read.

    Args:
        shape: N and D.
        make: from rows [n] or a slice to float32 [n, D].
    """

    def __init__(self, shape: tuple[int, int], make: Callable[[Rows], Floats]) -> None:
        self.shape: tuple[int, ...] = shape
        self._make = make

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Rows, /) -> Floats:
        return self._make(rows)


def blocks_of(num_items: int, start: int = 0) -> Iterator[slice]:
    """Slices that cover the rows from `start` to N, each small enough to be held in memory."""
    for first in range(start, num_items, ITEMS_AT_ONCE):
        yield slice(first, min(first + ITEMS_AT_ONCE, num_items))


def sample_rows(num_items: int, size: int, seed: int) -> npt.NDArray[np.int64]:
    """At most `size` of the rows 0…N-1, ascending: a file is read forwards."""
    if num_items <= size:
        return np.arange(num_items)
    drawn = np.random.default_rng(seed).choice(num_items, size, replace=False, shuffle=False)
    return np.sort(drawn).astype(np.int64)
