"""How fast a generator trains, and in how much memory, from 10^5 to 10^7 events, in memory or not.

`python -m benchmarks.training_scale --json docs/results/training_scale.json`

The logs are drawn: histories of geometric lengths, items by Zipf's law, a catalogue that grows with
the log, random content of width 384 and random unique codes. Each row is measured in a process of
its own, on as many whole steps of the training loop as `--seconds` allow; seconds an epoch are the
events of an epoch through the rate of those steps (`extrapolated` says where they did not fill it).
Figures of CPU time stand beside those of the clock: with one thread they are what a core gives that
nobody else uses.
A row replaces the one for the same events, items, source, softmax and threads in the JSON. Linux:
the peak of memory is the process's own, model and optimizer included.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer

from genrec import console
from genrec.evaluation import describe_environment
from genrec.generator import GenerativeRecommender, GeneratorTraining
from genrec.generator.batches import WindowBatches, windows_of
from genrec.generator.items import unit_content
from genrec.generator.losses import ItemSampler
from genrec.generator.model import make_model
from genrec.generator.streaming import StreamedWindowBatches
from genrec.interactions import Histories, HistoryShards
from genrec.interactions.shards import joined
from genrec.training import Batch, TrainingConfig, fit

app = console.program(__doc__)

RESULT = Path(__file__).parents[1] / "docs" / "results" / "training_scale.json"
CATALOGUES = {100_000: 10_000, 1_000_000: 50_000, 10_000_000: 200_000}
MEAN_LENGTH = 12
ZIPF_EXPONENT = 1.05
CONTENT_WIDTH, CODEBOOK_SIZES = 384, (256, 256, 256, 256)
PEOPLE_AT_ONCE = 100_000
MIB = 1 << 20
MEASURE_ONE = """
import json, sys
from pathlib import Path
from benchmarks.training_scale import Case, measure
print(json.dumps(measure(Case(**json.loads(sys.argv[2])), Path(sys.argv[1]))))
"""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What one row measures."""

    events: int
    items: int
    source: str
    """`memory` or `stream`."""
    softmax: str
    """`default` (full up to 100,000 items, sampled above) or `full`."""
    threads: int
    seconds: float


