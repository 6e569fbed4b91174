"""Recommends the next items for a history, a known person, or a whole file of people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
import typer
from rich.table import Table

import genrec
from genrec import artifacts, console
from genrec.errors import GenrecError, InputError
from genrec.funnel import (
    METHODS,
    MODELS,
    FileReport,
    HistoryReading,
    Question,
    RecommendedList,
    Recommender,
    check_output,
    parse_history,
    recommend_file,
    trained_split,
)
from genrec.interactions import table_digest
from genrec.interactions.options import LogOptions, RowOptions, TextOptions
from genrec.option_records import takes_records

if TYPE_CHECKING:
    from genrec.generator import SlateConfig

STDERR = 2
"""The file descriptor, which stays where it is while tests look at `sys.stderr`."""

OneHistory = Annotated[
    str | None,
    typer.Option(help="Item ids, oldest first: a,b,c or a JSON list. '' for a new person."),
]
UserOrColumn = Annotated[
    str | None,
    typer.Option(
        help="A user id; without --history, what the data knows of it. With --histories, the "
        "column of the user ids."
    ),
]
Budget = Annotated[
    float | None, typer.Option(help="Milliseconds for the answer; no deadline without it.")
]
Slate = Annotated[
    bool, typer.Option("--slate", help="Choose every item in the knowledge of those before it.")
]
Policy = Annotated[
    str | None, typer.Option(help="allow or mask; the data set's own policy without it.")
]
Refit = Annotated[
    bool | None,
    typer.Option(
        "--refit/--no-refit",
        help="Train on all data first, or do not even use such models that are there.",
    ),
]

app = console.program(__doc__)


@app.command()
@takes_records
def recommend(
    *,
    run: Annotated[Path, typer.Option(help="The run folder.")],
    history: OneHistory = None,
    user: UserOrColumn = None,
    k: Annotated[int, typer.Option("-k", help="Items to recommend.")] = 10,
    budget_ms: Budget = None,
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "combined",
    slate: Slate = False,
    repeats: Policy = None,
    refit: Refit = None,
    histories: Annotated[
        Path | None, typer.Option(help="A log of people and what they had, as `data import` reads.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The Parquet file to write for it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    log: LogOptions,
    text: TextOptions,
    rows: RowOptions,
) -> None:
    require_one_question(history, user, histories, out, budget_ms)
    items = None if history is None else parse_history(history)
    reading = HistoryReading(
        mapping=log.mapping(user=user or "user_id"),
        table_format=rows.table_format(text),
        drop=tuple(rows.drop or ()),
        keep=tuple(rows.keep or ()),
        strip=rows.strip,
    )
    if histories is not None and out is not None:
        check_output(out)
        table_digest(histories)  # which says so where it cannot be read
    if refit:
        train_on_everything(run)
    if histories is None:
        torch.set_num_threads(1)  # a small product on two threads waits for whoever holds a core
    way = slate_config() if slate else None
    recommender = Recommender.load(
        run, method=method, repeats=repeats, refit=refit, warm_up=budget_ms is not None, slate=way
    )
    if histories is not None and out is not None:
        report = recommend_file(recommender, histories, out, k=k, reading=reading)
        show_file(report, out, as_json)
        return
    found = recommender.answer(Question(history=items, user_id=user), k=k, budget_ms=budget_ms)
    show(recommender, found, as_json)


def require_one_question(
    history: str | None,
    user: str | None,
    histories: Path | None,
    out: Path | None,
    budget_ms: float | None,
) -> None:
    """Raises an InputError unless one person is asked about, or a file of people."""
    if (histories is None) != (out is None) or (history is None and user is None and not histories):
        raise InputError("give --history or --user, or else --histories together with --out")
    if histories is not None and history is not None:
        raise InputError("give --history for one person or --histories for a file, not both")
    if histories is not None and budget_ms is not None:
        raise InputError("a file has no deadline; leave --budget-ms out")


def slate_config() -> SlateConfig:
    """How slates are made; --help need not wait for the model's libraries."""
    from genrec.generator import SlateConfig

    return SlateConfig()


def train_on_everything(run: Path) -> None:
    """Runs the training programs with --refit; what is up to date they leave as it is.

    Raises:
        ArtifactMissingError: the run has not been trained yet.
        GenrecError: a program failed.
    """
    split = trained_split({name: artifacts.read(run / name, kind=name) for name in MODELS})
    paths = [str(Path(genrec.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    for program in ("generator", "two-tower", "ranker"):
        words = ["genrec", "train", program, "--run", str(run), "--refit", "--split", split]
        # Its output goes to stderr, so that --json prints nothing but JSON.
        done = subprocess.run(
            [sys.executable, "-m", *words], env=environment, stdout=STDERR, check=False
        )
        if done.returncode:
            raise GenrecError(f"`{' '.join(words)}` failed; its message stands above")


def show_file(report: FileReport, out: Path, as_json: bool) -> None:
    """Says what was done for a whole file."""
    if as_json:
        console.say(json.dumps({"out": str(out), **vars(report)}))
        return
    if report.up_to_date:
        console.say(f"{out} is up to date: {report.num_rows:,} rows")
    else:
        resumed = f", {report.num_resumed:,} of them earlier" if report.num_resumed else ""
        console.say(f"{out}: {report.num_rows:,} rows for {report.num_users:,} people{resumed}")
    if report.num_unknown_items:
        console.say(
            f"note: {report.num_unknown_items:,} id(s) of the histories are not in the catalogue; "
            f"of {report.num_unknown_histories:,} people nothing is known"
        )


def as_tree(recommender: Recommender, found: RecommendedList) -> dict[str, object]:
    """The answer as JSON values."""
    return {
        "served_by": found.served_by,
        "backend": found.backend,
        "refit": recommender.refit,
        "total_ms": found.total_ms,
        "stage_ms": dict(found.stage_ms),
        "num_unknown_items": found.num_unknown_items,
        "is_history_unknown": found.is_history_unknown,
        "items": [
            {key: value for key, value in vars(item).items() if key != "served_by"}
            for item in found.items
        ],
    }


def show(recommender: Recommender, found: RecommendedList, as_json: bool) -> None:
    """The answer, for people or as JSON."""
    if as_json:
        console.say(json.dumps(as_tree(recommender, found), indent=1))
        return
    table = Table("", "item", "title", "score")
    for item in found.items:
        table.add_row(str(item.rank), item.item_id, item.title or "", f"{item.score:.4g}")
    stages = ", ".join(f"{name} {taken:.1f}" for name, taken in found.stage_ms.items())
    trained = "all data" if recommender.refit else "the training part of the data"
    console.show(table)
    console.say(f"served by {found.served_by} in {found.total_ms:.1f} ms ({stages})")
    console.say(f"models trained on {trained}")
    if found.is_history_unknown:
        console.say(
            f"note: none of the {found.num_unknown_items:,} id(s) of the history is in the "
            "catalogue; this is the answer for a new person"
        )
    elif found.num_unknown_items:
        console.say(
            f"note: {found.num_unknown_items:,} id(s) of the history are not in the catalogue and "
            "were left out"
        )


def main(argv: list[str] | None = None) -> None:
    """Runs the program."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
