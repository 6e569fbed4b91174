"""Columns of Python values, as JSON and lists of rows hold them, with nothing lost in silence."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from genrec.errors import InputError

__all__ = ["frame_from_dicts", "unify_values"]

INT64 = range(-(2**63), 2**63)


def frame_from_dicts(rows: Sequence[Mapping[Any, Any]]) -> pl.DataFrame:
    """A column for every key of any row, in order of first appearance; null where it is absent."""
    names = dict.fromkeys(key for row in rows for key in row)
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        raise InputError(f"several keys have one name as text: {texts}")
    return pl.DataFrame(
        [unify_values(str(name), [row.get(name) for row in rows]) for name in names]
    )


def unify_values(name: str, values: Iterable[Any]) -> pl.Series:
    """The column under one type: text beside numbers makes all of it text, whole numbers as such.

    Integers beyond 64 bits become text, digit by digit. NaN is null.

    Raises:
        InputError: a value is of a kind that no column can hold.
    """
    unified = _unify(list(values))
    try:
        series = pl.Series(name, unified, strict=True)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        kinds = sorted({type(value).__name__ for value in unified if value is not None})
        raise InputError(f"column {name!r} holds {', '.join(kinds)}: {error}") from error
    if series.dtype == pl.Object:
        kinds = sorted({type(value).__name__ for value in unified if value is not None})
        raise InputError(
            f"column {name!r} holds {', '.join(kinds)}, which is neither text, number nor time"
        )
    return series


def _unify(values: list[Any]) -> list[Any]:  # Any: whatever the rows hold
    values = [_plain(value) for value in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds and all(issubclass(kind, dict) for kind in kinds):
        return _unify_dicts(values)
    if kinds and kinds <= {list, tuple}:
        return _unify_lists(values)
    if kinds == {int, float} and all(_is_exact(value) for value in values):
        return [float(value) if value is not None else None for value in values]
    if len(kinds) > 1:
        return [_as_text(value) for value in values]
    if kinds == {int} and not all(value is None or value in INT64 for value in values):
        return [_as_text(value) for value in values]
    return values


def _plain(value: Any) -> Any:
    """NaN and the other words for nothing as None, NumPy's scalars as Python's."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) is not None:
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return value


def _is_exact(value: Any) -> bool:
    return value is None or isinstance(value, float) or abs(value) <= 2**53


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list | tuple | bool):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _unify_dicts(values: list[Any]) -> list[Any]:
    keys = dict.fromkeys(key for value in values if value is not None for key in value)
    if not keys:
        return [None] * len(values)
    columns = {
        key: iter(_unify([value.get(key) for value in values if value is not None])) for key in keys
    }
    return [
        None if value is None else {str(key): next(column) for key, column in columns.items()}
        for value in values
    ]


def _unify_lists(values: list[Any]) -> list[Any]:
    elements = iter(_unify([element for value in values if value is not None for element in value]))
    return [None if value is None else [next(elements) for _ in value] for value in values]
