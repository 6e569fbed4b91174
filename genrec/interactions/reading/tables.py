"""One door for every table: a file, a folder, several files, or a table in memory."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from genrec.errors import InputError, Problem
from genrec.interactions.reading.files import list_files, read_file
from genrec.interactions.reading.memory import read_memory
from genrec.interactions.reading.nested import explode_lists, select_paths
from genrec.interactions.reading.table_format import TableFormat, TableReading

__all__ = ["read_table", "read_table_counted"]

log = logging.getLogger(__name__)
INDEX = re.compile(r"__index_level_\d+__")
OF_FILES = {"separator": None, "encoding": None, "quote": '"', "has_header": True}


def read_table(
    source: object,
    *,
    text_columns: Sequence[str] = (),
    table_format: TableFormat | None = None,
) -> pl.DataFrame:
    """A table as a polars frame; see `read_table_counted` for what is read and refused.

    Rows that `drop_unreadable` leaves out are only logged here.
    """
    return read_table_counted(source, text_columns=text_columns, table_format=table_format).frame


def read_table_counted(
    source: object,
    *,
    text_columns: Sequence[str] = (),
    table_format: TableFormat | None = None,
) -> TableReading:
    """A table as a polars frame, and how many of its rows could not be read.

    Args:
        source: a path, several paths of one kind, or a folder of files of one kind; a polars or
            pandas frame, an Arrow table, a `datasets.Dataset`, a list of dicts, or a list of
            tuples with `columns` in the format. Files are .csv, .tsv, .txt, .dat or .inter
            (delimited text), .json, .jsonl or .ndjson, .parquet or .pq, .arrow, .feather or .ipc,
            .xlsx (`pip install genrec[excel]`); text also as .gz, .bz2, .zip or .zst.
        text_columns: read as text, not as numbers, so that an id 007 of a text file stays 007;
            names such as `properties.product_id` that lead into structs become columns. For other
            names of a mapping (event, value, context) there is `select_paths`.
        table_format: how the text is read; None finds everything out.

    Returns:
        TableReading: `frame`, and with `drop_unreadable` the `unreadable` problem that tells how
        many rows were left out (kind `unreadable-row`); a summary adds its count to what was
        dropped and to the rows that the file has.

    Raises:
        InputError: there is no such file, or it cannot be read as what its name says.
        DataError: rows cannot be read (kind `unreadable-row`), each named by file and line.
    """
    table_format = table_format or TableFormat()
    if not _is_of_paths(source):
        _refuse_settings_of_files(table_format, "this table is in memory")
        frame = read_memory(source, table_format.columns)
        return _finish([TableReading(frame=frame)], text_columns, table_format)
    files = list_files(source)
    readings = []
    for file, partitions in files:
        reading = read_file(file, text_columns, table_format)
        constants = [
            pl.lit(value).alias(name)
            for name, value in partitions.items()
            if name not in reading.frame.columns
        ]
        readings.append(replace(reading, frame=reading.frame.with_columns(constants)))
    return _finish(readings, text_columns, table_format, [file for file, _ in files])


def _is_of_paths(source: object) -> bool:
    if isinstance(source, list | tuple):
        return bool(source) and all(isinstance(part, str | Path) for part in source)
    return isinstance(source, str | Path)


def _refuse_settings_of_files(table_format: TableFormat, why: str) -> None:
    given = [name for name, usual in OF_FILES.items() if getattr(table_format, name) != usual]
    if given:
        raise InputError(f"{' and '.join(given)} belong to a text file, {why}; leave them out")


def _finish(
    readings: list[TableReading],
    text_columns: Sequence[str],
    table_format: TableFormat,
    files: Sequence[Path] = (),
) -> TableReading:
    frame = _concatenate([reading.frame for reading in readings], files)
    frame = explode_lists(frame, table_format.explode)
    frame = _drop_unnamed_index(select_paths(frame, text_columns), text_columns)
    frame = _decode_binary(frame, text_columns)
    problems = [reading.unreadable for reading in readings if reading.unreadable is not None]
    if not problems:
        return TableReading(frame=frame)
    unreadable = Problem(
        kind=problems[0].kind,
        count=sum(problem.count for problem in problems),
        rows=(),
        detail="; ".join(problem.detail for problem in problems),
    )
    log.warning("left out %d row(s) that cannot be read: %s", unreadable.count, unreadable.detail)
    return TableReading(frame=frame, unreadable=unreadable)


def _drop_unnamed_index(frame: pl.DataFrame, text_columns: Sequence[str]) -> pl.DataFrame:
    """Without the row numbers that pandas stores beside a table as `__index_level_0__`."""
    unnamed = [name for name in frame.columns if INDEX.fullmatch(name) and name not in text_columns]
    return frame.drop(unnamed)


def _decode_binary(frame: pl.DataFrame, text_columns: Sequence[str]) -> pl.DataFrame:
    """With text where a column of ids or times holds its bytes, as some writers store it."""
    for name in text_columns:
        if name in frame.columns and frame[name].dtype == pl.Binary:
            try:
                frame = frame.with_columns(pl.col(name).cast(pl.String))
            except pl.exceptions.PolarsError as error:
                raise InputError(
                    f"column {name!r} holds bytes that are no UTF-8 text; write it as text"
                ) from error
    return frame


def _concatenate(frames: list[pl.DataFrame], files: Sequence[Path]) -> pl.DataFrame:
    """The rows of all files, in order; numbers beside text become text."""
    if len(frames) == 1:
        return frames[0]
    pairs = [(frame, file) for frame, file in zip(frames, files, strict=True) if frame.width] or [
        (frames[0], files[0])
    ]
    first, first_file = pairs[0]
    for frame, file in pairs[1:]:
        if set(frame.columns) != set(first.columns):
            raise InputError(
                f"{file} has the columns {frame.columns}, but {first_file} has {first.columns}; "
                "files that are read together need the same columns"
            )
    try:
        ordered = [frame.select(first.columns) for frame, _ in pairs]
        return pl.concat(ordered, how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"{first_file} and {len(pairs) - 1} more cannot be joined, a column has types that "
            f"do not go together: {error}"
        ) from error
