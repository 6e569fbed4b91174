"""Tables in delimited text: every line is looked at before a row is believed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import polars as pl

from genrec.errors import DataError, InputError, Problem
from genrec.interactions.reading.encoding import decode_text
from genrec.interactions.reading.failures import POLARS_ERRORS, shorten
from genrec.interactions.reading.header import check_names, clean_names, refuse_data_as_names
from genrec.interactions.reading.records import (
    Dialect,
    RecordScan,
    parse_record,
    sample_records,
    scan_records,
)
from genrec.interactions.reading.table_format import UNREADABLE_ROW, TableFormat, TableReading

__all__ = ["read_delimited"]

CANDIDATES = ("::", "\t", ",", ";", "|")
STAND_INS = (b"\x1f", b"\x1e", b"\x1d", b"\x1c", b"\x01")
LINES_TRIED = 20
BYTES_TRIED = 1 << 18
FAULTS_SHOWN = 3


def read_delimited(
    content: bytes, source: str, text_columns: Sequence[str], table_format: TableFormat
) -> TableReading:
    """The table, and which of its rows could not be read.

    Args:
        content: the file, unpacked.
        source: how messages call it.
        text_columns: columns whose type is not guessed.
        table_format: how it is read.

    Raises:
        InputError: it is of another encoding, or its first line names no columns.
        DataError: rows cannot be read, and they are not to be left out.
    """
    content = decode_text(content, source, table_format.encoding)
    if not content or content.isspace():
        return TableReading(frame=pl.DataFrame())
    first = len(content) - len(content.lstrip(b"\n"))
    quote = table_format.quote.encode() if table_format.quote else None
    separator = table_format.separator or _sniff_separator(content[first:], quote)
    content, byte = _stand_in(content, separator, source)
    dialect = Dialect(separator=byte, quote=quote)
    names, begin = _read_names(content, first, dialect, source, text_columns, table_format)
    scan = scan_records(content, begin, len(names), dialect)
    unreadable = _tell_faults(scan, content, begin, source, separator, names, dialect)
    if unreadable is not None and not table_format.drop_unreadable:
        raise DataError(source, [unreadable])
    rows = scan.apply_edits(content, begin)
    frame = _parse(rows, scan.num_rows, names, text_columns, dialect)
    if len(separator.encode()) > 1:
        frame = frame.with_columns(
            pl.col(pl.String).str.replace_all(byte.decode(), separator, literal=True)
        )
    return TableReading(frame=frame, unreadable=unreadable)


def _sniff_separator(content: bytes, quote: bytes | None) -> str:
    """The separator that the first lines have alike, the first one most of; else a comma."""
    lines = content[:BYTES_TRIED].split(b"\n", LINES_TRIED)[:LINES_TRIED]
    texts = [line.decode("utf-8", "replace") for line in lines if line.strip()] or [""]
    if quote is not None:
        mark = re.escape(quote.decode())
        texts = [re.sub(f"{mark}[^{mark}]*{mark}", "", text) for text in texts]

    def judge(candidate: str) -> tuple[bool, int]:
        counts = [text.count(candidate) for text in texts]
        return len(set(counts)) == 1, counts[0]

    there = [candidate for candidate in CANDIDATES if candidate in texts[0]]
    if there:
        return max(there, key=judge)
    is_alike, count = judge(" ")
    return " " if is_alike and count else ","


def _stand_in(content: bytes, separator: str, source: str) -> tuple[bytes, bytes]:
    """The text with one byte for a separator of several, and that byte."""
    text = separator.encode()
    if len(text) == 1:
        return content, text
    free = next((byte for byte in STAND_INS if byte not in content), None)
    if free is None:
        raise InputError(
            f"{source} cannot be read with the separator {separator!r}: it holds control "
            "characters; write it with a separator of one character"
        )
    return content.replace(text, free), free


def _read_names(
    content: bytes,
    first: int,
    dialect: Dialect,
    source: str,
    text_columns: Sequence[str],
    table_format: TableFormat,
) -> tuple[list[str], int]:
    """The columns' names, and where the rows begin."""
    given = table_format.columns
    if not table_format.has_header:
        assert given is not None
        return list(given), first
    line = content.count(b"\n", 0, first) + 1
    record = parse_record(content, first, dialect)
    if record.fault:
        raise InputError(
            f"{source} line {line}, the header: {record.fault}; mend it, or say --quote none "
            "if quotes are ordinary characters"
        )
    if b"\0" in content[first : record.end]:
        raise InputError(
            f"{source} line {line}, the header, has NUL bytes: it is no text, or in an encoding "
            "such as --encoding utf-16-le"
        )
    names = clean_names([cell.decode() for cell in record.fields])
    if given is None:
        sample = sample_records(content, record.end, len(names), dialect)
        rows = [[value.decode() for value in fields] for fields in sample]
        refuse_data_as_names(names, rows, text_columns, source, line)
        check_names(names, source, line)
        return names, record.end
    return list(given), record.end


