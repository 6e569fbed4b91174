"""Measures what int8 saves on a CPU, and what it changes: dynamic quantisation beside float32.

`python -m benchmarks.int8 --run runs/beauty --out docs/results/int8.json`

- `t5`: a TIGER-shaped T5 with random weights behind our beam search; encoder and decoder in int8.
- `default`: our generator in its default size with random weights; its decoder in int8.
- `trained`: the generator of a run on its test questions; left out without `--run`.

Times are of single requests on one thread; the two take turns. `overlap` is the share of the items
of float32's list that int8's has too. The change of recall is paired by question.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.decoding import draw_histories
from benchmarks.decoding_engines import DefaultEngine, GenrecEngine
from benchmarks.decoding_subjects import Point, subject_of
from genrec import console
from genrec.evaluation import describe_environment
from genrec.generator import GeneratorSource, Mode, load_generator
from genrec.generator.tiger import T5Weights
from genrec.interactions import (
    InteractionDataset,
    Protocol,
    Repeats,
    RequestBatch,
    split_histories,
)
from genrec.kernels.packed_linear import PackedLinear
from genrec.kernels.quantised_linear import QuantisedLinear

app = console.program(__doc__)

POINTS = (Point(beam=10), Point())
KINDS: dict[str, type[PackedLinear]] = {"float32": PackedLinear, "int8": QuantisedLinear}
MODES = (Mode.GENERATIVE, Mode.COMBINED)
K = 10
WARM_UP = 3

Json = dict[str, Any]
Answers = dict[str, Callable[[Any], Tensor]]


@app.command()
def benchmark(
    run: Annotated[Path | None, typer.Option(help="A trained run, for `trained`.")] = None,
    out: Annotated[Path | None, typer.Option(help="The JSON to write.")] = None,
    repeats: Annotated[int, typer.Option(help="Requests timed at each size.", min=1)] = 60,
    questions: Annotated[int, typer.Option(help="Of the trained run.", min=1)] = 2000,
) -> None:
    """Runs everything, prints it, and writes it where it is told to."""
    torch.set_num_threads(1)
    rows: list[Json] = []
    with torch.inference_mode():
        for point in POINTS:
            rows += [measure_t5(point, repeats), measure_default(point, repeats)]
        if run is not None:
            rows += [measure_trained(run, mode, repeats, questions) for mode in MODES]
    Console().print(table(rows))
    if out is not None:
        environment = describe_environment(["python", "-m", "benchmarks.int8", *sys.argv[1:]])
        out.write_text(json.dumps({"environment": environment, "rows": rows}, indent=1) + "\n")
        console.say(f"wrote {out}")


def measure_t5(point: Point, repeats: int) -> Json:
    """Both forms of the T5."""
    subject = subject_of(point)
    engines = {
        kind: GenrecEngine(
            replace(subject, weights=T5Weights(subject.model, subject.shape, linear)), point
        )
        for kind, linear in KINDS.items()
    }
    asked = [subject.tokens(each) for each in draw_histories(point, repeats + WARM_UP)]
    answers: Answers = {kind: partial(_found_by, engine) for kind, engine in engines.items()}
    return {"subject": "t5", "beam": point.beam, "items": point.items, **compared(answers, asked)}


def measure_default(point: Point, repeats: int) -> Json:
    """Both forms of our generator's decoder."""
    engine = DefaultEngine(subject_of(point).catalogue, point)
    asked = [engine.prepare(each) for each in draw_histories(point, repeats + WARM_UP)]
    answers = forms(engine.source, point.beam)
    return {
        "subject": "default",
        "beam": point.beam,
        "items": point.items,
        **compared(answers, asked),
    }


def measure_trained(run: Path, mode: Mode, repeats: int, questions: int) -> Json:
    """Both forms on a sample of test questions: times, lists, and recall."""
    dataset = InteractionDataset.load(run / "data")
    test = split_histories(dataset.histories, Protocol.LEAVE_LAST_OUT).test.sample(questions, 0)
    asked = RequestBatch.from_histories(test.histories)
    if dataset.repeats is Repeats.MASK:
        asked = asked.without_seen()
    source = GeneratorSource(load_generator(run / "generator"), mode)
    answers = forms(source, K)
    alone = [asked.rows(row, row + 1) for row in range(min(repeats + WARM_UP, len(asked)))]
    found = {kind: answer(asked) for kind, answer in answers.items()}
    target = torch.from_numpy(test.target)[:, None]
    hits = {kind: (items == target).any(1).double() for kind, items in found.items()}
    change = hits["int8"] - hits["float32"]
    return {
        "subject": f"trained on {dataset.name}, {mode}",
        "beam": source.num_beams[-1],
        "items": dataset.num_items,
        **compared(answers, alone),
        "overlap": overlap(found["float32"], found["int8"]),
        "recall@10": float(hits["float32"].mean()),
        "recall@10_change": float(change.mean()),
        "recall@10_change_error": float(change.std() / len(change) ** 0.5),
        "questions": len(asked),
    }


def forms(source: GeneratorSource, k: int) -> Answers:
    """The source's model with its decoder in float32 and in int8."""
    sources = {
        kind: GeneratorSource(
            source.model,
            source.mode,
            num_beams=source.num_beams,
            tables=source.tables,
            linear=linear,
        )
        for kind, linear in KINDS.items()
    }
    return {kind: partial(_recommended_by, each, k) for kind, each in sources.items()}


def _found_by(engine: GenrecEngine, question: Tensor) -> Tensor:
    items: Tensor = engine.search(question).item_index
    return items


def _recommended_by(source: GeneratorSource, k: int, question: RequestBatch) -> Tensor:
    return source.recommend(question, k).item_index


def compared(answers: Answers, asked: Sequence[Any]) -> Json:
    """Milliseconds of both, the median ratio of neighbours, and the overlap of their lists."""
    times: dict[str, list[float]] = {kind: [] for kind in answers}
    shares = []
    for number, question in enumerate(asked):
        found = {}
        for kind, answer in answers.items():
            started = time.perf_counter()
            found[kind] = answer(question)
            if number >= WARM_UP:
                times[kind].append(1e3 * (time.perf_counter() - started))
        shares.append(overlap(found["float32"], found["int8"]))
    ratios = np.array(times["float32"]) / np.array(times["int8"])
    return {
        **{f"{kind}_p50_ms": float(np.median(each)) for kind, each in times.items()},
        "time_ratio": float(np.median(ratios)),
        "overlap": float(np.mean(shares)),
    }


def overlap(first: Tensor, second: Tensor) -> float:
    """The share of the items of one list [B, k] that the other has too."""
    return float((first[:, :, None] == second[:, None]).any(-1).float().mean())


def table(rows: Sequence[Json]) -> Table:
    """For people."""
    shown = Table("", "beams", "float32 ms", "int8 ms", "ratio", "overlap", "recall@10, change")
    for row in rows:
        recall = ""
        if "recall@10" in row:
            change, error = row["recall@10_change"], row["recall@10_change_error"]
            recall = f"{row['recall@10']:.4f}, {change:+.4f} ± {error:.4f}"
        shown.add_row(
            row["subject"],
            str(row["beam"]),
            f"{row['float32_p50_ms']:.1f}",
            f"{row['int8_p50_ms']:.1f}",
            f"{row['time_ratio']:.2f}",
            f"{row['overlap']:.3f}",
            recall,
        )
    return shown


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
