"""What features know of the past: counts, co-occurrence and item attributes, learnt from histories.

Everything here is a function of the histories it is given; a caller who gives what precedes the
labels gets features that know nothing of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from genrec.checked import ArraySpec, read_arrays
from genrec.errors import ArtifactError, InputError
from genrec.interactions import (
    UNKNOWN_TIME,
    Catalogue,
    Histories,
    divided_by_counts,
    transitions,
)

__all__ = ["FeatureStatistics", "StatisticsConfig"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

VECTORS = ("counts", "recent_counts")
TABLES = ("content", "numbers")
MOST_ATTRIBUTES = 1 << 31
MATRICES = ("followed_by", "together", "attributes")


@dataclass(frozen=True, kw_only=True)
class StatisticsConfig:
    """How much of the past is kept, and in what form."""

    content_width: int = 64
    """Principal directions of the content embeddings that similarities are taken in, at most."""
    window: int = 5
    """Places within which two events of a history count as occurring together."""
    recent_share: float = 0.1
    """Share of the events, the latest by time, that recent popularity counts."""
    max_attribute_share: float = 0.5
    """Attribute values that more of the items have say nothing and are left out."""

    def __post_init__(self) -> None:
        if self.content_width < 1 or self.window < 1:
            raise ValueError(
                f"content_width and window must be at least 1, got {self.content_width} "
                f"and {self.window}"
            )
        for name in ("recent_share", "max_attribute_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class FeatureStatistics:
    """All that features know beside the request itself, for a catalogue of N items."""

    counts: FloatArray
    """float32 [N]: events of each item."""
    recent_counts: FloatArray
    """float32 [N]: events of each item among the latest; all 0 where no event has a time."""
    followed_by: sparse.csr_array
    """float32 [N, N]: row i, column j: j after i within the window, nearer counting more,
    divided by the root of both items' counts."""
    together: sparse.csr_array
    """float32 [N, N]: the same in either order."""
    content: FloatArray
    """float32 [N, Dr] of length 1 (or 0): content embeddings in their principal directions."""
    attributes: sparse.csr_array
    """float32 [N, A]: 1 where an item has an attribute value; A may be 0."""
    numbers: FloatArray
    """float32 [N, P]: numeric attributes such as a price, standardised, NaN where unknown."""

    @property
    def num_items(self) -> int:
        """N."""
        return int(self.counts.size)

    @classmethod
    def from_histories(
        cls,
        histories: Histories,
        content: FloatArray,
        catalogue: Catalogue | None = None,
        config: StatisticsConfig | None = None,
    ) -> FeatureStatistics:
        """Learns from these histories and nothing else.

        Args:
            histories: what precedes every label that the features will be trained on.
            content: float32 [N, Dc]: a content embedding of every item.
            catalogue: for attributes; None has none.
            config: how much is kept.

        Raises:
            InputError: content and catalogue are of different lengths.
        """
        config = config or StatisticsConfig()
        num_items = len(content)
        if catalogue is not None and len(catalogue) != num_items:
            raise InputError(
                f"{num_items} content embeddings, but {len(catalogue)} items in the catalogue: "
                "embed this catalogue again"
            )
        attributes, numbers = item_attributes(catalogue, num_items, config.max_attribute_share)
        counts = np.bincount(histories.item_index, minlength=num_items).astype(np.float32)
        followed_by = divided_by_counts(transitions(histories, num_items, config.window), counts)
        together = sparse.csr_array(followed_by + followed_by.T)
        together.sort_indices()
        return cls(
            counts=counts,
            recent_counts=recent_counts(histories, num_items, config.recent_share),
            followed_by=followed_by,
            together=together,
            content=principal_directions(content, config.content_width),
            attributes=attributes,
            numbers=numbers,
        )

    def save(self, file: Path) -> None:
        """Writes all arrays into one npz, without pickle."""
        arrays = {
            "counts": self.counts,
            "recent_counts": self.recent_counts,
            "content": self.content,
            "numbers": self.numbers,
        }
        for name in ("followed_by", "together", "attributes"):
            matrix = getattr(self, name)
            arrays[f"{name}.data"] = matrix.data
            arrays[f"{name}.indices"] = matrix.indices
            arrays[f"{name}.indptr"] = matrix.indptr
            arrays[f"{name}.shape"] = np.array(matrix.shape)
        np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, file: Path) -> FeatureStatistics:
        """Reads what `save` wrote.

        Raises:
            ArtifactError: it is something else.
        """
        expected: dict[str, ArraySpec] = dict.fromkeys(VECTORS, ("float32", (None,)))
        expected |= dict.fromkeys(TABLES, ("float32", (None, None)))
        for name in MATRICES:
            expected[f"{name}.data"] = ("float32", (None,))
            expected[f"{name}.shape"] = ("int64", (2,))
            expected |= {
                f"{name}.{part}": ("int32|int64", (None,)) for part in ("indices", "indptr")
            }
        arrays = read_arrays(file, expected, may_be_nan=("numbers",))
        num_items = len(arrays["counts"])
        if any(len(arrays[name]) != num_items for name in (*VECTORS, *TABLES)):
            raise ArtifactError(f"{file}: its tables are of different numbers of items")
        square = (num_items, num_items)
        return cls(
            counts=arrays["counts"],
            recent_counts=arrays["recent_counts"],
            followed_by=_matrix(arrays, "followed_by", square, file),
            together=_matrix(arrays, "together", square, file),
            content=arrays["content"],
            attributes=_matrix(arrays, "attributes", (num_items, None), file),
            numbers=arrays["numbers"],
        )


