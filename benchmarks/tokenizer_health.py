"""How sound the Semantic IDs of every method and input are: no generator, minutes instead of hours.

`python -m benchmarks.tokenizer_health --run runs/beauty --out docs/results/tokenizer_health.json`

The arms of benchmarks.tokenizers and, for the default inputs, each option of the RQ-VAE and of
residual k-means by itself.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from genrec import console
from genrec.evaluation import describe_environment
from genrec.semantic_ids import CodebookUpdate, ResidualKMeansConfig, RqVaeConfig, Whitening

from .tokenizers import ARMS, Arm, Subject

app = console.program(__doc__)

DEFAULT, LEARNT = ARMS["rkmeans-two-tower"], ARMS["rqvae-two-tower"]
TABLE_WIDTH = 140


def variant(**changes: Any) -> Arm:
    """The RQ-VAE on the same vectors as the default, with other settings."""
    return replace(LEARNT, config=replace(RqVaeConfig(), **changes))


VARIANTS = {
    **{name: arm for name, arm in ARMS.items() if arm.config is not None},
    "rqvae-two-tower, gradient codebooks": variant(codebook_update=CodebookUpdate.GRADIENT),
    "rqvae-two-tower, rotation trick": variant(rotation_trick=True),
    "rqvae-two-tower, Sinkhorn on the last level": variant(sinkhorn_last_level=True),
    "rqvae-two-tower, no revival of dead codes": variant(dead_code_share=0.0),
    "rqvae-two-tower, ZCA": variant(whitening=Whitening.ZCA),
    "rkmeans-two-tower, balanced": replace(DEFAULT, config=ResidualKMeansConfig(balanced=True)),
    "rkmeans-two-tower, without PCA": replace(
        DEFAULT, config=ResidualKMeansConfig(whitening=Whitening.CENTRE)
    ),
}


@app.command()
def benchmark(
    run: Annotated[list[Path], typer.Option(help="A run folder; give it again for another.")],
    out: Annotated[Path, typer.Option(help="The JSON to write.")],
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 3,
) -> None:
    """Fits every method on every run's catalogue, and prints and writes what its ids are like."""
    entries = [
        measure(Subject(folder), name, arm, seed)
        for folder in run
        for name, arm in VARIANTS.items()
        for seed in range(seeds)
    ]
    results = {
        "environment": describe_environment(
            ["python", "-m", "benchmarks.tokenizer_health", *sys.argv[1:]]
        ),
        "fits": entries,
    }
    out.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    Console(width=TABLE_WIDTH).print(table(entries))
    console.say(f"wrote {out}")


def measure(subject: Subject, name: str, arm: Arm, seed: int) -> dict[str, Any]:
    """One fit: its health and the seconds it took."""
    started = time.perf_counter()
    ids = arm.fit(subject, seed)
    seconds = time.perf_counter() - started
    return {
        "dataset": subject.dataset.name,
        "tokenizer": name,
        "seed": seed,
        "seconds": seconds,
        "health": ids.health.to_json(),
    }


def table(entries: list[dict[str, Any]]) -> Table:
    """One row a data set and tokenizer: means over seeds, the worst collisions and use."""
    columns = ("data", "tokenizer", "native collisions (worst)", "after", "least use")
    shown = Table(*columns, "perplexity", "explained", "seconds", "alarms")
    for dataset, name in dict.fromkeys((each["dataset"], each["tokenizer"]) for each in entries):
        group = [
            each for each in entries if (each["dataset"], each["tokenizer"]) == (dataset, name)
        ]
        healths = [each["health"] for each in group]
        rates = [health["native_collision_rate"] for health in healths]
        levels = [[level["perplexity"] for level in health["levels"]] for health in healths]
        shown.add_row(
            dataset,
            name,
            f"{sum(rates) / len(rates):.2%} ({max(rates):.2%})",
            str(max(health["collisions"] for health in healths)),
            f"{min(level['use'] for health in healths for level in health['levels']):.1%}",
            "/".join(f"{level:.0f}" for level in np.mean(levels, axis=0)),
            f"{sum(health['explained_variance'] for health in healths) / len(healths):.1%}",
            f"{sum(each['seconds'] for each in group) / len(group):.0f}",
            str(max(len(health["alarms"]) for health in healths)),
        )
    return shown


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
