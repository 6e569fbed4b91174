"""Measures our beam search: the same T5 through three engines, and our generator beside TIGER's T5.

`python -m benchmarks.decoding --json docs/results/decoding.json`

- `same_weights`: one T5 with random weights and one random catalogue, through our engine, through
  transformers' `generate` with `prefix_allowed_tokens_fn`, and through a plain beam search. Before
  anything is timed, all must give the same items (they may differ only within 1e-4 of the M-th
  score), the same scores (to 1e-4) and no id that is no item; else the benchmark stops.
- `defaults`: our generator in its default size beside a TIGER-shaped T5 through transformers, each
  reading its own tokens of the same histories. They are different models: only times are compared.
- the index: seconds to build, bytes a node, milliseconds of one level's selection.
- `graphs`, with `--device cuda`: our default generator and the T5, whole requests as CUDA graphs,
  after each agreed with the CPU; and `expand_select`, the search without a model. By CUDA events
  and by the host's clock.

One factor at a time changes around the base point. The engines take turns, so that all meet the
same disturbances: on a busy machine only ratios mean something. transformers and the plain search
are timed where beam times batch is at most 800, and transformers' dict of prefixes is made for at
most two million items: at ten million it would take gigabytes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.decoding_engines import (
    DefaultEngine,
    Engine,
    GenrecEngine,
    NaiveEngine,
    TransformersEngine,
)
from benchmarks.decoding_figures import (
    Answer,
    GateError,
    compare,
    count_invalid,
    table,
    times_of,
)
from benchmarks.decoding_graphs import graphed_rows
from benchmarks.decoding_index import index_rows
from benchmarks.decoding_subjects import Point, subject_of
from genrec import console
from genrec.errors import InputError
from genrec.evaluation import describe_environment

app = console.program(__doc__)

SEED = 0
POINTS = [
    Point(),
    *(Point(beam=beam) for beam in (10, 200, 512)),
    *(Point(batch=batch) for batch in (16, 64)),
    *(Point(history=history) for history in (20, 100)),
    *(Point(items=items) for items in (10_000, 1_000_000, 10_000_000)),
    *(Point(codes=codes) for codes in (2048, 8192)),
    Point(trie="skewed"),
]
GRAPH_POINTS = [Point(batch=batch) for batch in (1, 16, 64)]
QUICK_POINTS = [Point(), Point(beam=10), Point(beam=200)]
INDEX_ITEMS = (100_000, 1_000_000, 10_000_000)
MOST_ROWS = 800
"""Beams of all histories that the slow engines are timed with."""
MOST_ITEMS_IN_A_DICT = 2_000_000
MOST_ITEMS_OF_A_MODEL = 2_000_000
"""Our default generator has vectors for every item and node: 20 GB at ten million."""
FEWEST_COMPARED = 4
"""Histories on which the engines must agree."""
FEWEST_REPEATS, MOST_REPEATS = 5, 200
REQUESTS_A_TURN = 5
INDEX_REPEATS = 100

Row = dict[str, Any]


class Device(StrEnum):
    """Where graphs are timed; everything else is timed on the CPU."""

    CPU = "cpu"
    CUDA = "cuda"


@app.command()
def benchmark(
    out: Annotated[Path | None, typer.Option("--json", help="The JSON to write.")] = None,
    quick: Annotated[bool, typer.Option(help="The base point and two others.")] = False,
    threads: Annotated[int, typer.Option(help="Of every engine.", min=1)] = 1,
    seconds: Annotated[float, typer.Option(help="Timed at each point and part.", min=0)] = 20.0,
    device: Annotated[Device, typer.Option(help="With cuda, CUDA graphs are timed too.")] = (
        Device.CPU
    ),
) -> None:
    """Runs everything, prints it, and writes it."""
    if device is Device.CUDA and not torch.cuda.is_available():
        raise InputError("there is no CUDA device to time graphs on; leave --device out")
    torch.set_num_threads(threads)
    points = QUICK_POINTS if quick else POINTS
    seconds = min(seconds, 6.0) if quick else seconds
    rows: list[Row] = []
    with torch.inference_mode():
        for point in points:
            rows += same_weights(point, seconds)
            if not quick or point == Point():
                rows += defaults(point, seconds)
        sizes = INDEX_ITEMS[:1] if quick else INDEX_ITEMS
        rows += index_rows([Point(items=items) for items in sizes], repeats=INDEX_REPEATS)
        console.say(f"index: {rows[-len(sizes) :]}")
        for point in GRAPH_POINTS if device is Device.CUDA else ():
            drawn = draw_histories(point, MOST_REPEATS)
            rows += graphed_rows(point, drawn, seconds, device=torch.device(device))
            console.say(f"graphs, {point.label}: {rows[-5:]}")
    command = ["python", "-m", "benchmarks.decoding", *sys.argv[1:]]
    environment = describe_environment(command) | {"threads_latency": threads}
    console.say("\n" + table(rows))
    if out is not None:
        report = {"environment": environment, "rows": rows}
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        console.say(f"wrote {out}")


def same_weights(point: Point, seconds: float) -> list[Row]:
    """One T5 through all engines that can take the point, after they agreed.

    Raises:
        GateError: an engine finds other items or scores, or ids that are no item's.
    """
    subject = subject_of(point)
    engines: list[Engine] = [GenrecEngine(subject, point), NaiveEngine(subject, point)]
    if point.items <= MOST_ITEMS_IN_A_DICT:
        engines.insert(1, TransformersEngine(subject, point))
    histories = draw_histories(replace(point, batch=max(point.batch, FEWEST_COMPARED)), 1)[0]
    reference = in_parts(engines[1], histories, point)
    agreements = {}
    for engine in engines:
        answer = in_parts(engine, histories, point)
        agreement = compare(answer, reference)
        invalid = count_invalid(answer, point.items)
        if agreement.failure or invalid:
            what = agreement.failure or f"{invalid} ids are no item's"
            raise GateError(f"{point.label}: {engine.name} against {engines[1].name}: {what}")
        agreements[engine.name] = {
            "overlap": agreement.overlap,
            "max_score_diff": agreement.max_score_diff,
            "invalid": invalid,
            "reference": engines[1].name,
        }
    timed = [engine for engine in engines if engine.name == "genrec" or is_small(point)]
    return timed_rows("same_weights", point, timed, agreements, seconds)


def defaults(point: Point, seconds: float) -> list[Row]:
    """Our default generator, and a TIGER-shaped T5 through transformers."""
    if point.items > MOST_ITEMS_OF_A_MODEL:
        return []
    subject = subject_of(point)
    engines: list[Engine] = [DefaultEngine(subject.catalogue, point)]
    if is_small(point):
        engines.append(TransformersEngine(subject, point))
    histories = draw_histories(point, 1)[0]
    figures = {}
    for engine in engines:
        answer = engine.answer(engine.prepare(histories))
        invalid = count_invalid(answer, point.items)
        if invalid:
            raise GateError(f"{point.label}: {invalid} ids of {engine.name} are no item's")
        figures[engine.name] = {"overlap": None, "max_score_diff": None, "invalid": invalid}
    return timed_rows("defaults", point, engines, figures, seconds)


def is_small(point: Point) -> bool:
    """Whether the slow engines are timed there."""
    return point.beam * point.batch <= MOST_ROWS


def draw_histories(point: Point, count: int) -> list[torch.Tensor]:
    """`count` batches of histories, int64 [B, T] each."""
    generator = torch.Generator().manual_seed(SEED)
    shape = (count, point.batch, point.history)
    return list(torch.randint(point.items, shape, generator=generator))


def in_parts(engine: Engine, histories: torch.Tensor, point: Point) -> Answer:
    """The answer of an engine, asked for as many histories at once as the slow ones can take."""
    parts = [
        engine.answer(engine.prepare(part))
        for part in histories.split(max(MOST_ROWS // point.beam, 1))
    ]
    return Answer(
        item_index=np.concatenate([part.item_index for part in parts]),
        score=np.concatenate([part.score for part in parts]),
    )


def timed_rows(
    part: str, point: Point, engines: Sequence[Engine], figures: dict[str, Row], seconds: float
) -> list[Row]:
    """One row an engine; the engines take turns, and who comes first moves on by one.

    A turn is a few requests in a row, all of them timed, as one engine serves them: after each
    single request another engine would have taken the caches.
    """
    questions = [
        [engine.prepare(histories) for engine in engines]
        for histories in draw_histories(point, MOST_REPEATS)
    ]
    round_seconds = sum(map(clocked, engines, questions[0]))  # warms up, too
    repeats = int(np.clip(seconds / round_seconds, FEWEST_REPEATS, MOST_REPEATS))
    times: list[list[float]] = [[] for _ in engines]
    for turn, first in enumerate(range(0, repeats, REQUESTS_A_TURN)):
        asked = questions[first : min(first + REQUESTS_A_TURN, repeats)]
        for place in range(len(engines)):
            number = (turn + place) % len(engines)
            times[number] += [clocked(engines[number], each[number]) for each in asked]
    rows = []
    for engine, taken in zip(engines, times, strict=True):
        row = {"part": part, "point": point.label, "engine": engine.name, "device": "cpu"}
        row |= point.as_row()
        rows.append({**row, **times_of(taken), **figures[engine.name]})
        console.say(f"{part}, {point.label}: {engine.name} {rows[-1]['p50_ms']:.1f} ms")
    return rows


def clocked(engine: Engine, question: Any) -> float:
    """Seconds of one search."""
    started = time.perf_counter()
    engine.search(question)
    return time.perf_counter() - started


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