def recent_counts(histories: Histories, num_items: int, share: float) -> FloatArray:
    """float32 [N]: events of each item among the latest `share` of those that have a time."""
    timed = histories.event_time != UNKNOWN_TIME
    if not timed.any():
        return np.zeros(num_items, dtype=np.float32)
    times = histories.event_time[timed]
    latest = histories.item_index[timed][times >= np.quantile(times, 1 - share)]
    return np.bincount(latest, minlength=num_items).astype(np.float32)


def principal_directions(content: FloatArray, width: int) -> FloatArray:
    """float32 [N, min(width, Dc)]: rows centred, turned into the main directions, of length 1."""
    centred = content - content.mean(0)
    values, directions = np.linalg.eigh(centred.T @ centred)
    main = directions[:, np.argsort(-values, kind="stable")[:width]]
    projected = centred @ main
    length = np.linalg.norm(projected, axis=1, keepdims=True)
    return np.ascontiguousarray(projected / np.maximum(length, 1e-9), dtype=np.float32)


def item_attributes(
    catalogue: Catalogue | None, num_items: int, max_share: float
) -> tuple[sparse.csr_array, FloatArray]:
    """float32 [N, A] and [N, P]: attribute values (texts and lists), and numeric attributes."""
    pairs, numbers = [], []
    for name in catalogue.attributes if catalogue is not None else []:
        assert catalogue is not None
        column = catalogue.table[name]
        if column.dtype.is_numeric():
            numbers.append(_standardised(column))
        else:
            pairs.append(_value_pairs(column))
    return (
        _indicator(pairs, num_items, max_share),
        np.stack(numbers, axis=1) if numbers else np.empty((num_items, 0), dtype=np.float32),
    )


def _standardised(column: pl.Series) -> FloatArray:
    """float32 [N]: mean 0 and deviation 1 over the known values, NaN where unknown."""
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = values[np.isfinite(values)]
    if not known.size:
        return np.full(values.shape, np.nan, dtype=np.float32)
    standardised = (values - known.mean()) / (known.std() or 1.0)
    return np.where(np.isfinite(values), standardised, np.nan).astype(np.float32)


def _value_pairs(column: pl.Series) -> pl.DataFrame:
    """One row for each item and value: `item` and `value` (with the column's name before it)."""
    if isinstance(column.dtype, pl.List):
        values = column.cast(pl.List(pl.String))
    else:
        values = column.cast(pl.String).str.split(",")
    table = pl.DataFrame({"item": np.arange(len(column)), "value": values}).explode("value")
    value = pl.col("value").str.strip_chars().str.to_lowercase()
    table = table.with_columns(value).filter(pl.col("value").str.len_chars() > 0)
    return table.with_columns(pl.lit(f"{column.name}=") + pl.col("value")).unique(
        maintain_order=True
    )


def _indicator(pairs: list[pl.DataFrame], num_items: int, max_share: float) -> sparse.csr_array:
    """float32 [N, A]: values that at least two items have and at most `max_share` of them."""
    if not pairs:
        return sparse.csr_array((num_items, 0), dtype=np.float32)
    table = pl.concat(pairs)
    count = table.group_by("value", maintain_order=True).len()
    kept = count.filter((pl.col("len") >= 2) & (pl.col("len") <= max_share * num_items))
    table = table.join(kept.with_row_index("attribute"), on="value", maintain_order="left")
    rows, columns = table["item"].to_numpy(), table["attribute"].to_numpy()
    values = np.ones(rows.size, dtype=np.float32)
    matrix = sparse.coo_array((values, (rows, columns)), shape=(num_items, kept.height)).tocsr()
    matrix.sort_indices()
    return sparse.csr_array(matrix)


def _matrix(
    arrays: Mapping[str, npt.NDArray[Any]], name: str, size: tuple[int, int | None], file: Path
) -> sparse.csr_array:
    """A sparse matrix of this size; its rows and columns are checked, for SciPy trusts them."""
    data, indices, indptr, shape = (
        arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr", "shape")
    )
    num_rows, num_columns = shape.tolist()
    fits = (
        num_rows == size[0]
        and (num_columns == size[1] or (size[1] is None and 0 <= num_columns <= MOST_ATTRIBUTES))
        and len(data) == len(indices)
        and len(indptr) == num_rows + 1
        and indptr[0] == 0
        and indptr[-1] == len(data)
        and (np.diff(indptr) >= 0).all()
        and (not len(indices) or (indices.min() >= 0 and indices.max() < num_columns))
    )
    if not fits:
        raise ArtifactError(f"{file}: {name} is no matrix of {size[0]} rows; train again")
    return sparse.csr_array((data, indices, indptr), shape=(num_rows, num_columns))
