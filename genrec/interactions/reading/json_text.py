"""Tables in JSON: an object a line, or one array of objects."""

from __future__ import annotations

import json
import re
from typing import Any

import polars as pl

from genrec.errors import DataError, InputError, Problem
from genrec.interactions.reading.encoding import decode_text
from genrec.interactions.reading.failures import POLARS_ERRORS, shorten
from genrec.interactions.reading.table_format import UNREADABLE_ROW, TableFormat, TableReading
from genrec.interactions.reading.values import frame_from_dicts

__all__ = ["read_json"]

FAULTS_SHOWN = 3
EXACT = 2.0**53
"""From here on a float cannot tell neighbouring whole numbers apart."""
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
REMEDY = "write an object a line, or one array of objects"


def read_json(content: bytes, source: str, table_format: TableFormat) -> TableReading:
    """The table, and which of its rows could not be read. NaN is null.

    Args:
        content: the file, unpacked.
        source: how messages call it.
        table_format: how it is read.

    Raises:
        InputError: it is of another encoding, or no rows in JSON.
        DataError: rows cannot be read, and they are not to be left out.
    """
    content = decode_text(content, source, table_format.encoding)
    beginning = content.lstrip()[:1]
    if not beginning:
        return TableReading(frame=pl.DataFrame())
    if beginning == b"[":
        return _read_array(content, source, table_format)
    frame = _read_fast(content)
    if frame is not None:
        return TableReading(frame=frame)
    return _read_lines(content, source, table_format)


def _read_fast(content: bytes) -> pl.DataFrame | None:
    """The rows where nothing can have been lost; None where each line must be looked at."""
    if SURROGATE.search(content):
        return None
    try:
        frame = pl.read_ndjson(content, infer_schema_length=None)
    except POLARS_ERRORS:
        return None
    floats = frame.select(pl.col(pl.Float64, pl.Float32).abs().max() >= EXACT)
    return None if floats.width and any(floats.row(0)) else frame


def _read_lines(content: bytes, source: str, table_format: TableFormat) -> TableReading:
    rows, faults = [], []
    for place, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        row, fault = _parse_row(line)
        if row is None:
            faults.append(f"line {place}: {fault}: {shorten(line.decode())}")
        else:
            rows.append(row)
    if not rows and _is_one_object(content):
        raise InputError(
            f"{source} is a single JSON object, not the rows of a table; {REMEDY} "
            "(pandas: to_json with orient='records')"
        )
    return _finish(rows, faults, source, table_format)


def _read_array(content: bytes, source: str, table_format: TableFormat) -> TableReading:
    try:
        elements = _load(content)
    except json.JSONDecodeError as error:
        line = content.decode().split("\n")[error.lineno - 1]
        raise InputError(
            f"{source} line {error.lineno}: the JSON array breaks off at character {error.colno}: "
            f"{shorten(line)}; mend it, or {REMEDY}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} holds JSON that cannot be read ({error}); {REMEDY}") from error
    rows, faults = [], []
    for place, element in enumerate(elements, start=1):
        if isinstance(element, dict) and not _has_lone_surrogate(element):
            rows.append(element)
        else:
            faults.append(f"element {place}: it is no object: {shorten(json.dumps(element))}")
    return _finish(rows, faults, source, table_format)


def _finish(
    rows: list[dict[str, Any]], faults: list[str], source: str, table_format: TableFormat
) -> TableReading:
    unreadable = None
    if faults:
        told = faults[:FAULTS_SHOWN]
        if len(faults) > FAULTS_SHOWN:
            told.append(f"and {len(faults) - FAULTS_SHOWN} more")
        detail = f"{source} {'; '.join(told)}. Mend them: {REMEDY}."
        unreadable = Problem(
            kind=UNREADABLE_ROW,
            count=len(faults),
            rows=(),
            detail=detail,
            droppable=bool(rows),
        )
        if not table_format.drop_unreadable:
            raise DataError(source, [unreadable])
    try:
        return TableReading(frame=frame_from_dicts(rows), unreadable=unreadable)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _parse_row(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """The object on a line, or what is wrong with it."""
    try:
        row = _load(line)
    except json.JSONDecodeError as error:
        return None, f"the JSON breaks off at character {error.colno}"
    except (ValueError, RecursionError):
        return None, "the JSON holds a value that cannot be read"
    if not isinstance(row, dict):
        return None, "the JSON is no object with names"
    if _has_lone_surrogate(row):
        return None, "the JSON holds half of a character (a lone surrogate)"
    return row, ""


def _load(text: bytes) -> Any:  # Any: what the JSON holds
    return json.loads(text.decode(), parse_constant=_read_constant)


def _read_constant(name: str) -> None:
    """NaN says that there is no value; an infinite one is none that a log can have."""
    if name != "NaN":
        raise ValueError(name)


def _has_lone_surrogate(row: dict[str, Any]) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_one_object(content: bytes) -> bool:
    try:
        return isinstance(_load(content), dict)
    except (ValueError, RecursionError):
        return False
