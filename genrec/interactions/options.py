"""The options by which every program reads tables: which column means what, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from genrec.errors import DataError, InputError
from genrec.interactions.defects import ProblemKind
from genrec.interactions.mapping import CatalogueMapping, ColumnMapping
from genrec.interactions.reading import (
    TableFormat,
    TableReading,
    is_text_file,
    read_table,
    read_table_counted,
)
from genrec.interactions.times import TimeUnit
from genrec.option_records import OptionRecord, Prefixed

__all__ = [
    "IdColumn",
    "ImportOptions",
    "ItemColumns",
    "LogOptions",
    "RowOptions",
    "TextOptions",
    "split_names",
]


@dataclass(frozen=True, kw_only=True)
class TextOptions(OptionRecord):
    """How the text of a table is read."""

    separator: Annotated[
        str | None,
        typer.Option(help="Between the columns of a text file; found out if left out."),
    ] = None
    encoding: Annotated[
        str | None, typer.Option(help="Of the text files, such as latin-1; UTF-8 if left out.")
    ] = None
    quote: Annotated[
        str,
        typer.Option(help="What stands around values of a text file; `none`: quotes are ordinary."),
    ] = '"'
    header: Annotated[bool, typer.Option(help="Does the first line name the columns?")] = True
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…", help="Names of all columns in order; they replace a header's."
        ),
    ] = None

    def table_format(
        self, *, explode: tuple[str, ...] = (), drop: Collection[str] = ()
    ) -> TableFormat:
        """The same for `read_table`, with columns to unroll and kinds of defects to drop."""
        return TableFormat(
            separator=self.separator,
            encoding=self.encoding,
            quote=self.quote,
            has_header=self.header,
            columns=split_names(self.columns),
            explode=explode,
            drop_unreadable=ProblemKind.UNREADABLE_ROW in drop,
        )


@dataclass(frozen=True, kw_only=True)
class LogOptions(OptionRecord):
    """Which column of a log means what, and which of its rows are meant."""

    item: Annotated[str, typer.Option(help="Column of the item ids.")] = "item_id"
    time: Annotated[
        str | None,
        typer.Option(
            help="Column of the times: numbers since 1970, dates or ISO 8601 text (UTC without a "
            "zone). A column timestamp is taken unasked."
        ),
    ] = None
    time_unit: Annotated[TimeUnit, typer.Option(help="What numbers in the time column count.")] = (
        TimeUnit.AUTO
    )
    time_format: Annotated[
        str | None,
        typer.Option(
            help="How the times are written: a pattern such as '%d/%m/%Y %H:%M', or excel, "
            "yyyymmdd, yyyymmddhhmmss; found out where that is no guess."
        ),
    ] = None
    position: Annotated[
        str | None,
        typer.Option(
            help="Column of the place in the user's history; the order where it is given. A "
            "column position is taken unasked only where there is no time."
        ),
    ] = None
    event: Annotated[str | None, typer.Option(help="Column that says what was done.")] = None
    event_in: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="Keep only events of these kinds; needs --event."),
    ] = None
    value: Annotated[str | None, typer.Option(help="Column of a rating or an amount.")] = None
    min_value: Annotated[
        float | None,
        typer.Option(help="Keep only rows whose value is at least this; needs --value."),
    ] = None

    def mapping(self, *, user: str, context: tuple[str, ...] = ()) -> ColumnMapping:
        """The same with the column of the user ids and further columns to keep."""
        return ColumnMapping(
            user=user,
            item=self.item,
            time=self.time,
            position=self.position,
            event=self.event,
            event_in=split_names(self.event_in) or (),
            value=self.value,
            min_value=self.min_value,
            context=context,
            time_unit=self.time_unit,
            time_format=self.time_format,
        )


@dataclass(frozen=True, kw_only=True)
class RowOptions(OptionRecord):
    """What becomes of the rows of a log."""

    explode: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="List columns to unroll into rows, side by side."),
    ] = None
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Leave out rows with this kind of problem. Repeatable."),
    ] = None
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Rows with this kind of problem are meant so and stay. Repeatable.",
        ),
    ] = None
    strip: Annotated[bool, typer.Option("--strip", help="Take the blanks around ids off.")] = False

    def table_format(self, text: TextOptions) -> TableFormat:
        """How the table is read, by these options and those of its text."""
        return text.table_format(explode=split_names(self.explode) or (), drop=self.drop or ())


@dataclass(frozen=True, kw_only=True)
class IdColumn(OptionRecord):
    """Which column of a table of items holds their ids."""

    item_id: Annotated[str, typer.Option(help="Column of the item ids in --items.")] = "item_id"


@dataclass(frozen=True, kw_only=True)
class ItemColumns(IdColumn):
    """Which column of a table of items means what."""

    title: Annotated[
        str | None,
        typer.Option(help="Column of the titles in --items; `title` where there is one."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ImportOptions(OptionRecord):
    """Everything that decides how a log and its items become a data set."""

    user: Annotated[str, typer.Option(help="Column of the user ids.")] = "user_id"
    log: LogOptions
    context: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A further column to keep. Repeatable."),
    ] = None
    text: TextOptions
    rows: RowOptions
    items: Annotated[
        Path | None,
        typer.Option(
            help="Table of the items; all its columns are kept. Without it the catalogue is the "
            "items of the log, without titles."
        ),
    ] = None
    item_columns: ItemColumns
    text_columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…",
            help="Columns of --items that describe an item to the text encoder; all if left out.",
        ),
    ] = None
    items_text: Annotated[TextOptions, Prefixed("items", "Of --items")]

    @property
    def mapping(self) -> ColumnMapping:
        """What the columns of the log mean."""
        return self.log.mapping(user=self.user, context=tuple(self.context or ()))

    @property
    def item_mapping(self) -> CatalogueMapping:
        """What the columns of the items table mean."""
        return CatalogueMapping(
            item_id=self.item_columns.item_id,
            title=self.item_columns.title,
            text_columns=split_names(self.text_columns),
        )

    @property
    def table_format(self) -> TableFormat:
        """How the log is read."""
        return self.rows.table_format(self.text)

    @property
    def items_format(self) -> TableFormat:
        """How the items table is read; it has the log's encoding where it names none."""
        text = self.items_text
        if text.encoding is None and self.items is not None and is_text_file(self.items):
            text = replace(text, encoding=self.text.encoding)
        return text.table_format(drop=self.rows.drop or ())

    def read_tables(self, file: Path) -> tuple[TableReading, pl.DataFrame | None]:
        """The log of `file`, and the items where there is a table of them.

        Raises:
            InputError: one of them cannot be read as what its name says.
            DataError: rows of one cannot be read.
        """
        reading = read_table_counted(
            file, text_columns=self.mapping.text_columns, table_format=self.table_format
        )
        if self.items is None:
            return reading, None
        as_text = (self.item_columns.item_id, self.item_columns.title or "title")
        how = self.items_format
        with options_named_for_items():
            return reading, read_table(self.items, text_columns=as_text, table_format=how)

    def wishes(self) -> dict[str, Any]:
        """What `import_interactions` and `check_log` take beside tables and mappings."""
        return {
            "drop": sorted(self.rows.drop or []),
            "keep": sorted(self.rows.keep or []),
            "strip": self.rows.strip,
        }


@contextmanager
def options_named_for_items() -> Iterator[None]:
    """Inside it, messages name the options of --items, such as --items-columns for --columns."""
    try:
        yield
    except DataError as error:
        problems = [replace(each, detail=_for_items(each.detail)) for each in error.problems]
        raise DataError(error.source, problems) from error
    except InputError as error:
        raise type(error)(_for_items(str(error))) from error


def _for_items(message: str) -> str:
    message = re.sub(r"--(separator|encoding|quote|columns)\b", r"--items-\1", message)
    return message.replace("--no-header", "--no-items-header")


def split_names(names: str | None) -> tuple[str, ...] | None:
    """Names between commas; None where none are given."""
    return None if names is None else tuple(name.strip() for name in names.split(","))
