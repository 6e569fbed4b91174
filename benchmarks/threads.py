"""How long programs take on an idle machine and beside one busy process a core.

Every training, with the threads that genrec chooses, and the two-tower with others; with `--demo`
also `genrec demo`, from the log to the report. A fair share beside as many busy processes is half
the machine, so that twice as long is what can be had.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.markdown import markdown_table
from genrec import console
from genrec.errors import GenrecError
from genrec.evaluation import describe_environment
from genrec.threads import choose_threads

BUSY = "while True: pass"
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
SPINNING = {"GOMP_SPINCOUNT": "300000"}
"""What OpenMP does by itself, and what no longer happens by itself."""

app = console.program(__doc__)


@dataclass(frozen=True)
class Program:
    """A program as it is timed."""

    name: str
    words: list[str]
    """`{run}` is a copy of the run folder, `{new}` a folder that is not there."""
    threads: str = "chosen"
    settings: Mapping[str, str] = field(default_factory=dict)


TWO_TOWER = ["train", "two-tower", "--run={run}", "--epochs=2", "--force"]
PROGRAMS = [
    Program("train two-tower, 2 epochs", TWO_TOWER),
    Program("train two-tower, 2 epochs", TWO_TOWER, "one", ONE_THREAD),
    Program("train two-tower, 2 epochs", TWO_TOWER, "spinning", SPINNING),
    Program(
        "train generator, 1 epoch", ["train", "generator", "--run={run}", "--epochs=1", "--force"]
    ),
    Program("train ranker", ["train", "ranker", "--run={run}", "--force"]),
    Program(
        "tokenize, an RQ-VAE of 50 epochs",
        [
            *("tokenize", "--data={run}/data", "--embeddings={run}/embeddings", "--out={new}"),
            *("--method=rqvae", "--inputs=text", "--set=num_epochs=50"),
        ],
    ),
]
DEMO = Program("demo", ["demo", "--out={new}"])


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a program took."""

    program: str
    threads: str
    idle_s: float
    busy_s: float


@app.command()
def benchmark(
    run: Annotated[Path, typer.Option(help="A finished run; its copy is trained anew.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the figures are written, JSON; kept and added to.")
    ] = None,
    limit_s: Annotated[float, typer.Option(help="Seconds after which one is given up.")] = 3600.0,
    demo: Annotated[bool, typer.Option(help="Time `genrec demo`, and nothing else.")] = False,
) -> None:
    """A row a program."""
    rows = []
    for program in [DEMO] if demo else PROGRAMS:
        idle = seconds_of(program, run, limit_s)
        with busy_cores():
            busy = seconds_of(program, run, limit_s)
        row = Timing(program=program.name, threads=program.threads, idle_s=idle, busy_s=busy)
        rows.append(asdict(row))
        console.say(f"{row.program}, {row.threads}: {idle:.1f} s idle, {busy:.1f} s busy")
    if out is not None:
        rows = kept_rows(out, {(row["program"], row["threads"]) for row in rows}) + rows
        figures = {"environment": describe_environment(["python", "-m", "benchmarks.threads"])}
        out.write_text(json.dumps({**figures, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    console.say("")
    console.say(table_of(rows))


def table_of(rows: list[dict[str, object]]) -> str:
    """The figures as a table in Markdown."""
    return markdown_table(
        ["program", "threads", "idle s", "busy s", "times as long"],
        [
            [
                str(row["program"]),
                str(row["threads"]),
                f"{row['idle_s']:.1f}",
                f"{row['busy_s']:.1f}",
                f"{float(str(row['busy_s'])) / float(str(row['idle_s'])):.2f}",
            ]
            for row in rows
        ],
    )


def kept_rows(out: Path, measured: set[tuple[object, object]]) -> list[dict[str, object]]:
    """The rows of an earlier measurement that this one did not measure."""
    if not out.is_file():
        return []
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if (row["program"], row["threads"]) not in measured]


def seconds_of(program: Program, run: Path, limit_s: float) -> float:
    """Seconds that a program took; the limit where it was given up.

    Raises:
        GenrecError: it failed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    with tempfile.TemporaryDirectory() as folder:
        copy, new = Path(folder) / "run", Path(folder) / "new"
        shutil.copytree(run, copy)
        words = [word.format(run=copy, new=new) for word in program.words]
        start = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "genrec", *words],
                env={**kept, **program.settings},
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return limit_s
        seconds = time.monotonic() - start
    if done.returncode:
        raise GenrecError(f"`genrec {' '.join(words)}` failed: {done.stderr[-500:]}")
    return seconds


@contextmanager
def busy_cores() -> Iterator[None]:
    """Inside it, one process a core does nothing but calculate."""
    count = choose_threads({}).count
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


if __name__ == "__main__":
    console.run(app)