def _tell_faults(
    scan: RecordScan,
    content: bytes,
    begin: int,
    source: str,
    separator: str,
    names: list[str],
    dialect: Dialect,
) -> Problem | None:
    """The rows that cannot be read as a person is told of them; None where there are none."""
    if not scan.faults:
        return None
    first_line = content.count(b"\n", 0, begin) + 1
    told = []
    for line, text, fault in scan.faults[:FAULTS_SHOWN]:
        shown = shorten(text.replace(dialect.separator, separator.encode()).decode())
        told.append(f"line {first_line + line}: {fault}: {shown}")
    if len(scan.faults) > FAULTS_SHOWN:
        told.append(f"and {len(scan.faults) - FAULTS_SHOWN} more")
    remedies = ["Mend these rows."] if len(scan.bad_widths) < len(scan.faults) else []
    if scan.bad_widths:
        remedies.append(_explain_widths(scan, names, separator))
    if scan.num_quote_faults:
        remedies.append(
            "If quotes are ordinary characters, say --quote none. If they stand around values with "
            "line breaks, write the table as JSON lines or Parquet."
        )
    return Problem(
        kind=UNREADABLE_ROW,
        count=len(scan.faults),
        rows=(),
        droppable=scan.num_rows > 0,
        detail=f"{source} {'; '.join(told)}. {' '.join(remedies)}",
    )


def _explain_widths(scan: RecordScan, names: list[str], separator: str) -> str:
    width, count = Counter(scan.bad_widths).most_common(1)[0]
    columns = f"There are {len(names)} columns ({', '.join(names)})"
    if count <= scan.num_rows:
        return f"{columns}. Put quotes around values that hold {separator!r}."
    return (
        f"{columns}, but {count} row(s) have {width} field(s). Name all {width} columns with "
        "--columns, or take lines before the header away, or say with --separator what divides it."
    )


def _parse(
    content: bytes, num_rows: int, names: list[str], text_columns: Sequence[str], dialect: Dialect
) -> pl.DataFrame:
    """The rows, which are known to be right, as a frame under these names."""
    if not num_rows:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    as_text = {name: pl.String() for name in text_columns if name in names}
    try:
        frame = pl.read_csv(
            content,
            separator=dialect.separator.decode(),
            quote_char=dialect.quote.decode() if dialect.quote else None,
            has_header=False,
            new_columns=names,
            infer_schema_length=None,
            schema_overrides=as_text,
        )
    except POLARS_ERRORS:
        frame = None  # a number too large for its type, or a line break that polars stumbles over
    if frame is not None and frame.height == num_rows:
        return frame
    rows = sample_records(content, 0, len(names), dialect, limit=num_rows)
    assert len(rows) == num_rows, "a row that was looked at is another one now"
    columns = [[value.decode() or None for value in column] for column in zip(*rows, strict=True)]
    return pl.DataFrame(
        [
            _guess_type(pl.Series(name, column, dtype=pl.String), is_text=name in as_text)
            for name, column in zip(names, columns, strict=True)
        ]
    )


def _guess_type(column: pl.Series, *, is_text: bool) -> pl.Series:
    for dtype in () if is_text else (pl.Int64, pl.Float64):
        try:
            return column.cast(dtype)
        except pl.exceptions.InvalidOperationError:
            continue
    return column
