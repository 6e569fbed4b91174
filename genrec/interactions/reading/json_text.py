"""Tables in JSON: an object a line, or one array of objects."""

from __future__ import annotations

import polars as pl

from genrec.errors import InputError
from genrec.interactions.reading.encoding import decode_text
from genrec.interactions.reading.table_format import TableFormat, TableReading

__all__ = ["read_json"]


def read_json(content: bytes, source: str, table_format: TableFormat) -> TableReading:
    """The table, and which of its rows could not be read."""
    if not content:
        return TableReading(frame=pl.DataFrame())
    content = decode_text(content, source, table_format.encoding)

    try:
        return TableReading(frame=pl.read_ndjson(content, infer_schema_length=None))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{source} cannot be read as JSON ({error})") from error
