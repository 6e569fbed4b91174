"""The one rule for ids: whole numbers are their digits, everything else is text as it stands."""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import polars as pl

from genrec.errors import InputError
from genrec.interactions.defects import Defect, ProblemKind

__all__ = ["as_id", "find_odd_ids", "read_ids"]

NULL_LIKE = ("nan", "none", "null", "n/a", "<na>", "nat", "undefined")
"""What other programs write where there is no id; compared in lower case."""
LARGEST_EXACT = 2**53
"""Beyond it a float no longer tells neighbouring whole numbers apart."""
WHOLE = r"^-?\d+(\.0*)?$"
WITH_FRACTION = r"^-?\d+\.0*$"


def as_id(value: object) -> str:
    """An id of Python as text: 50, 50.0, `Decimal("50.00")` and numpy's are all `50`.

    Raises:
        InputError: it is no text and no number, or a number that is no id (NaN, infinite, or too
            large for a float to be exact).
    """
    if isinstance(value, str):
        return value
    plain = value.item() if hasattr(value, "item") and not isinstance(value, Real) else value
    if isinstance(plain, str):
        return plain
    if isinstance(plain, bool) or not isinstance(plain, Real | Decimal):
        raise InputError(f"an id is text or a number, got {value!r}")
    if isinstance(plain, Integral):
        return str(int(plain))
    number = float(plain)
    if not math.isfinite(number):
        raise InputError(f"{value!r} is no id; leave it out, or write the id as text")
    if not isinstance(plain, Decimal) and abs(number) >= LARGEST_EXACT:
        raise InputError(
            f"{value!r} is too large for a float to be exact; write the id as text or an integer"
        )
    return str(int(number)) if number.is_integer() else str(plain)


def read_ids(frame: pl.DataFrame, name: str) -> pl.Series:
    """Ids as text, null where empty or blank.

    Whole numbers are written without a fraction, whatever their type. So are those of a text
    column that holds nothing but whole numbers, some of them as `3.0`: that is how other programs
    write whole numbers beside missing ones.

    Raises:
        InputError: the column holds what are no ids.
    """
    if name not in frame.columns:
        return pl.repeat(None, frame.height, dtype=pl.String(), eager=True)
    column = frame[name]
    no_ids = column.dtype.is_nested() or column.dtype.is_temporal()
    if no_ids or column.dtype in (pl.Object, pl.Binary, pl.Boolean):
        raise InputError(f"column {name!r} has type {column.dtype}; ids must be text or numbers")
    if column.dtype.is_float():
        column = column.fill_nan(None)
        whole = column.cast(pl.Int64, strict=False)
        is_whole = (whole.cast(column.dtype) == column).fill_null(False)
        return whole.cast(pl.String).zip_with(is_whole, column.cast(pl.String))
    ids = column.cast(pl.String)
    ids = ids.set((ids.str.strip_chars() == "").fill_null(False), None)
    known = ids.drop_nulls()
    is_decimal = column.dtype.is_decimal()
    if is_decimal or (known.str.contains(WHOLE).all() and known.str.contains(WITH_FRACTION).any()):
        whole_numbers = ids.str.contains(WITH_FRACTION).fill_null(False)
        ids = ids.str.replace(r"\.0*$", "").zip_with(whole_numbers, ids)
    return ids


def find_odd_ids(frame: pl.DataFrame, name: str, ids: pl.Series, what: str) -> list[Defect]:
    """What is wrong with ids that are there: they mean nothing, or one stands for several.

    Args:
        frame: the table.
        name: its column.
        ids: as `read_ids` gave them.
        what: `user` or `item`, for messages.
    """
    if name not in frame.columns:
        return []
    column = frame[name]
    stripped = ids.str.strip_chars()
    odd: list[tuple[ProblemKind, pl.Series, str]] = [
        (
            ProblemKind.NULL_LIKE_ID,
            stripped.str.to_lowercase().is_in(NULL_LIKE),
            "is what other programs write where there is no id",
        ),
        (
            ProblemKind.BLANK_AROUND_ID,
            stripped != ids,
            "has blanks around it, and would be another id than the one without them",
        ),
    ]
    if column.dtype.is_float():
        inexact = column.abs() >= LARGEST_EXACT
        why = "is a float too large to be exact: several ids have become one; write them as text"
        odd.append((ProblemKind.INEXACT_ID, inexact, why))
    return [
        Defect(kind=kind, rows=rows.fill_null(False), detail=f"{what} {shown(ids, rows)} {why}")
        for kind, rows, why in odd
    ]


def shown(values: pl.Series, rows: pl.Series) -> str:
    """The first three different values of these rows, as a person reads them."""
    found: list[Any] = values.filter(rows.fill_null(False)).unique(maintain_order=True).to_list()
    return ", ".join(repr(value) for value in found[:3]) + (", …" if len(found) > 3 else "")
