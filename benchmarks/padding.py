"""How much of a generator's training batches is padding, on real logs.

`python -m benchmarks.padding --data runs/beauty/data --data runs/toys/data`

Prints a table: the training part of leave-last-out, windows of the default length, one epoch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrec import console
from genrec.generator import GeneratorTraining
from genrec.generator.batches import WindowBatches
from genrec.interactions import InteractionDataset, Protocol, split_histories

app = console.program(__doc__)


@app.command()
def benchmark(
    data: Annotated[list[Path], typer.Option(help="A data artefact; may be given again.")],
    tokens: Annotated[
        int, typer.Option(help="Inputs a batch at most.", min=1)
    ] = GeneratorTraining().tokens,
) -> None:
    """One row a data set."""
    console.say(f"| data | inputs | batches of {tokens:,} | padding |\n|---|---|---|---|")
    for path in data:
        dataset = InteractionDataset.load(path)
        train = split_histories(dataset.histories, Protocol.LEAVE_LAST_OUT).train
        batches = WindowBatches(train, history=GeneratorTraining().history, tokens=tokens, seed=0)
        sizes = [batches.size_of(batch) for batch in batches.epoch(0)]
        events = sum(size.events for size in sizes)
        padding = 1 - events / sum(size.places for size in sizes)
        console.say(f"| {dataset.name} | {events:,} | {len(sizes)} | {padding:.1%} |")


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
