"""How long a training takes on an idle machine and beside one busy process a core, by threads."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.markdown import markdown_table
from genrec import console
from genrec.errors import GenrecError
from genrec.threads import choose_threads

SETTINGS = {
    "genrec's choice": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "OpenMP's own default": {"GOMP_SPINCOUNT": "300000"},
}
BUSY = "while True: pass"

app = console.program(__doc__)


@app.command()
def benchmark(
    run: Annotated[Path, typer.Option(help="A run with data and embeddings; it is trained anew.")],
    out: Annotated[Path | None, typer.Option(help="Where the figures are written, JSON.")] = None,
    epochs: Annotated[int, typer.Option(help="Of the two-tower.", min=1)] = 2,
    limit_s: Annotated[float, typer.Option(help="Seconds after which one is given up.")] = 300.0,
) -> None:
    """A row a setting."""
    rows = []
    for name, setting in SETTINGS.items():
        idle = train(run, epochs, setting, limit_s)
        with busy_cores():
            contended = train(run, epochs, setting, limit_s)
        rows.append({"threads": name, "idle_s": idle, "busy_s": contended})
        console.say(f"{name}: {idle:.1f} s idle, {contended:.1f} s beside busy processes")
    choice = choose_threads()
    console.say("")
    console.say(
        markdown_table(
            ["threads", "idle s", "busy s", "times as long"],
            [
                [
                    str(row["threads"]),
                    f"{row['idle_s']:.1f}",
                    f"{row['busy_s']:.1f}",
                    f"{float(row['busy_s']) / float(row['idle_s']):.2f}",
                ]
                for row in rows
            ],
        )
    )
    if out is not None:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        figures = {"machine": machine, "chosen": choice.count, "reason": choice.reason}
        out.write_text(json.dumps({**figures, "rows": rows}, indent=1) + "\n")


def train(run: Path, epochs: int, setting: dict[str, str], limit_s: float) -> float:
    """Seconds that a training of the two-tower took; the limit where it was given up.

    Raises:
        GenrecError: it failed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    words = ["-m", "genrec", "train", "two-tower", "--run", str(run), "--epochs", str(epochs)]
    start = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *words, "--force"],
            env={**kept, **setting},
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return limit_s
    if done.returncode:
        raise GenrecError(f"the training failed: {done.stderr[-500:]}")
    return time.monotonic() - start


@contextmanager
def busy_cores() -> Iterator[None]:
    """Inside it, one process a core does nothing but calculate."""
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(choose_threads({}).count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


if __name__ == "__main__":
    console.run(app)
