"""The one rule for ids: whole numbers are their digits, everything else is text as it stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from numbers import Integral, Real

import numpy as np
import polars as pl

from genrec.errors import InputError
from genrec.interactions.defects import Defect, ProblemKind

__all__ = ["as_id", "find_odd_ids", "read_ids", "strip_ids", "tell_fractions"]

NULL_LIKE = ("nan", "none", "null", "n/a", "<na>", "nat", "undefined")
"""What other programs write where there is no id; compared in lower case."""
LARGEST_EXACT = 2**53
"""Beyond it a float no longer tells neighbouring whole numbers apart."""
WHOLE = r"^-?\d+(\.0*)?$"
WITH_FRACTION = r"^-?\d+\.0*$"
FRACTION = r"\.0*$"


def as_id(value: object) -> str:
    """An id of Python as text: 50, 50.0, `Decimal("50.00")` and numpy's are all `50`.

    Raises:
        InputError: it is no text and no number, or a number that is no id (NaN, infinite, or too
            large for a float to be exact), or text that cannot be written (a lone surrogate).
    """
    if isinstance(value, str):
        return _require_writable(str(value))
    plain = value.item() if hasattr(value, "item") and not isinstance(value, Real) else value
    if isinstance(plain, str):
        return _require_writable(plain)
    if isinstance(plain, bool) or not isinstance(plain, Real | Decimal):
        raise InputError(f"an id is text or a number, got {value!r}")
    if isinstance(plain, Integral):
        return str(int(plain))
    number = plain if isinstance(plain, Decimal) else float(plain)
    if not math.isfinite(number):
        raise InputError(f"{value!r} is no id; leave it out, or write the id as text")
    if isinstance(number, float) and abs(number) >= _largest_exact(value):
        raise InputError(
            f"{value!r} is too large for a float to be exact; write the id as text or an integer"
        )
    return str(int(number)) if number == int(number) else str(plain)


def _require_writable(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the id {text!r} has half a character (a lone surrogate); write it as UTF-8"
            ) from error
    return text


def _largest_exact(value: object) -> int:
    """From here on neighbouring whole numbers are one number of this type."""
    if isinstance(value, np.floating | np.ndarray) and np.issubdtype(value.dtype, np.floating):
        return int(2 ** (np.finfo(value.dtype).nmant + 1))
    return LARGEST_EXACT


def read_ids(frame: pl.DataFrame, name: str) -> pl.Series:
    """Ids as text, null where empty or blank.

    Whole numbers are written without a fraction, whatever their type. So are those of a text
    column that holds nothing but whole numbers, some of them as `3.0` (that is how other programs
    write whole numbers beside missing ones), or one number both ways, as `3` and as `3.0`.

    Raises:
        InputError: the column holds what are no ids.
    """
    if name not in frame.columns:
        return pl.repeat(None, frame.height, dtype=pl.String(), eager=True)
    column = frame[name]
    no_ids = column.dtype.is_nested() or column.dtype.is_temporal()
    if no_ids or column.dtype in (pl.Object, pl.Binary, pl.Boolean):
        remedy = (
            f"; unroll the lists into rows with --explode {name}"
            if isinstance(column.dtype, pl.List | pl.Array)
            else "; write them so, or name another column"
        )
        raise InputError(
            f"column {name!r} has type {column.dtype}; ids must be text or numbers{remedy}"
        )
    if column.dtype.is_float():
        column = column.fill_nan(None)
        whole = column.cast(pl.Int64, strict=False)
        is_whole = (whole.cast(column.dtype) == column).fill_null(False)
        return whole.cast(pl.String).zip_with(is_whole, column.cast(pl.String))
    ids = column.cast(pl.String)
    ids = ids.set((ids.str.strip_chars() == "").fill_null(False), None)
    has_fraction = ids.str.contains(WITH_FRACTION).fill_null(False)
    if has_fraction.any():
        without = ids.str.replace(FRACTION, "")
        written_so = has_fraction & without.is_in(ids.filter(~has_fraction).implode())
        all_whole = bool(ids.str.contains(WHOLE).fill_null(True).all())
        if column.dtype.is_decimal() or all_whole or written_so.any():
            return without.zip_with(has_fraction, ids)
    return ids


def tell_fractions(frame: pl.DataFrame, name: str, ids: pl.Series) -> list[str]:
    """Says where whole numbers of a text column lost their `.0`; no sentence where none did."""
    if name not in frame.columns or frame[name].dtype != pl.String:
        return []
    changed = (frame[name] != ids).fill_null(False)
    if not changed.any():
        return []
    written, read = (column.filter(changed)[0] for column in (frame[name], ids))
    return [
        f"column {name!r} holds {int(changed.sum()):,} whole numbers with a fraction of zeros, as "
        f"other programs write them beside missing values: {written!r} was read as {read!r}"
    ]


def strip_ids(frame: pl.DataFrame, names: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """The frame without blanks around the text of these columns, and how many ids had some."""
    num = 0
    for name in names:
        if name in frame.columns and frame[name].dtype in (pl.String, pl.Categorical, pl.Enum):
            column = frame[name].cast(pl.String)
            stripped = column.str.strip_chars()
            num += int(((stripped != column) & (stripped != "")).sum())
            frame = frame.with_columns(stripped)
    return frame, num


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
            "has blanks around it, and is another id than the one without them; --strip takes "
            "them off",
        ),
        (
            ProblemKind.CONTROL_CHARACTER_ID,
            stripped.str.contains(r"\p{Cc}"),
            "holds a control character (NUL, tab, line break), which no id has on purpose",
        ),
    ]
    if column.dtype.is_float():
        limit = 2**24 if column.dtype == pl.Float32 else LARGEST_EXACT
        why = "is a float too large to be exact: several ids have become one; write them as text"
        odd.append((ProblemKind.INEXACT_ID, column.abs() >= limit, why))
    return [
        Defect(kind=kind, rows=rows.fill_null(False), detail=f"the {what} id {why}", values=ids)
        for kind, rows, why in odd
    ]
