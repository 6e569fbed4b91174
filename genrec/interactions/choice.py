"""Which events of a log are meant: kinds of events, and values that are large enough."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from genrec.errors import InputError
from genrec.interactions.defects import Defect, ProblemKind
from genrec.interactions.ids import read_ids
from genrec.interactions.mapping import ColumnMapping

__all__ = ["Choice", "choose_rows", "find_unparsable_values"]

KINDS_SHOWN = 8
EVENT_NAMES = ("event", "event_type", "event_name", "behavior", "behaviour", "action")
"""What logs call the column that says what was done."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The rows that are meant, and what was left out by choice."""

    rows: pl.Series
    """Boolean: the rows that are meant."""
    left_out: dict[str, int]
    """Why rows are not meant -> how many; each row is counted once."""
    notes: tuple[str, ...]
    """What a person should know of events and values, in sentences."""


def choose_rows(frame: pl.DataFrame, mapping: ColumnMapping) -> Choice:
    """The rows that the mapping chooses; a value that is no number is left for the checks.

    Raises:
        InputError: the column of events holds what cannot be named.
    """
    meant = pl.repeat(True, frame.height, dtype=pl.Boolean(), eager=True)
    left_out: dict[str, int] = {}
    if mapping.event in frame.columns and mapping.event_in:
        kinds = _read_kinds(frame, str(mapping.event))
        is_chosen = kinds.is_in(mapping.event_in).fill_null(False)
        left_out[f"{mapping.event} not in {', '.join(mapping.event_in)}"] = int((~is_chosen).sum())
        meant = meant & is_chosen
    if mapping.value in frame.columns and mapping.min_value is not None:
        column = frame[str(mapping.value)]
        values = _read_values(column)
        is_kept = (values >= mapping.min_value).fill_null(False) | _is_unparsable(column, values)
        why = f"{mapping.value} below {mapping.min_value:g} or empty"
        left_out[why] = int((meant & ~is_kept).sum())
        meant = meant & is_kept
    return Choice(rows=meant, left_out=left_out, notes=tuple(_tell(frame, mapping)))


def find_unparsable_values(frame: pl.DataFrame, mapping: ColumnMapping) -> list[Defect]:
    """The values that are no numbers, where numbers choose."""
    if mapping.min_value is None or mapping.value not in frame.columns:
        return []
    column = frame[str(mapping.value)]
    rows = _is_unparsable(column, _read_values(column))
    detail = f"column {mapping.value!r} must hold numbers, for a least value chooses by it"
    return [
        Defect(kind=ProblemKind.UNPARSABLE_VALUE, rows=rows, detail=detail, values=column),
    ]


def _read_kinds(frame: pl.DataFrame, name: str) -> pl.Series:
    """Kinds of events as text, by the rule for ids; true and false are such."""
    column = frame[name]
    return column.cast(pl.String) if column.dtype == pl.Boolean else read_ids(frame, name)


def _read_values(column: pl.Series) -> pl.Series:
    """Float64: null where there is no number."""
    if column.dtype.is_nested() or column.dtype.is_temporal():
        raise InputError(f"column {column.name!r} has type {column.dtype}; values must be numbers")
    text = column.str.strip_chars() if column.dtype == pl.String else column
    return text.cast(pl.Float64, strict=False).fill_nan(None)


def _is_unparsable(column: pl.Series, values: pl.Series) -> pl.Series:
    given = column.is_not_null()
    if column.dtype == pl.String:
        given &= (column.str.strip_chars() != "").fill_null(False)
    if column.dtype.is_float():
        given &= column.is_not_nan().fill_null(False)
    return given & values.is_null()


def _tell(frame: pl.DataFrame, mapping: ColumnMapping) -> list[str]:
    """What was done and with which values, where a person could choose by it."""
    name = mapping.event or next((name for name in EVENT_NAMES if name in frame.columns), None)
    notes = []
    if name in frame.columns and (mapping.event or not frame[str(name)].dtype.is_nested()):
        kinds = _read_kinds(frame, str(name)).alias("kind").drop_nulls()
        counts = dict(kinds.value_counts(sort=True).iter_rows())
        absent = [kind for kind in mapping.event_in if kind not in counts]
        shown = ", ".join(f"{kind} {n:,}" for kind, n in list(counts.items())[:KINDS_SHOWN])
        more = ", …" if len(counts) > KINDS_SHOWN else ""
        if not mapping.event_in and len(counts) > 1:
            notes.append(
                f"column {name!r} tells {len(counts):,} kinds of events ({shown}{more}), and all "
                "count alike; choose some with --event and --event-in"
            )
        if absent:
            notes.append(f"no event is {', '.join(absent)}; column {name!r} has {shown}{more}")
    if mapping.value in frame.columns and mapping.min_value is None:
        column = frame[str(mapping.value)]
        if column.dtype.is_numeric() and column.n_unique() > 1 and column.null_count() == 0:
            low, high = column.min(), column.max()
            notes.append(
                f"column {mapping.value!r} goes from {low!s} to {high!s}, and all rows count "
                "alike; choose with --min-value"
            )
    return notes
