"""What it costs to add and remove items while requests are answered.

`python -m benchmarks.live_catalogue --out docs/results/live_catalogue.json`

A generator of default size with random weights over a random catalogue answers one request after
another on one thread, as often without changes as with a second thread that adds items at a steady
rate; the two take turns. Then single changes are timed, the index is compacted, and every item that
was added is asked for.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer
from rich.console import Console
from rich.table import Table

from genrec import console
from genrec.evaluation import describe_environment
from genrec.generator import GeneratorSource, GeneratorTraining, LiveCatalogue, Mode
from genrec.generator.model import make_model
from genrec.interactions import Histories, RequestBatch

from .decoding_subjects import Point, draw_codes

app = console.program(__doc__)

CONTENT_WIDTH, HISTORY, K = 384, 25, 10
ROUNDS = 3
TIMED_CHANGES = 300


@app.command()
def benchmark(
    out: Annotated[Path, typer.Option(help="The JSON to write.")],
    items: Annotated[int, typer.Option(help="Items of the catalogue.", min=1000)] = 1_000_000,
    rate: Annotated[float, typer.Option(help="Items added a second.", min=0.1)] = 100.0,
    seconds: Annotated[float, typer.Option(help="Of each of three rounds.", min=0.1)] = 5.0,
) -> None:
    """Measures, prints and writes."""
    torch.set_num_threads(1)
    spare = int(2 * rate * seconds * ROUNDS) + TIMED_CHANGES
    codes = draw_codes(Point(items=items + spare))
    live = LiveCatalogue(model_of(codes[:items]), room=2 * spare)
    newcomers = Newcomers(live, codes[items:])
    source = GeneratorSource(live.model, Mode.GENERATIVE, tables=live)
    quiet, busy = [], []
    answer_for(source, items, 0.5)
    for _ in range(ROUNDS):
        quiet += answer_for(source, items, seconds)
        with newcomers.coming(rate):
            busy += answer_for(source, items, seconds)
    came = newcomers.num_added
    added, removed = newcomers.time_changes(TIMED_CHANGES)
    started = time.perf_counter()
    live.compact()
    report = {
        "environment": describe_environment(
            ["python", "-m", "benchmarks.live_catalogue", *sys.argv[1:]]
        ),
        "items": items,
        "added_while_answering": came,
        "added_a_second": came / (seconds * ROUNDS),
        "request_ms": {"quiet": summary(quiet), "while_items_come": summary(busy)},
        "p99_ratio": summary(busy)["p99"] / summary(quiet)["p99"],
        "add_ms": summary(added),
        "remove_ms": summary(removed),
        "compact_seconds": time.perf_counter() - started,
        "found_of_added": newcomers.share_found(source),
    }
    out.write_text(json.dumps(report, indent=1) + "\n")
    Console(width=100).print(table(report))
    console.say(f"wrote {out}")


def model_of(codes: npt.NDArray[np.uint16]) -> Any:
    """A generator of default size over these codes, with random weights."""
    shape = GeneratorTraining().shape(len(codes), (256,) * codes.shape[1], CONTENT_WIDTH)
    content = drawn_content(0, len(codes))
    torch.manual_seed(0)
    model = make_model(shape, codes=codes.astype(np.int32), content=content)
    model.train(False)
    return model


def drawn_content(seed: int, num_items: int) -> npt.NDArray[np.float32]:
    """float32 [N, Dc]."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((num_items, CONTENT_WIDTH), dtype=np.float32)


class Newcomers:
    """Items that come one by one."""

    def __init__(self, live: LiveCatalogue, codes: npt.NDArray[np.uint16]) -> None:
        self.live, self.codes = live, codes
        self.first = live.tables.num_items
        self.num_added = 0
        self.content = drawn_content(1, len(codes))

    def add(self) -> None:
        """The next one."""
        row = slice(self.num_added, self.num_added + 1)
        self.live.add(self.codes[row], self.content[row])
        self.num_added += 1

    @contextmanager
    def coming(self, rate: float) -> Iterator[None]:
        """Inside it, another thread adds so many a second."""
        stopped = threading.Event()

        def work() -> None:
            due = time.perf_counter()
            while not stopped.is_set():
                self.add()
                due += 1 / rate
                stopped.wait(max(due - time.perf_counter(), 0.0))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def time_changes(self, count: int) -> tuple[list[float], list[float]]:
        """Milliseconds of adding an item, and of removing one of the first, alone."""
        added, removed = [], []
        for item in range(count):
            started = time.perf_counter()
            self.add()
            between = time.perf_counter()
            self.live.remove(np.array([item]))
            added.append(1e3 * (between - started))
            removed.append(1e3 * (time.perf_counter() - between))
        return added, removed

    def share_found(self, source: GeneratorSource) -> float:
        """Of all that were added, those that are listed where nothing else is allowed."""
        allowed = torch.zeros(1, source.tables.num_items, dtype=torch.bool)
        allowed[0, self.first :] = True
        anybody = RequestBatch.from_histories(Histories.from_lists([[0]]))
        listed = source.recommend(replace(anybody, allowed=allowed), self.num_added).item_index
        return len(set(listed[listed >= self.first].tolist())) / self.num_added


def answer_for(source: GeneratorSource, items: int, seconds: float) -> list[float]:
    """Milliseconds of one request after another, each with a history of its own."""
    draw = np.random.default_rng(2)
    taken, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        history = draw.integers(0, items, HISTORY).tolist()
        asked = RequestBatch.from_histories(Histories.from_lists([history])).without_seen()
        started = time.perf_counter()
        source.recommend(asked, K)
        taken.append(1e3 * (time.perf_counter() - started))
    return taken


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Percentiles."""
    p50, p99 = np.percentile(milliseconds, (50, 99)).tolist()
    return {"p50": p50, "p99": p99, "num": len(milliseconds)}


def table(report: dict[str, Any]) -> Table:
    """One row a measure."""
    shown = Table("", "p50 ms", "p99 ms")
    rows = {
        "request, nothing changes": report["request_ms"]["quiet"],
        f"request, {report['added_a_second']:.0f} items a second come": report["request_ms"][
            "while_items_come"
        ],
        "adding an item": report["add_ms"],
        "removing an item": report["remove_ms"],
    }
    for name, figures in rows.items():
        shown.add_row(name, f"{figures['p50']:.2f}", f"{figures['p99']:.2f}")
    shown.add_row("p99, with changes to without", "", f"{report['p99_ratio']:.2f}")
    shown.add_row("compacting", f"{1e3 * report['compact_seconds']:.0f}", "")
    shown.add_row("found of what was added", f"{report['found_of_added']:.0%}", "")
    return shown


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
