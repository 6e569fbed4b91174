"""Where ids are free: how many items stand under each prefix, and the nearest place left."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genrec.semantic_ids.prefixes import row_keys

__all__ = ["Room", "SearchedCodebook"]

Codes = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]
Distances = npt.NDArray[np.float64]

Prefix = tuple[int, ...]


class SearchedCodebook:
    """Codes [K, D] in float64: the expanded form loses digits, and equal items must stay equal."""

    def __init__(self, codes: Floats) -> None:
        self.codes = codes.astype(np.float64)
        self.square_norms = (self.codes**2).sum(axis=1)

    def distances(self, points: Floats) -> Distances:
        """Squared distances [n, K] of points [n, D]."""
        points = points.astype(np.float64)
        products = points @ self.codes.T
        distances: Distances = (points**2).sum(axis=1)[:, None] - 2.0 * products
        distances += self.square_norms
        return distances


class Room:
    """Which ids are taken, and the nearest that is not.

    The items that are there at first are sorted once, later ones are counted beside them.

    Args:
        codebooks: per level, float32 [K, D].
        codes: [N, L], of the items that have their places.
    """

    def __init__(self, codebooks: Sequence[Floats], codes: Codes) -> None:
        self.codebooks = list(codebooks)
        self._searched = [SearchedCodebook(codebook) for codebook in codebooks]
        sizes = [len(codebook) for codebook in codebooks]
        self._capacity = [math.prod(sizes[level + 1 :]) for level in range(len(sizes))]
        # In this order, the items under a prefix stand side by side on every level.
        order = np.argsort(row_keys(codes), kind="stable")
        self._columns = [column[order] for column in codes.T]
        # Codes of the columns' own type: for another one, NumPy would convert a whole column.
        self._all_codes = [np.arange(size).astype(codes.dtype) for size in sizes]
        self._added: dict[Prefix, Counter[int]] = {}

    def take(self, latent: Floats, num_levels: int, nearest: Sequence[int] = ()) -> list[int]:
        """The first `num_levels` codes of the nearest id with room; the place is taken at once.

        Each code is the nearest whose subtree has room, given the codes before it. Some id must be
        free.

        Args:
            latent: float32 [D].
            num_levels: L for a whole id, L - 1 for the prefix of one.
            nearest: its nearest codes, where they are known: what they name needs no search.
        """
        chosen: Prefix = ()
        residual = latent
        first, last = 0, len(self._columns[0])
        for level in range(num_levels):
            on_course = len(nearest) > level and chosen == tuple(nearest[:level])
            code = nearest[level] if on_course else self._nearest(level, residual)
            start, end = self._range(level, code, first, last)
            if end - start + self._num_added(chosen, code) >= self._capacity[level]:
                code = self._nearest_with_room(level, chosen, residual, first, last)
                start, end = self._range(level, code, first, last)
            first, last = start, end
            chosen = (*chosen, code)
            residual = residual - self.codebooks[level][code]
        self.fill(chosen)
        return list(chosen)

    def fill(self, codes: Sequence[int]) -> None:
        """Counts one more item with these codes."""
        prefix: Prefix = ()
        for code in codes:
            self._added.setdefault(prefix, Counter())[code] += 1
            prefix = (*prefix, code)

    def _num_added(self, prefix: Prefix, code: int) -> int:
        counts = self._added.get(prefix)
        return 0 if counts is None else counts[code]

    def _nearest(self, level: int, residual: Floats) -> int:
        return int(self._searched[level].distances(residual[None])[0].argmin())

    def _nearest_with_room(
        self, level: int, prefix: Prefix, residual: Floats, first: int, last: int
    ) -> int:
        """The nearest code that has room, under a prefix whose items are `first` to `last`."""
        column = self._columns[level][first:last]
        starts = np.searchsorted(column, self._all_codes[level])
        counts = np.diff(starts, append=len(column))  # [K]
        for code, added in self._added.get(prefix, {}).items():
            counts[code] += added
        distances = self._searched[level].distances(residual[None])[0]  # [K]
        distances[counts >= self._capacity[level]] = np.inf
        code = int(distances.argmin())
        assert np.isfinite(distances[code]), f"there is no room under {prefix}"
        return code

    def _range(self, level: int, code: int, first: int, last: int) -> tuple[int, int]:
        """Where those with this code stand among items `first` to `last`, which share a prefix."""
        column = self._columns[level][first:last]
        wanted = self._all_codes[level][code]
        start, end = (
            first + int(np.searchsorted(column, wanted, side)) for side in ("left", "right")
        )
        return start, end