@app.command()
def benchmark(
    json_path: Annotated[Path, typer.Option("--json", help="The JSON to write into.")] = RESULT,
    events: Annotated[int | None, typer.Option(help="One size alone; else 10^5 to 10^7.")] = None,
    items: Annotated[int | None, typer.Option(help="N; else it grows with the log.")] = None,
    source: Annotated[str | None, typer.Option(help="memory or stream; else both.")] = None,
    softmax: Annotated[str, typer.Option(help="default or full.")] = "default",
    threads: Annotated[int, typer.Option(help="Threads of a step.")] = 1,
    seconds: Annotated[float, typer.Option(help="Of training, a row.")] = 25.0,
) -> None:
    """Measures one size, or all of them."""
    for size in (events,) if events else CATALOGUES:
        num_items = items or CATALOGUES.get(size, max(size // 50, 100))
        with tempfile.TemporaryDirectory() as folder:
            HistoryShards.write(drawn_blocks(size, num_items), Path(folder))
            for kind in (source,) if source else ("memory", "stream"):
                case = Case(
                    events=size,
                    items=num_items,
                    source=kind,
                    softmax=softmax,
                    threads=threads,
                    seconds=seconds,
                )
                row = {**measured_alone(case, Path(folder)), **circumstances()}
                record(json_path, row)
                console.say(json.dumps(row))


def measured_alone(case: Case, folder: Path) -> dict[str, Any]:
    """What `measure` gives in a process of its own, whose peak of memory is this row's."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE_ONE, str(folder), json.dumps(asdict(case))],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": str(case.threads)},
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """One row: a few steps of the training loop on the shards in `folder`."""
    torch.set_num_threads(case.threads)
    shards = HistoryShards(folder)
    settings = GeneratorTraining(dense_samples=0 if case.softmax == "full" else None)
    began = time.monotonic()
    batches: WindowBatches | StreamedWindowBatches
    if case.source == "memory":
        whole = joined(list(shards.blocks()))
        batches = WindowBatches(whole, history=settings.history, tokens=settings.tokens, seed=0)
    else:
        batches = StreamedWindowBatches(
            shards, history=settings.history, tokens=settings.tokens, seed=0
        )
    preparation = time.monotonic() - began
    model = drawn_model(settings, shards.counts(case.items))
    before = peak_mib()
    timed = TimedBatches(batches, case.seconds)
    cpu_before = time.process_time()
    with tempfile.TemporaryDirectory() as work_dir:
        result = fit(
            model,
            timed,
            TrainingConfig(num_epochs=1, checkpoint_seconds=1e9),
            validate=None,
            metric="",
            work_dir=Path(work_dir),
            label="steps",
        )
    cpu_seconds = time.process_time() - cpu_before
    events = result.curve[0]["events"]
    inputs = inputs_of(shards, settings.history)
    return {
        **asdict(case),
        "people": sum(len(block) for block in shards.blocks()),
        "dense_samples": model.config.dense_samples,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": timed.given,
        "seconds_per_step": events / result.items_per_second / timed.given,
        "items_per_second": result.items_per_second,
        "items_per_cpu_second": events / cpu_seconds,
        "epoch_seconds": inputs / result.items_per_second,
        "epoch_cpu_seconds": inputs * cpu_seconds / events,
        "extrapolated": timed.cut_short,
        "item_tables_cpu_seconds": item_tables_seconds(model),
        "preparation_seconds": preparation,
        "peak_before_training_mib": before,
        "peak_mib": peak_mib(),
    }


class TimedBatches:
    """The first batches of an epoch, as many as a time allows; keeps `Batches`."""

    def __init__(self, batches: WindowBatches | StreamedWindowBatches, seconds: float) -> None:
        self.size_of, self.part = batches.size_of, batches.part
        self.batches, self.seconds = batches, seconds
        self.given, self.cut_short = 0, False

    def __len__(self) -> int:
        """Of a whole epoch: the learning rate goes by it."""
        return len(self.batches)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The first batches, until the time is over."""
        began = time.monotonic()
        for batch in self.batches.epoch(epoch):
            if self.given and time.monotonic() - began > self.seconds:
                self.cut_short = True
                return
            self.given += 1
            yield batch


def drawn_blocks(events: int, num_items: int, seed: int = 0) -> Iterator[Histories]:
    """Histories of at least 2 events, about `events` of them in all, some people at a time."""
    random = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, num_items + 1) ** ZIPF_EXPONENT
    up_to = np.cumsum(random.permutation(popularity / popularity.sum()))
    left = events
    while left > 0:
        people = min(PEOPLE_AT_ONCE, max(left // MEAN_LENGTH, 1))
        lengths = 1 + random.geometric(1 / (MEAN_LENGTH - 1), people)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        drawn = np.searchsorted(up_to, random.random(int(offsets[-1])))
        item_index = np.minimum(drawn, num_items - 1).astype(np.int64)
        yield Histories(item_index=item_index, event_time=item_index, offsets=offsets)
        left -= item_index.size


def drawn_model(settings: GeneratorTraining, counts: IntArray) -> GenerativeRecommender:
    """Over a catalogue with random content and codes."""
    random = np.random.default_rng(1)
    num_items = counts.size
    strings = np.unique(random.integers(0, 256**4, num_items + num_items // 100 + 10))
    strings = random.permutation(strings)[:num_items]
    codes = np.stack([strings >> shift & 255 for shift in (24, 16, 8, 0)], axis=1)
    content = random.standard_normal((num_items, CONTENT_WIDTH), dtype=np.float32)
    centre = torch.zeros(CONTENT_WIDTH)
    model = make_model(
        settings.shape(num_items, CODEBOOK_SIZES, CONTENT_WIDTH),
        codes=codes.astype(np.int32),
        content=unit_content(torch.from_numpy(content), centre),
        content_centre=centre,
        known=counts > 0,
    )
    model.sampler = ItemSampler(torch.from_numpy(counts))
    return model


def item_tables_seconds(model: GenerativeRecommender) -> float:
    """The vectors of all items and nodes, forwards and backwards: CPU time, median of three."""
    model.train()
    taken = []
    for _ in range(3):
        began = time.process_time()
        tables = model.item_tables()
        torch.stack([each.sum() for each in (tables.items, *tables.nodes)]).sum().backward()
        taken.append(time.process_time() - began)
        model.zero_grad()
    return sorted(taken)[1]


def inputs_of(shards: HistoryShards, history: int) -> int:
    """Inputs of an epoch: events that windows read, those that two of them read twice."""
    total = 0
    for block in shards.blocks():
        windows = windows_of(block.offsets, history)
        total += int((windows[:, 1] - windows[:, 0]).sum())
    return total


def peak_mib() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


def circumstances() -> dict[str, Any]:
    """On what a row was measured."""
    return {
        "processor": describe_environment([])["processor"],
        "torch": torch.__version__,
    }


def record(path: Path, row: dict[str, Any]) -> None:
    """Puts a row in the place of the one for the same case."""
    rows = json.loads(path.read_text()) if path.exists() else []
    case = ("events", "items", "source", "softmax", "threads")
    others = [old for old in rows if any(old[name] != row[name] for name in case)]
    rows = sorted([*others, row], key=lambda each: [each[name] for name in case])
    path.write_text(json.dumps(rows, indent=1) + "\n")


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
