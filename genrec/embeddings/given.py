"""Item vectors that somebody else made, read from a file: an image encoder's, anyone's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from genrec.embeddings.item_embeddings import ItemEmbeddings
from genrec.errors import InputError
from genrec.interactions import read_ids

__all__ = ["read_vectors"]

VECTOR_COLUMN = "vector"


def read_vectors(path: Path, item_ids: Sequence[str]) -> ItemEmbeddings:
    """One vector for every item of the catalogue.

    Args:
        path: a folder that `genrec embed` wrote; a NumPy file float [N, D], rows in the order of
            the catalogue; or a Parquet file with the columns `item_id` and `vector` (a list of D
            numbers), in any order: an item that it does not name gets a zero row and confidence 0.
        item_ids: N ids, in the order of the catalogue.

    Raises:
        InputError: nothing usable stands there, or it does not fit the catalogue.
    """
    if path.is_dir():
        given = ItemEmbeddings.load(path)
    elif not path.is_file():
        raise InputError(
            f"there are no vectors at {path}; give a folder, a .npy or a .parquet file"
        )
    elif path.suffix == ".npy":
        given = ItemEmbeddings(vectors=_array(path), model=path.name)
    elif path.suffix == ".parquet":
        given = _by_item(path, item_ids)
    else:
        raise InputError(f"{path} is neither a folder nor .npy nor .parquet; convert it to one")
    if len(given.vectors) != len(item_ids):
        raise InputError(
            f"{path} holds {len(given.vectors)} vectors, the catalogue {len(item_ids)} items; "
            "make them anew, or give a Parquet file with item_id and vector"
        )
    return given


def _array(path: Path) -> npt.NDArray[np.float32]:
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except ValueError as error:
        raise InputError(f"{path} is no NumPy array of numbers ({error}); save it anew") from error
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.number):
        raise InputError(
            f"{path} must hold numbers [N, D], it holds {array.dtype} {list(array.shape)}"
        )
    return np.asarray(array, dtype=np.float32) if array.dtype != np.float32 else array


def _by_item(path: Path, item_ids: Sequence[str]) -> ItemEmbeddings:
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({error})") from error
    missing = {"item_id", VECTOR_COLUMN} - set(table.columns)
    if missing:
        raise InputError(
            f"{path} lacks the column(s) {sorted(missing)}; it needs item_id and {VECTOR_COLUMN}"
        )
    named = read_ids(table, "item_id")
    if named.is_duplicated().any():
        twice = named.filter(named.is_duplicated()).unique().sort().to_list()
        raise InputError(f"{path} names {len(twice)} item(s) more than once, as {twice[:3]}")
    values = _values(table[VECTOR_COLUMN], named, path)
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    rows = np.array([row_of.get(item_id, -1) for item_id in named.to_list()])
    if not (rows >= 0).any():
        raise InputError(f"{path} names no item of the catalogue; compare its item_id with yours")
    vectors = np.zeros((len(item_ids), values.shape[1]), dtype=np.float32)
    confidence = np.zeros(len(item_ids), dtype=np.float32)
    vectors[rows[rows >= 0]] = values[rows >= 0]
    confidence[rows[rows >= 0]] = 1.0
    return ItemEmbeddings(vectors=vectors, model=path.name, confidence=confidence)


def _values(column: pl.Series, item_ids: pl.Series, path: Path) -> npt.NDArray[np.float32]:
    """float32 [n, D]: what stands in a column of lists of numbers.

    Raises:
        InputError: it holds something else, or rows that are null, short, long or not finite.
    """
    dtype = column.dtype
    if not isinstance(dtype, pl.List | pl.Array) or not _is_number(dtype.inner):
        raise InputError(
            f"{path}: {VECTOR_COLUMN} must hold lists of numbers, it holds {dtype}, as "
            f"{str(column.head(1).to_list())[:60]}"
        )
    lists = column.cast(pl.List(pl.Float32), strict=False)
    widths = lists.list.len()
    usual = widths.drop_nulls().mode().sort().to_list()
    width = usual[0] if usual else 0
    for fault, is_wrong in (
        ("is null", lists.is_null()),
        (f"has not the {width} numbers that most have", (widths != width).fill_null(False)),
        ("is empty", (widths == 0).fill_null(False)),
        ("has a null in it", lists.list.eval(pl.element().is_null()).list.any().fill_null(False)),
        (
            "has a value that is no finite number",
            lists.list.eval(~pl.element().is_finite()).list.any().fill_null(False),
        ),
    ):
        rows = is_wrong.arg_true().to_list()
        if rows:
            shown = ", ".join(f"row {row} (item {item_ids[row]!r})" for row in rows[:3])
            shown += ", …" if len(rows) > 3 else ""
            raise InputError(
                f"{path}: {len(rows)} {VECTOR_COLUMN}(s) cannot be used: {shown} {fault}; "
                "mend the row(s) or leave them out"
            )
    return lists.explode().to_numpy().reshape(len(column), width).astype(np.float32)


def _is_number(dtype: object) -> bool:
    return isinstance(dtype, pl.DataType) and dtype.is_numeric()
