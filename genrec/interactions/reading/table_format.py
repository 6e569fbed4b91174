"""How a table shall be read, and what came out of it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

import polars as pl

from genrec.errors import InputError, Problem

__all__ = ["UNREADABLE_ROW", "TableFormat", "TableReading"]

UNREADABLE_ROW = "unreadable-row"
"""The kind of problem that a row has which cannot be read."""

NO_SEPARATOR = set('\r\n"')


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    """How the text of a table is read; what is None is found out.

    A program offers `--separator TEXT`, `--encoding NAME`, `--quote CHARACTER` (`none` for None),
    `--no-header`, `--columns a,b,c`, `--explode a,b` and `--drop unreadable-row`; messages name
    these options.
    """

    separator: str | None = None
    """Between the columns of a text file; may be longer than one character, such as `::`. The
    two characters `\\t`, as a shell hands them over, are a tab."""
    encoding: str | None = None
    """Of a text file, by Python's name; None is UTF-8, with or without a byte order mark."""
    quote: str | None = '"'
    """What stands around a value that holds separators or line breaks; None or `none`: quotes
    are ordinary characters."""
    has_header: bool = True
    """Whether the first line of delimited text names the columns."""
    columns: tuple[str, ...] | None = None
    """The columns' names, in order, where there is no header; with a header, or in memory, they
    replace the names that are there."""
    explode: tuple[str, ...] = ()
    """List columns to unroll into a row an element, all of them side by side; paths such as
    `session.items` name lists inside of structs."""
    drop_unreadable: bool = False
    """Leave out the rows that cannot be read, counted and logged, instead of refusing the table."""

    def __post_init__(self) -> None:
        if self.separator == "\\t":
            object.__setattr__(self, "separator", "\t")
        if self.quote == "none":
            object.__setattr__(self, "quote", None)
        if self.separator is not None and (
            not self.separator or set(self.separator) & set('\r\n"')
        ):
            raise InputError(
                f"a separator is text without quotes and line breaks, got {self.separator!r}"
            )
        if self.quote is not None and (
            len(self.quote) != 1 or not self.quote.isascii() or self.quote.isalnum()
        ):
            raise InputError(f"a quote is one character such as '\"', or none, got {self.quote!r}")
        if self.quote is not None and self.quote == self.separator:
            raise InputError(f"separator and quote are both {self.quote!r}")
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.columns is not None:
            _check_columns(self.columns)
        if len(set(self.explode)) < len(self.explode):
            raise InputError(f"a column to unroll is named twice: {list(self.explode)}")
        if not self.has_header and self.columns is None:
            raise InputError(
                "a table without a header needs names for its columns, in order: "
                "--columns user_id,item_id,timestamp"
            )


def _check_columns(columns: tuple[str, ...]) -> None:
    if not columns or not all(columns):
        raise InputError(f"a column name is empty in {list(columns)}")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise InputError(f"columns are named twice: {twice}; each needs a name of its own")


def _check_encoding(encoding: str) -> None:
    try:
        is_text = codecs.lookup(encoding)._is_text_encoding
    except (LookupError, ValueError):
        is_text = False
    if not is_text:
        raise InputError(
            f"there is no encoding {encoding!r}; name one such as utf-8, latin-1, cp1252 or utf-16"
        )


@dataclass(frozen=True, kw_only=True)
class TableReading:
    """A table, and which of its rows could not be read."""

    frame: pl.DataFrame
    """The rows that could be read."""
    unreadable: Problem | None = None
    """Rows that were left out because they cannot be read (`drop_unreadable`): kind
    `unreadable-row`, the count, and the first of them in words; None where there are none."""

    @property
    def num_unreadable(self) -> int:
        """Rows that were left out because they cannot be read."""
        return self.unreadable.count if self.unreadable else 0
