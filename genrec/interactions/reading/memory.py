"""Tables that other libraries hold in memory, as polars frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from genrec.errors import InputError
from genrec.interactions.reading.failures import LIBRARY_ERRORS

__all__ = ["read_memory"]

KNOWN = "a polars or pandas frame, an Arrow table, a datasets.Dataset or a list of dicts"


def read_memory(source: Any, columns: tuple[str, ...] | None) -> pl.DataFrame:  # Any: of others
    """The table as a polars frame.

    Args:
        source: a polars or pandas frame, an Arrow table, batch or reader, a `datasets.Dataset`,
            a list of dicts, or a list of tuples where `columns` names their places.
        columns: names that replace those of the table; None keeps them.

    Raises:
        InputError: it is no table, or a column holds what no column of a log can.
    """
    read = _FROM_LIBRARY.get(type(source).__module__.partition(".")[0])
    if isinstance(source, list | tuple):
        return _from_rows(source, columns)
    if read is None or isinstance(source, type):
        raise InputError(
            f"cannot read a table from {type(source).__module__}.{type(source).__name__}; give a "
            f"path, {KNOWN}"
        )
    return rename_columns(read(source), columns)


def rename_columns(frame: pl.DataFrame, columns: tuple[str, ...] | None) -> pl.DataFrame:
    """The frame under these names; None leaves them as they are."""
    if columns is None:
        return frame
    if len(columns) != frame.width:
        raise InputError(
            f"{len(columns)} columns are named ({list(columns)}), but the table has "
            f"{frame.width}: {frame.columns}"
        )
    return frame.rename(dict(zip(frame.columns, columns, strict=True)))


def _from_polars(frame: Any) -> pl.DataFrame:  # Any: one of several kinds
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        try:
            return frame.collect()
        except LIBRARY_ERRORS as error:
            raise InputError(f"a LazyFrame cannot be collected: {error}") from error
    raise InputError(f"a polars frame is needed, this is a {type(frame).__name__}")


def _from_pandas(frame: Any) -> pl.DataFrame:  # Any: pandas is no requirement
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"a pandas DataFrame is needed, this is a {type(frame).__name__}")
    if isinstance(frame.columns, pd.MultiIndex):
        raise InputError("the frame has columns of several levels; give them one name each")
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise InputError(f"the frame has several columns of one name: {names}")
    columns = [_from_series(name, frame.iloc[:, place]) for place, name in enumerate(names)]
    if any(name is not None for name in frame.index.names):
        index = frame.index.to_frame(index=False)
        kept = [place for place, name in enumerate(frame.index.names) if name is not None]
        named = {str(frame.index.names[place]): index.iloc[:, place] for place in kept}
        columns = [
            *(_from_series(name, series) for name, series in named.items() if name not in names),
            *columns,
        ]
    return pl.DataFrame(columns)


def _from_series(name: str, series: Any) -> pl.Series:  # Any: pandas is no requirement
    """The column; objects of several kinds become text, each as it stands."""
    from genrec.interactions.reading.values import unify_values

    if series.dtype != object:
        if str(series.dtype).startswith("period"):
            series = series.dt.to_timestamp()
        try:
            return pl.Series(name, pl.from_pandas(series, nan_to_null=True))
        except LIBRARY_ERRORS as error:
            raise InputError(f"column {name!r} has type {series.dtype}: {error}") from error
    return unify_values(name, series.tolist())


def _from_arrow(table: Any) -> pl.DataFrame:  # Any: pyarrow ships no types
    import pyarrow as pa

    if isinstance(table, pa.RecordBatchReader):
        table = table.read_all()
    if not isinstance(table, pa.Table | pa.RecordBatch):
        raise InputError(f"an Arrow table is needed, this is a {type(table).__name__}")
    names = table.schema.names
    if len(set(names)) < len(names):
        raise InputError(f"the table has several columns of one name: {names}")
    columns = []
    for name, column in zip(names, table.columns, strict=True):
        try:
            series = pl.from_arrow(column)
        except LIBRARY_ERRORS as error:
            raise InputError(
                f"column {name!r} has type {column.type}, which cannot be read ({error}); "
                "write it as text, numbers or times"
            ) from error
        columns.append(pl.Series(name, series))
    return pl.DataFrame(columns)


def _from_datasets(dataset: Any) -> pl.DataFrame:  # Any: datasets is no requirement
    names = getattr(dataset, "column_names", None)
    if isinstance(dataset, dict) or isinstance(names, dict):
        splits = list(dataset)
        raise InputError(
            f"a {type(dataset).__name__} holds several tables, {splits}; choose one: "
            f"dataset[{splits[0] if splits else 'train'!r}]"
        )
    frame = None
    if not type(dataset).__name__.startswith("Iterable"):
        try:
            frame = dataset.with_format(None).to_polars()
        except LIBRARY_ERRORS as error:
            raise InputError(
                f"{type(dataset).__name__} has a column no frame holds: {error}"
            ) from error
    if not isinstance(frame, pl.DataFrame):
        raise InputError(
            f"{type(dataset).__name__} cannot be read whole; load it without streaming"
        )
    return frame


def _from_rows(rows: Any, columns: tuple[str, ...] | None) -> pl.DataFrame:  # Any: their values
    from genrec.interactions.reading.values import frame_from_dicts, unify_values

    if all(isinstance(row, Mapping) for row in rows):
        return rename_columns(frame_from_dicts(rows), columns)
    wrong = next(
        (place for place, row in enumerate(rows) if not isinstance(row, list | tuple)), None
    )
    if wrong is not None:
        raise InputError(
            f"row {wrong} is a {type(rows[wrong]).__name__}; a list of rows holds dicts alone, or "
            "tuples alone"
        )
    if columns is None:
        raise InputError("a list of tuples needs names: columns=('user_id', 'item_id', …)")
    ragged = next((place for place, row in enumerate(rows) if len(row) != len(columns)), None)
    if ragged is not None:
        raise InputError(
            f"row {ragged} has {len(rows[ragged])} values, but {len(columns)} columns are named"
        )
    return pl.DataFrame(
        [unify_values(name, [row[place] for row in rows]) for place, name in enumerate(columns)]
    )


_FROM_LIBRARY: dict[str, Callable[[Any], pl.DataFrame]] = {
    "polars": _from_polars,
    "pandas": _from_pandas,
    "pyarrow": _from_arrow,
    "datasets": _from_datasets,
}
