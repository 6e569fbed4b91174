"""The rows of delimited text: where each stands, and which of them cannot be read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from genrec.interactions.reading.lines import count_lines, find_line_end
from genrec.interactions.reading.row_like import RowLike

__all__ = ["Dialect", "Record", "RecordScan", "parse_record", "sample_records", "scan_records"]

ROWS_TRIED = 200


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How fields are told apart: separator and quote are one byte each."""

    separator: bytes
    quote: bytes | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row as its fields, or why it is none."""

    fields: list[bytes]
    end: int
    """Where the next row begins."""
    num_lines: int = 1
    fault: str = ""


@dataclass(kw_only=True)
class RecordScan:
    """What a look at every line found."""

    num_rows: int = 0
    """Rows that can be read."""
    edits: list[tuple[int, int, bytes]] = field(default_factory=list)
    """Parts of the text to be replaced, so that any reader of CSV takes the rows as they are."""
    faults: list[tuple[int, bytes, str]] = field(default_factory=list)
    """Line (0-based), its text and what is wrong, for each row that cannot be read."""
    bad_widths: list[int] = field(default_factory=list)
    """Fields of the rows that have another number of them than there are columns."""
    num_quote_faults: int = 0
    """Rows whose quotes are what is wrong."""

    def add_fault(self, line: int, text: bytes, fault: str, num_fields: int) -> None:
        """Notes a row that cannot be read."""
        self.faults.append((line, text, fault))
        if fault.endswith("field(s)"):
            self.bad_widths.append(num_fields)
        elif "quote" in fault:
            self.num_quote_faults += 1

    def apply_edits(self, content: bytes, begin: int) -> bytes:
        """The text from `begin` on, with only the rows that can be read."""
        parts = []
        for start, end, replacement in self.edits:
            parts += [content[begin:start], replacement]
            begin = end
        return b"".join([*parts, content[begin:]]) if parts else content[begin:]


def parse_record(content: bytes, start: int, dialect: Dialect) -> Record:
    """The row that begins at `start`, over as many lines as its quoted values take.

    A quote opens a value only at the value's beginning, and closes it only before a separator or
    the end of a line. Elsewhere it is an ordinary character. A faulty row takes one line alone.
    """
    separator, quote = dialect.separator, dialect.quote
    fields: list[bytes] = []
    place = start
    while True:
        if quote is not None and content.startswith(quote, place):
            close = _find_closing_quote(content, place + 1, quote)
            if close < 0 or content[close + 1 : close + 2] not in (separator, b"\n", b""):
                return _faulty(content, start, close)
            fields.append(content[place + 1 : close].replace(quote * 2, quote))
            place = close + 1
        else:
            line_end = find_line_end(content, place)
            end = content.find(separator, place, line_end)
            end = line_end if end < 0 else end
            fields.append(content[place:end])
            place = end
        if content[place : place + 1] != separator:
            num_lines = content.count(b"\n", start, place) + 1
            return Record(fields=fields, end=place + 1, num_lines=num_lines)
        place += 1


def sample_records(
    content: bytes, begin: int, width: int, dialect: Dialect, limit: int = ROWS_TRIED
) -> list[list[bytes]]:
    """Of the first `limit` rows, the fields of those that have `width` of them."""
    rows: list[list[bytes]] = []
    for _ in range(limit):
        if begin >= len(content):
            break
        record = parse_record(content, begin, dialect)
        begin = record.end
        if len(record.fields) == width:
            rows.append(record.fields)
    return rows


def scan_records(content: bytes, begin: int, width: int, dialect: Dialect) -> RecordScan:
    """Looks at every line from `begin` on; a row needs `width` fields.

    Lines of plain fields are only counted. The others are parsed one by one.
    """
    starts, plain = count_lines(content, begin, width, dialect.separator, dialect.quote)
    row_like = RowLike(sample_records(content, begin, width, dialect), dialect.separator)
    whole = _whole_line(width, dialect)
    scan = RecordScan(num_rows=int(plain.sum()))
    taken = 0  # lines before this one belong to a row that is known already
    for line in np.flatnonzero(~plain).tolist():
        if line < taken:
            continue
        start, end = int(starts[line]), int(starts[line + 1])
        text = content[start:end].removesuffix(b"\n")
        if not text.strip() and dialect.separator not in text:
            scan.edits.append((start, end, b""))
            continue
        if whole is not None and whole.fullmatch(text) and b"\0" not in text:
            scan.num_rows += 1
            continue
        record = parse_record(content, start, dialect)
        fault = "has a NUL byte" if b"\0" in text else record.fault
        fault = fault or _find_fault(content, start, record, width, row_like)
        if fault:
            scan.add_fault(line, text, fault, len(record.fields))
            scan.edits.append((start, end, b""))
            continue
        # A line inside of quotes may have been counted as a row of its own.
        taken = line + record.num_lines
        scan.num_rows += 1 - int(plain[line:taken].sum())
        if record.num_lines == 1:
            scan.edits.append((start, end, _write(record.fields, dialect)))
    return scan


def _find_fault(content: bytes, start: int, record: Record, width: int, row_like: RowLike) -> str:
    """What is wrong with a row whose quotes are closed; empty where nothing is."""
    if len(record.fields) != width:
        return f"has {len(record.fields)} field(s)"
    inner = content[start : record.end].removesuffix(b"\n").split(b"\n")[1:]
    if any(row_like.matches(line) for line in inner):
        return f"a quote joins {record.num_lines} lines from here, and they look like rows"
    return ""


def _whole_line(width: int, dialect: Dialect) -> re.Pattern[bytes] | None:
    """A row on one line whose every value is quoted or has no quote; None without quotes."""
    if dialect.quote is None:
        return None
    quote, separator = re.escape(dialect.quote), re.escape(dialect.separator)
    value = rb"(?:%b(?:[^%b]++|%b%b)*+%b|[^%b%b]*+)" % (*[quote] * 5, quote, separator)
    return re.compile(rb"%b(?:%b%b){%d}" % (value, separator, value, width - 1))


def _write(fields: list[bytes], dialect: Dialect) -> bytes:
    """The row as CSV, with quotes around what needs them."""
    quote, separator = dialect.quote, dialect.separator
    if quote is not None:
        fields = [
            quote + value.replace(quote, quote * 2) + quote
            if quote in value or separator in value
            else value
            for value in fields
        ]
    return separator.join(fields) + b"\n"


def _find_closing_quote(content: bytes, place: int, quote: bytes) -> int:
    """The next quote that is not doubled, or -1."""
    while (place := content.find(quote, place)) >= 0:
        if not content.startswith(quote, place + 1):
            return place
        place += 2
    return -1


def _faulty(content: bytes, start: int, close: int) -> Record:
    line_end = find_line_end(content, start)
    fault = "a quote opens and does not close"
    if 0 <= close < line_end:
        fault = "text follows the quote that closes a value"
    return Record(fields=[], end=line_end + 1, fault=fault)
