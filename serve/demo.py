"""Takes interactions through every program, from the log to the comparison."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import torch
import typer

from genrec import artifacts, console
from genrec.__main__ import PROGRAMS, checkout, module_name
from genrec.errors import GenrecError, InputError
from genrec.funnel import format_history
from genrec.interactions import DATA_KIND, InteractionDataset, find_shortfalls

DATASET = "movielens-100k"
EXAMPLE = ["50", "172", "181"]
"""A history in MovieLens-100K: three films of one series."""
EVENTS_IN_EXAMPLE = 3

app = console.program(__doc__)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of the demonstration."""

    shown: str
    """As a person would type it."""
    run: list[str]
    """As it is started: with this very Python, whatever stands in PATH."""


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def demo(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A log (Parquet, CSV, JSONL), a folder with interactions.parquet and perhaps "
            "items.parquet, or a folder that `genrec data` made. Without it, MovieLens-100K. "
            "Options of `genrec data import`, such as --user or --time-format, are handed on to it."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    seed: Annotated[int | None, typer.Option(help="For every step that draws.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Print the commands, run none of them.")] = False,
) -> None:
    started = time.monotonic()
    is_imported = data is not None and (data / artifacts.MANIFEST_NAME).is_file()
    if context.args and (data is None or is_imported):
        raise InputError(
            f"{' '.join(context.args)}: only a log that is imported takes options of `genrec data "
            "import`; leave them out, or give the log with --data"
        )
    if data is not None and is_imported:
        take_over(data, out / "data", dry_run)
    else:
        perform(genrec("data", *data_words(data, out / "data"), *context.args), dry_run)
    if not dry_run:
        require_enough(out / "data")
    for step in fitting_steps(out, seed):
        perform(step, dry_run)
    history = EXAMPLE if data is None else example_history(out / "data", dry_run)
    asking = ["--run", str(out), "--history", format_history(history), "-k", "10"]
    perform(genrec("recommend", *asking), dry_run)
    perform(genrec("compare", "--run", str(out)), dry_run)
    if not dry_run:
        took = timedelta(seconds=round(time.monotonic() - started))
        console.say(f"\nall steps took {took}; the report: {out / 'report' / 'report.html'}")


def data_words(data: Path | None, target: Path) -> list[str]:
    """What to ask of `genrec data`.

    Raises:
        InputError: there is no log at `data`.
    """
    if data is None:
        return ["fetch", DATASET, "--out", str(target)]
    log = data / "interactions.parquet" if data.is_dir() else data
    if not log.is_file():
        raise InputError(
            f"there is no log at {log}; --data takes a table (Parquet, CSV, JSONL), or a folder "
            "with interactions.parquet"
        )
    items = data / "items.parquet"
    catalogue = ["--items", str(items)] if data.is_dir() and items.is_file() else []
    return ["import", str(log), *catalogue, "--out", str(target)]


def fitting_steps(out: Path, seed: int | None) -> list[Step]:
    """Everything between the data and the first answer."""
    folder = {name: str(out / name) for name in ("data", "embeddings", "two_tower", "semantic_ids")}
    drawn = [] if seed is None else ["--seed", str(seed)]
    return [
        genrec("embed", "--data", folder["data"], "--out", folder["embeddings"]),
        genrec("train two-tower", "--run", str(out), *drawn),
        genrec(
            *("tokenize", "--data", folder["data"], "--embeddings", folder["embeddings"]),
            *("--two-tower", folder["two_tower"], "--out", folder["semantic_ids"], *drawn),
        ),
        accelerated("train generator", "--run", str(out), *drawn),
        genrec("train ranker", "--run", str(out), *drawn),
    ]


def genrec(program: str, *arguments: str) -> Step:
    """The step that runs a program of genrec."""
    words = [*program.split(), *arguments]
    return Step(shown=shlex.join(["genrec", *words]), run=[sys.executable, "-m", "genrec", *words])


def accelerated(program: str, *arguments: str) -> Step:
    """The same through `accelerate launch`, which finds the machine's GPUs."""
    # Its own default is one thread, which would leave the other cores idle where there is no GPU.
    threads = ["--num_cpu_threads_per_process", str(torch.get_num_threads())]
    words = ["launch", *threads, "-m", module_name(PROGRAMS[program]), *arguments]
    return Step(
        shown=shlex.join(["accelerate", *words]),
        run=[sys.executable, "-m", "accelerate.commands.accelerate_cli", *words],
    )


def perform(step: Step, dry_run: bool) -> None:
    """Shows a step, runs it and says how long it took.

    Raises:
        GenrecError: it failed; its own message stands above.
    """
    console.say(f"{'' if dry_run else chr(10)}$ {step.shown}")
    if dry_run:
        return
    started = time.monotonic()
    code = subprocess.run(step.run, env=_environment(), check=False).returncode
    if code:
        raise GenrecError(
            f"`{step.shown}` ended with exit code {code}, its message stands above; what was "
            "finished before is kept, so the same `genrec demo` goes on from here"
        )
    console.say(f"({time.monotonic() - started:.1f} s)")


def take_over(source: Path, target: Path, dry_run: bool) -> None:
    """Copies a data folder into the run, if it is not there already.

    Raises:
        ArtifactError: the folder is altered or holds something else.
    """
    console.say(f"$ {shlex.join(['cp', '-r', str(source), str(target)])}")
    artifact = artifacts.read(source, kind=DATA_KIND)
    if dry_run or source.resolve() == target.resolve():
        return
    if (target / artifacts.MANIFEST_NAME).is_file():
        if artifacts.read(target, kind=DATA_KIND).digest == artifact.digest:
            console.say(f"{target} is up to date")
            return
        raise InputError(f"{target} holds other data than {source}; choose another --out")
    with artifacts.claim(target), artifacts.explained(target):
        staging = artifacts.staging_for(target)
        shutil.copytree(source, staging)
        artifacts.put_in_place(staging, target)


def require_enough(data: Path) -> None:
    """Raises an InputError where the data are too few for what follows."""
    shortfalls = find_shortfalls(InteractionDataset.load(data).histories)
    if shortfalls:
        raise InputError(f"{data}: {'; '.join(shortfalls)}")


def example_history(data: Path, dry_run: bool) -> list[str]:
    """The last items of the first person who has enough of them.

    Raises:
        InputError: nobody has.
    """
    if dry_run:
        return ["ITEM"] * EVENTS_IN_EXAMPLE
    dataset = InteractionDataset.load(data)
    for items in dataset.histories:
        if items.size >= EVENTS_IN_EXAMPLE:
            return dataset.catalogue.ids(items[-EVENTS_IN_EXAMPLE:])
    raise InputError(f"nobody in {data} has {EVENTS_IN_EXAMPLE} events")


def _environment() -> dict[str, str]:
    """Ours; from a checkout, the steps find it from any folder."""
    paths = [str(checkout() or ""), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def main(argv: list[str] | None = None) -> None:
    console.run(app, argv)


if __name__ == "__main__":
    main()
