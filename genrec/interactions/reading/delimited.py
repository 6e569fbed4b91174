"""Tables in delimited text."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from genrec.errors import InputError
from genrec.interactions.reading.encoding import decode_text
from genrec.interactions.reading.table_format import TableFormat, TableReading

__all__ = ["read_delimited"]


def read_delimited(
    content: bytes, source: str, text_columns: Sequence[str], table_format: TableFormat
) -> TableReading:
    """The table, and which of its rows could not be read."""
    if not content:
        return TableReading(frame=pl.DataFrame())
    content = decode_text(content, source, table_format.encoding)
    header = content.split(b"\n", 1)[0]
    separator = table_format.separator or max(",\t;|", key=lambda s: header.count(s.encode()))
    try:
        frame = pl.read_csv(
            content,
            separator=separator,
            quote_char=table_format.quote,
            has_header=table_format.has_header,
            new_columns=list(table_format.columns) if table_format.columns else None,
            infer_schema_length=None,
            schema_overrides=dict.fromkeys(text_columns, pl.String()),
        )
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"{source} cannot be read ({error}); UTF-8, every line as long as the header"
        ) from error
    return TableReading(frame=frame)
