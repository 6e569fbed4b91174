"""Which items share codes: rows as single numbers, so that millions are quickly sorted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["PrefixGroups", "num_distinct", "row_keys"]

Codes = npt.NDArray[np.integer]
Numbers = npt.NDArray[np.int64]

LARGEST_KEY = 2**62


def row_keys(codes: Codes) -> Numbers:
    """int64 [N]: equal for equal rows of codes [N, L], and ordered as the rows are."""
    keys = np.zeros(len(codes), dtype=np.int64)
    span = 1  # above all keys; a Python integer, which cannot overflow
    for column in codes.T:
        size = int(column.max(initial=0)) + 1
        if span * size > LARGEST_KEY:
            known, keys = np.unique(keys, return_inverse=True)
            span = len(known)
        keys = keys * size + column
        span *= size
    return keys


def num_distinct(codes: Codes) -> int:
    """How many different rows codes [N, L] have."""
    keys = np.sort(row_keys(codes))
    return int((keys[1:] != keys[:-1]).sum()) + min(len(keys), 1)


class PrefixGroups:
    """The items under every prefix of L - 1 codes, the groups in the order of their prefixes.

    Args:
        codes: [N, L], N at least 1.
    """

    def __init__(self, codes: Codes) -> None:
        keys = row_keys(codes)
        self._order = np.argsort(keys, kind="stable")
        keys = keys[self._order]
        self._repeated = np.concatenate([[False], keys[1:] == keys[:-1]])
        prefixes = row_keys(codes[:, :-1])[self._order]
        self._starts = np.concatenate([[0], np.flatnonzero(prefixes[1:] != prefixes[:-1]) + 1])
        self.sizes = np.diff(self._starts, append=len(codes))
        """int64 [G]: items of each group."""

    def rows(self, number: int) -> Numbers:
        """The rows of one group, ascending."""
        start = self._starts[number]
        return np.sort(self._order[start : start + self.sizes[number]])

    def with_duplicates(self) -> Numbers:
        """The numbers of the groups in which items share the last code, too."""
        return np.flatnonzero(np.logical_or.reduceat(self._repeated, self._starts))

    def with_any(self, marked: npt.NDArray[np.bool_]) -> Numbers:
        """The numbers of the groups with a marked row, of marks [N]."""
        return np.flatnonzero(np.logical_or.reduceat(marked[self._order], self._starts))

    def rows_of(self, numbers: Numbers) -> npt.NDArray[np.bool_]:
        """bool [N]: marks the rows of these groups."""
        chosen = np.zeros(len(self.sizes), dtype=bool)
        chosen[numbers] = True
        marked = np.empty(len(self._order), dtype=bool)
        marked[self._order] = np.repeat(chosen, self.sizes)
        return marked
