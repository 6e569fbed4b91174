"""Values inside of values: paths into structs, and lists unrolled into rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from genrec.errors import InputError

__all__ = ["explode_lists", "list_paths", "select_paths"]

PATHS_SHOWN = 30


def select_paths(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The frame with a column more for each of these names that is a path into a struct.

    `properties.product_id` finds the field `product_id` of the struct column `properties` where
    no column has that very name. A column that is there already, and a name that is no path,
    change nothing: whoever asks for it sees that it is missing (`list_paths` says what there is).

    Raises:
        InputError: the path leads through a list, which must be unrolled first.
    """
    added: list[pl.Series] = []
    for name in dict.fromkeys(names):
        if name not in frame.columns:
            found = _find(frame, name)
            if found is not None:
                added.append(found.alias(name))
    return frame.with_columns(added) if added else frame


def list_paths(frame: pl.DataFrame) -> list[str]:
    """All names that a mapping can use: columns, and the fields inside of structs and lists."""
    return [path for name, dtype in frame.schema.items() for path in (name, *_fields(name, dtype))]


def explode_lists(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The frame with a row for each element of these list columns, all unrolled side by side.

    A row whose lists are empty or null stays, with null in them: nobody is lost.

    Raises:
        InputError: there is no such column, it holds no lists, or lists of one row differ in
            length.
    """
    if not names:
        return frame
    frame = select_paths(frame, names)
    for name in names:
        _check_list(frame, name)
    frame = frame.with_columns(
        pl.col(name).arr.to_list() for name in names if isinstance(frame[name].dtype, pl.Array)
    )
    lengths = frame.select(pl.col(name).list.len().fill_null(0) for name in names)
    first = lengths[names[0]]
    for name in names[1:]:
        differing = (lengths[name] != first).arg_true()
        if differing.len():
            row = differing[0]
            raise InputError(
                f"row {row} has {first[row]} elements in {names[0]!r} and {lengths[name][row]} in "
                f"{name!r}; columns that are unrolled together need lists of one length"
            )
    frame = frame.with_columns(
        pl.when(first > 0).then(pl.col(name)).otherwise(pl.lit([None])).alias(name)
        for name in names
    )
    return frame.explode(list(names))


def _check_list(frame: pl.DataFrame, name: str) -> None:
    if name not in frame.columns:
        raise InputError(
            f"there is no column {name!r} to unroll; there are {_shown(list_paths(frame))}"
        )
    dtype = frame[name].dtype
    if not isinstance(dtype, pl.List | pl.Array):
        lists = [
            column for column, kind in frame.schema.items() if isinstance(kind, pl.List | pl.Array)
        ]
        raise InputError(
            f"column {name!r} has type {dtype} and no lists to unroll; "
            + (f"lists are {lists}" if lists else "no column holds lists")
        )


def _find(frame: pl.DataFrame, path: str) -> pl.Series | None:
    """The values at a path; a column's own name may hold points, the longest one wins."""
    parts = path.split(".")
    for place in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:place])
        if name in frame.columns:
            return _descend(frame[name], parts[place:], name, path)
    return None


def _descend(series: pl.Series, parts: list[str], where: str, path: str) -> pl.Series | None:
    if not parts:
        return series
    if isinstance(series.dtype, pl.List | pl.Array):
        raise InputError(
            f"{path!r} leads through {where!r}, which holds lists; unroll it into rows first: "
            f"--explode {where}"
        )
    if not isinstance(series.dtype, pl.Struct):
        return None
    fields = [field.name for field in series.dtype.fields]
    for place in range(len(parts), 0, -1):
        name = ".".join(parts[:place])
        if name in fields:
            return _descend(series.struct.field(name), parts[place:], f"{where}.{name}", path)
    return None


def _fields(name: str, dtype: pl.DataType) -> Iterator[str]:
    while isinstance(dtype, pl.List | pl.Array):
        dtype = _plain(dtype.inner)
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield f"{name}.{field.name}"
            yield from _fields(f"{name}.{field.name}", _plain(field.dtype))


def _plain(dtype: object) -> pl.DataType:
    """The type itself, where polars hands over its class."""
    made = dtype() if isinstance(dtype, type) else dtype
    assert isinstance(made, pl.DataType)
    return made


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - PATHS_SHOWN} more" if len(names) > PATHS_SHOWN else ""
    return ", ".join(names[:PATHS_SHOWN]) + more
