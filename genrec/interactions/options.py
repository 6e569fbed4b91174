"""The options by which every program reads tables: which column means what, and how it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrec.interactions.defects import ProblemKind
from genrec.interactions.mapping import ColumnMapping
from genrec.interactions.reading import TableFormat
from genrec.interactions.times import TimeUnit

Out = Annotated[Path, typer.Option(help="The data folder to write, as RUN/data.")]
Force = Annotated[bool, typer.Option(help="Make it anew even if nothing has changed.")]
User = Annotated[str, typer.Option(help="Column of the user ids.")]
Item = Annotated[str, typer.Option(help="Column of the item ids.")]
Time = Annotated[
    str | None,
    typer.Option(
        help="Column of the times: numbers since 1970, dates or ISO 8601 text (UTC without a zone)."
        " A column timestamp is taken unasked."
    ),
]
Unit = Annotated[TimeUnit, typer.Option(help="What numbers in the time column count.")]
Format = Annotated[
    str | None,
    typer.Option(
        help="How the times are written: a pattern such as '%d/%m/%Y %H:%M', or excel, yyyymmdd, "
        "yyyymmddhhmmss; found out where that is no guess."
    ),
]
Position = Annotated[
    str | None,
    typer.Option(
        help="Column of the place in the user's history; the order where it is given. A column "
        "position is taken unasked only where there is no time."
    ),
]
Event = Annotated[str | None, typer.Option(help="Column that says what was done.")]
EventIn = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", help="Keep only events of these kinds; needs --event."),
]
Value = Annotated[str | None, typer.Option(help="Column of a rating or an amount.")]
MinValue = Annotated[
    float | None, typer.Option(help="Keep only rows whose value is at least this; needs --value.")
]
Context = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN", help="A further column to keep. Repeatable.")
]
Separator = Annotated[
    str | None, typer.Option(help="Between the columns of a text file; found out if left out.")
]
Encoding = Annotated[
    str | None, typer.Option(help="Of the text files, such as latin-1; UTF-8 if left out.")
]
Quote = Annotated[
    str,
    typer.Option(help="What stands around values of a text file; `none`: quotes are ordinary."),
]
Header = Annotated[
    bool, typer.Option("--header/--no-header", help="Does the first line name the columns?")
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", help="Names of all columns in order; they replace a header's."),
]
Explode = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", help="List columns to unroll into rows, side by side."),
]
Items = Annotated[
    Path | None,
    typer.Option(
        help="Table of the items; all its columns are kept. Without it the catalogue is the items "
        "of the log, without titles."
    ),
]
ItemId = Annotated[str, typer.Option(help="Column of the item ids in --items.")]
Title = Annotated[
    str | None, typer.Option(help="Column of the titles in --items; `title` where there is one.")
]
Drop = Annotated[
    list[str] | None,
    typer.Option(metavar="KIND", help="Leave out rows with this kind of problem. Repeatable."),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND", help="Rows with this kind of problem are meant so and stay. Repeatable."
    ),
]
Strip = Annotated[bool, typer.Option("--strip", help="Take the blanks around ids off.")]


def mapping_of(
    user: str,
    item: str,
    time: str | None,
    position: str | None,
    event: str | None,
    event_in: str | None,
    value: str | None,
    min_value: float | None,
    context: list[str] | None,
    time_unit: TimeUnit,
    time_format: str | None,
) -> ColumnMapping:
    """Which column means what, by these options."""
    return ColumnMapping(
        user=user,
        item=item,
        time=time,
        position=position,
        event=event,
        event_in=split_names(event_in) or (),
        value=value,
        min_value=min_value,
        context=tuple(context or ()),
        time_unit=time_unit,
        time_format=time_format,
    )


def table_format_of(
    separator: str | None,
    encoding: str | None,
    quote: str,
    header: bool,
    columns: str | None,
    explode: str | None,
    drop: list[str] | None,
) -> TableFormat:
    """How a table is read, by these options."""
    return TableFormat(
        separator=separator,
        encoding=encoding,
        quote=quote,
        has_header=header,
        columns=split_names(columns),
        explode=split_names(explode) or (),
        drop_unreadable=ProblemKind.UNREADABLE_ROW in (drop or ()),
    )


def split_names(names: str | None) -> tuple[str, ...] | None:
    """Names between commas; None where none are given."""
    return None if names is None else tuple(name.strip() for name in names.split(","))
