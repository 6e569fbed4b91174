"""How much of the exact top 10 a beam finds, by its width, on a trained generator.

`python -m benchmarks.beam_recall --run runs/beauty --out docs/results/beam_recall.json`

The truth is the search whose beams are as wide as the catalogue: it ranks every item. The questions
are a sample of the validation questions; times are of one question at a time, on one thread, the
widths taking turns.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from genrec import console
from genrec.decoding import beam_recall
from genrec.evaluation import describe_environment
from genrec.generator import GenerativeRecommender, GeneratorSource, Mode, load_generator
from genrec.interactions import (
    InteractionDataset,
    Protocol,
    Repeats,
    RequestBatch,
    split_histories,
)

app = console.program(__doc__)

K = 10
QUESTIONS_AT_ONCE = 4
WIDTHS: tuple[tuple[int, ...], ...] = (
    *((width,) for width in (10, 20, 30, 50, 75, 100, 200)),
    *((10, 25, 50, 50), (25, 50, 50, 50), (50, 50, 25, 10), (25, 50, 100, 100)),
)
"""One width for all levels, or one for each of four."""


@app.command()
def benchmark(
    run: Annotated[Path, typer.Option(help="A run folder with a generator.")],
    out: Annotated[Path, typer.Option(help="The JSON to write.")],
    questions: Annotated[int, typer.Option(help="People asked.", min=1)] = 300,
    timed: Annotated[int, typer.Option(help="Of these, one after another, timed.", min=1)] = 60,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
) -> None:
    """Searches with every width, and exactly; writes and prints the curve."""
    torch.set_num_threads(1)
    model = load_generator(run / "generator")
    asked = sample(InteractionDataset.load(run / "data"), questions, seed)
    exact = answers(model, asked, (model.config.num_items,))
    figures = [
        {
            "beams": list(width),
            "beam_recall@10": _summary(beam_recall(answers(model, asked, width), exact, K)),
        }
        for width in WIDTHS
    ]
    for figure, milliseconds in zip(figures, times(model, asked, timed), strict=True):
        figure["p50_ms"], figure["p99_ms"] = np.percentile(milliseconds, (50, 99)).tolist()
    report = {
        "environment": describe_environment(
            ["python", "-m", "benchmarks.beam_recall", *sys.argv[1:]]
        ),
        "items": model.config.num_items,
        "questions": questions,
        "seed": seed,
        "widths": figures,
    }
    out.write_text(json.dumps(report, indent=1) + "\n")
    Console(width=100).print(table(figures))
    console.say(f"wrote {out}")


def sample(dataset: InteractionDataset, questions: int, seed: int) -> RequestBatch:
    """Validation questions, under the data's rule on repeats."""
    split = split_histories(dataset.histories, Protocol.LEAVE_LAST_OUT)
    requests = RequestBatch.from_histories(split.validation.sample(questions, seed).histories)
    return requests.without_seen() if dataset.repeats is Repeats.MASK else requests


def source_of(model: GenerativeRecommender, width: tuple[int, ...]) -> GeneratorSource:
    """The generative answers of beams this wide."""
    widths = width * (model.config.num_levels if len(width) == 1 else 1)
    return GeneratorSource(model, Mode.GENERATIVE, num_beams=widths)


def answers(model: GenerativeRecommender, asked: RequestBatch, width: tuple[int, ...]) -> Tensor:
    """int64 [B, 10]: what beams this wide find."""
    source, found = source_of(model, width), []
    label = f"beams {'-'.join(map(str, width))}"
    with console.progress(label, len(asked)) as advance:
        for start in range(0, len(asked), QUESTIONS_AT_ONCE):
            part = asked.rows(start, min(start + QUESTIONS_AT_ONCE, len(asked)))
            found.append(source.recommend(part, K).item_index)
            advance(len(part), "")
    return torch.cat(found)


def times(model: GenerativeRecommender, asked: RequestBatch, timed: int) -> list[list[float]]:
    """By width, milliseconds of each question asked alone."""
    sources = [source_of(model, width) for width in WIDTHS]
    taken: list[list[float]] = [[] for _ in sources]
    for row in range(min(timed, len(asked))):
        alone = asked.rows(row, row + 1)
        for source, milliseconds in zip(sources, taken, strict=True):
            source.recommend(alone, K)
            started = time.perf_counter()
            source.recommend(alone, K)
            milliseconds.append(1e3 * (time.perf_counter() - started))
    return taken


def _summary(recall: Tensor) -> dict[str, float]:
    return {
        "mean": float(recall.mean()),
        "complete": float((recall == 1).float().mean()),
    }


def table(figures: list[dict[str, Any]]) -> Table:
    """One row a width."""
    shown = Table("beams", "of the exact top 10", "lists found whole", "p50 ms", "p99 ms")
    for figure in figures:
        recall = figure["beam_recall@10"]
        shown.add_row(
            "-".join(map(str, figure["beams"])),
            f"{recall['mean']:.2%}",
            f"{recall['complete']:.1%}",
            f"{figure['p50_ms']:.1f}",
            f"{figure['p99_ms']:.1f}",
        )
    return shown


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
