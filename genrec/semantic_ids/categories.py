"""The categories that a catalogue gives its items, and which of them tell items apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from genrec.errors import InputError
from genrec.interactions import Catalogue

__all__ = ["CATEGORY_COLUMNS", "NO_CATEGORY", "Categories", "categories_of"]

CATEGORY_COLUMNS = ("categories", "genres", "category")
"""Where categories are looked for, the first that is there."""
NO_CATEGORY = -1
MOST_COMMON = (0.1, 0.25, 1.0)
"""A category counts if at most this share of the items has it; a larger share is tried where less
than half of the items would have a category that counts."""
COMMON_TO_ALL = 0.9
"""A category that more items than this share have is a root, and no colour."""


@dataclass(frozen=True, kw_only=True)
class Categories:
    """The categories of N items: C of them, the most common first."""

    column: str
    """The attribute of the catalogue that they come from."""
    names: tuple[str, ...]
    """[C]."""
    labels: sparse.csr_array
    """int64 [N, C], 1 where an item has a category."""

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """float64 [C]: the share of items that have each."""
        counts = np.bincount(self.labels.indices, minlength=len(self.names))
        return np.asarray(counts / self.labels.shape[0])

    @property
    def counted(self) -> tuple[sparse.csr_array, float]:
        """The labels [N, c] of the categories that say something, and up to which share they count.

        Two items that share what a third of the catalogue has are not yet alike.
        """
        for most_common in MOST_COMMON:
            labels = self.labels[:, np.flatnonzero(self.shares <= most_common)]
            if (np.diff(labels.indptr) > 0).mean() >= 0.5:
                break
        return labels, most_common

    @property
    def main(self) -> npt.NDArray[np.int64]:
        """int64 [N]: the most common category of each item, roots left out, or NO_CATEGORY."""
        columns = np.flatnonzero(self.shares <= COMMON_TO_ALL)
        labels = self.labels[:, columns].tocoo()
        found = np.full(self.labels.shape[0], len(self.names))
        np.minimum.at(found, labels.row, columns[labels.col])
        return np.where(found == len(self.names), NO_CATEGORY, found)


def categories_of(catalogue: Catalogue, column: str | None = None) -> Categories | None:
    """The categories in a column of texts, or lists of texts, of the catalogue.

    Args:
        catalogue: of the N items.
        column: which one; None takes the first of CATEGORY_COLUMNS that is there.

    Returns:
        None if no column was named and none of the usual ones is there, or all are empty.

    Raises:
        InputError: the named column is not there, or holds neither texts nor lists of texts.
    """
    named = column is not None
    if column is None:
        there = [name for name in CATEGORY_COLUMNS if _holds_texts(catalogue, name)]
        if not there:
            return None
        column = there[0]
    elif not _holds_texts(catalogue, column):
        raise InputError(
            f"the catalogue has no column {column!r} of texts or lists of texts; "
            f"it has {catalogue.attributes}"
        )
    found = _one_hot(column, catalogue.table[column])
    if named and found is None:
        raise InputError(f"the column {column!r} of the catalogue is empty; name another")
    return found


def _holds_texts(catalogue: Catalogue, column: str) -> bool:
    if column not in catalogue.attributes:
        return False
    dtype = catalogue.table.schema[column]
    return dtype == pl.String or dtype == pl.List(pl.String)


def _one_hot(column: str, series: pl.Series) -> Categories | None:
    rows = pl.DataFrame({"item": np.arange(len(series)), "name": series})
    if isinstance(series.dtype, pl.List):
        rows = rows.explode("name")
    rows = rows.filter(pl.col("name").is_not_null() & (pl.col("name") != "")).unique()
    if rows.is_empty():
        return None
    names: Sequence[str] = (
        rows.group_by("name").len().sort("len", "name", descending=[True, False])["name"].to_list()
    )
    column_of = {name: index for index, name in enumerate(names)}
    where = (rows["item"].to_numpy(), [column_of[name] for name in rows["name"].to_list()])
    labels = sparse.coo_array(
        (np.ones(len(rows), dtype=np.int64), where), shape=(len(series), len(names))
    )
    return Categories(column=column, names=tuple(names), labels=labels.tocsr())
