"""The columns of a log as genrec stores them, and what is wrong with single values."""

from __future__ import annotations

import polars as pl

from genrec.interactions.defects import Defect, ProblemKind
from genrec.interactions.ids import find_odd_ids, read_ids
from genrec.interactions.mapping import ColumnMapping
from genrec.interactions.time_formats import tell_formats
from genrec.interactions.times import parse_times

__all__ = ["nulls", "read_columns"]


def read_columns(
    frame: pl.DataFrame, mapping: ColumnMapping
) -> tuple[pl.DataFrame, list[Defect], str]:
    """Users, items, times and positions, what is wrong with single values, how times were read."""
    users, items = read_ids(frame, mapping.user), read_ids(frame, mapping.item)
    events = {"user_id": users, "item_id": items}
    defects = []
    if mapping.user in frame.columns:
        defects.append(
            Defect(kind=ProblemKind.NULL_USER, rows=users.is_null(), detail="the user id is empty")
        )
    if mapping.item in frame.columns:
        defects.append(
            Defect(kind=ProblemKind.NULL_ITEM, rows=items.is_null(), detail="the item id is empty")
        )
    defects += find_odd_ids(frame, mapping.user, users, "user")
    defects += find_odd_ids(frame, mapping.item, items, "item")
    time_column, time_defects, reading = _read_times(frame, mapping)
    position_column, position_defects = _read_positions(frame, mapping)
    events |= {"microseconds": time_column, "position": position_column}
    return pl.DataFrame(events), defects + time_defects + position_defects, reading


def _read_times(frame: pl.DataFrame, mapping: ColumnMapping) -> tuple[pl.Series, list[Defect], str]:
    if mapping.time is None or mapping.time not in frame.columns:
        return nulls(frame, pl.Int64()), [], ""
    column = frame[mapping.time]
    times = parse_times(column, mapping.time_unit, mapping.time_format)
    other = ""
    if mapping.position is None and "position" in frame.columns:
        other = "; --position position takes the order from that column instead"
    null = Defect(
        kind=ProblemKind.NULL_TIME,
        rows=times.microseconds.is_null() & ~times.unparsable,
        detail=f"there is no time, and no position that would give the order{other}",
        is_problem=mapping.position is None,
    )
    remedy = tell_formats(column.filter(times.unparsable)) if times.unparsable.any() else ""
    if not remedy:
        remedy = (
            "write ISO 8601 (2014-05-13T10:00:00Z) or numbers of one unit, or say which with "
            "--time-unit, or how they are written with --time-format, such as '%d/%m/%Y %H:%M'"
        )
    unparsable = Defect(
        kind=ProblemKind.UNPARSABLE_TIME,
        rows=times.unparsable,
        detail=f"column {mapping.time!r} was read as {times.reading}, and these are none; {remedy}",
        values=column,
    )
    found = [null, unparsable]
    if times.implausible is not None:
        implausible = Defect(
            kind=ProblemKind.IMPLAUSIBLE_TIME,
            rows=times.implausible.fill_null(False),
            detail=f"column {mapping.time!r} was read as {times.reading}, which makes times before "
            "1990 or after today; say what they are with --time-unit or --time-format",
            values=column,
        )
        found += [implausible] if implausible.count else []
    return times.microseconds, found, times.reading


def _read_positions(frame: pl.DataFrame, mapping: ColumnMapping) -> tuple[pl.Series, list[Defect]]:
    if mapping.position is None or mapping.position not in frame.columns:
        return nulls(frame, pl.Int64()), []
    column = frame[mapping.position]
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        column = column.set((column == "").fill_null(False), None)
    if column.dtype.is_float():
        column = column.fill_nan(None)
    given = column.is_not_null()
    positions = nulls(frame, pl.Int64())
    if column.dtype.is_integer():
        positions = column.cast(pl.Int64, strict=False)
    elif column.dtype.is_numeric() or column.dtype == pl.String:
        floats = column.cast(pl.Float64, strict=False)
        whole = floats.cast(pl.Int64, strict=False)
        from_floats = whole.set((whole.cast(pl.Float64) != floats).fill_null(True), None)
        is_text = column.dtype == pl.String  # large whole numbers in text keep every digit
        positions = column.cast(pl.Int64, strict=False) if is_text else from_floats
        positions = positions.fill_null(from_floats)
    null = Defect(kind=ProblemKind.NULL_POSITION, rows=~given, detail="there is no position")
    unparsable = Defect(
        kind=ProblemKind.UNPARSABLE_POSITION,
        rows=given & positions.is_null(),
        detail=f"column {mapping.position!r} must hold whole numbers",
        values=frame[mapping.position],
    )
    return positions, [null, unparsable]


def nulls(frame: pl.DataFrame, dtype: pl.DataType) -> pl.Series:
    """A column of nulls, as long as the frame."""
    return pl.repeat(None, frame.height, dtype=dtype, eager=True)
