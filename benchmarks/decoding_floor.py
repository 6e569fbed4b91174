"""How much of a decoding request is products, and how fast they could be at best.

`python -m benchmarks.decoding_floor --out docs/results/decoding_floor.json`

The T5 of `benchmarks.decoding` at its base point, one thread. `products` is the time that its
linear maps take within the request, where their weights come from behind the caches; `floor` is
what their multiplications would take at the rate of one large product, which is the best this core
does. What is left of a request beside its products is attention, selection, norms and calls.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.decoding_engines import GenrecEngine
from benchmarks.decoding_subjects import Point, subject_of
from genrec import console
from genrec.evaluation import describe_environment
from genrec.generator.tiger import T5Weights
from genrec.kernels.packed_linear import PackedLinear

app = console.program(__doc__)

OUT = Path("docs/results/decoding_floor.json")
REQUESTS, WARM_UP = 100, 10
LARGE = 1024
"""Rows and columns of the large product."""


class ClockedLinear(PackedLinear):
    """A linear map that counts its time and its multiplications."""

    seconds = 0.0
    multiplications = 0

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, pack: bool = True) -> None:
        super().__init__(weight, bias, pack=pack)
        self._entries = weight.numel()

    def __call__(self, rows: Tensor) -> Tensor:
        """As `PackedLinear`."""
        started = time.perf_counter()
        product = super().__call__(rows)
        return self._counted(started, rows, product)

    def relu(self, rows: Tensor) -> Tensor:
        """As `PackedLinear`."""
        started = time.perf_counter()
        product = super().relu(rows)
        return self._counted(started, rows, product)

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        """As `PackedLinear`."""
        started = time.perf_counter()
        product = super().plus(rows, other)
        return self._counted(started, rows, product)

    def _counted(self, started: float, rows: Tensor, product: Tensor) -> Tensor:
        ClockedLinear.seconds += time.perf_counter() - started
        ClockedLinear.multiplications += rows.numel() // rows.shape[-1] * self._entries
        return product


@app.command()
def benchmark(out: Annotated[Path, typer.Option(help="The JSON to write.")] = OUT) -> None:
    """Measures, prints and writes."""
    torch.set_num_threads(1)
    point = Point()
    subject = subject_of(point)
    clocked = T5Weights(subject.model, subject.shape, ClockedLinear)
    engine = GenrecEngine(subject, point)
    counting = GenrecEngine(replace(subject, weights=clocked), point)
    generator = torch.Generator().manual_seed(0)
    histories = torch.randint(
        point.items, (REQUESTS + WARM_UP, 1, point.history), generator=generator
    )
    whole, products = [], []
    with torch.inference_mode():
        for history in histories:
            whole.append(_milliseconds(engine, history))
            ClockedLinear.seconds, ClockedLinear.multiplications = 0.0, 0
            _milliseconds(counting, history)
            products.append(1e3 * ClockedLinear.seconds)
        rate = _rate_of_a_large_product()
    report: dict[str, Any] = {
        "point": point.as_row(),
        "request_p50_ms": float(np.median(whole[WARM_UP:])),
        "products_p50_ms": float(np.median(products[WARM_UP:])),
        "gigaflop": 2e-9 * ClockedLinear.multiplications,
        "gigaflop_a_second_of_a_large_product": rate,
        "floor_ms": 2e-6 * ClockedLinear.multiplications / rate,
        "environment": describe_environment(
            ["python", "-m", "benchmarks.decoding_floor", *sys.argv[1:]]
        ),
    }
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for name in ("request_p50_ms", "products_p50_ms", "floor_ms"):
        console.say(f"{name}: {report[name]:.1f}")
    console.say(f"wrote {out}")


def _milliseconds(engine: GenrecEngine, history: Tensor) -> float:
    question = engine.prepare(history)
    started = time.perf_counter()
    engine.search(question)
    return 1e3 * (time.perf_counter() - started)


def _rate_of_a_large_product() -> float:
    """10^9 floating-point operations a second, the best of several."""
    left, right = torch.randn(2, LARGE, LARGE)
    best = float("inf")
    for _ in range(30):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return 2e-9 * LARGE**3 / best


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
