"""How long a tokenizer takes for very many items, stage by stage, and how much memory.

`python -m benchmarks.tokenize_scale --items 1000000 --width 384 --method rkmeans`

The embeddings are drawn: clusters within clusters of uneven sizes, in directions of falling
strength with some noise around them, a twentieth of the items copies of others. They lie in a file
of the temporary folder that the fit maps, as it does with those of a run; items x width x 4 bytes
must fit there. The result replaces the one for the same items, width and method in the JSON. Linux:
memory is read from /proc.
"""

from __future__ import annotations

import json
import os
import platform
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import faiss
import numpy as np
import numpy.typing as npt
import torch
import typer

from genrec import console
from genrec.embeddings.item_embeddings import require_usable
from genrec.semantic_ids import (
    Method,
    ProductConfig,
    Quantizer,
    ResidualKMeansConfig,
    RqVaeConfig,
    SemanticIds,
    TokenizerConfig,
    resolve_collisions,
    supported_num_codes,
)
from genrec.semantic_ids.fitting import explained_variance
from genrec.semantic_ids.linear import fit_product, fit_residual_kmeans
from genrec.semantic_ids.rqvae_fitting import fit_rqvae
from genrec.semantic_ids.vectors import blocks_of

app = console.program(__doc__)

RESULT = Path(__file__).parents[1] / "docs" / "results" / "tokenize_scale.json"
CONFIGS: dict[Method, type[TokenizerConfig]] = {
    Method.RQVAE: RqVaeConfig,
    Method.RKMEANS: ResidualKMeansConfig,
    Method.OPQ: ProductConfig,
}
NUM_CLUSTERS, NUM_PARTS, NUM_DIRECTIONS = 300, 40, 48
NOISE = 0.02
COPIED_SHARE = 0.05
SECONDS_BETWEEN_LOOKS = 0.05
MIB = 1 << 20

Floats = npt.NDArray[np.float32]


@app.command()
def benchmark(
    items: Annotated[int, typer.Option(help="Items, N.", min=1)] = 1_000_000,
    width: Annotated[int, typer.Option(help="Width of their embeddings.", min=1)] = 384,
    method: Annotated[Method, typer.Option(help="How codes are found.")] = Method.RKMEANS,
    out: Annotated[Path, typer.Option(help="The JSON to write into.")] = RESULT,
) -> None:
    """Measures one size and method."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        vectors = drawn(Path(folder) / "vectors.npy", items, width)
        record = measure(vectors, CONFIGS[method]())
    record |= {"load_before": load, "hardware": hardware()}
    key = ("items", "width", "method")
    runs = json.loads(out.read_text())["runs"] if out.is_file() else []
    runs = [run for run in runs if any(run[name] != record[name] for name in key)]
    runs = sorted([*runs, record], key=lambda run: [run[name] for name in key])
    out.write_text(json.dumps({"runs": runs}, indent=1) + "\n")
    console.say(json.dumps(record, indent=1))


def drawn(file: Path, num_items: int, width: int) -> Floats:
    """float32 [N, D], mapped from a file that is written a block at a time."""
    generator = np.random.default_rng(0)
    normal = partial(generator.standard_normal, dtype=np.float32)
    strengths = np.arange(1, NUM_DIRECTIONS + 1, dtype=np.float32)[:, None] ** -0.5
    directions = strengths * normal((NUM_DIRECTIONS, width))
    clusters = 2.0 * normal((NUM_CLUSTERS, NUM_DIRECTIONS))
    parts = normal((NUM_CLUSTERS, NUM_PARTS, NUM_DIRECTIONS))
    shares = np.arange(1, NUM_CLUSTERS + 1) ** -0.5
    written = np.lib.format.open_memmap(file, "w+", np.float32, (num_items, width))
    with console.progress("drawing embeddings", num_items) as advance:
        for rows in blocks_of(num_items):
            size = rows.stop - rows.start
            cluster = generator.choice(NUM_CLUSTERS, size, p=shares / shares.sum())
            part = generator.integers(0, NUM_PARTS, size)
            inside = 0.7 * normal((size, NUM_DIRECTIONS)) + clusters[cluster] + parts[cluster, part]
            block = inside @ directions + NOISE * normal((size, width))
            copies = round(COPIED_SHARE * size)
            block[:copies] = block[size - copies :]
            written[rows] = block
            advance(size)
    written.flush()
    del written
    mapped: Floats = np.load(file, mmap_mode="r")
    return mapped


def measure(vectors: Floats, config: TokenizerConfig) -> dict[str, Any]:
    """Seconds by stage, as `fit_semantic_ids` goes through them on one process, and memory."""
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - started

    num_codes = supported_num_codes(len(vectors), config)
    with memory_watched() as memory:
        with stage("check"):
            require_usable("content", vectors)
        with stage("fit"):
            quantizer = fitted(vectors, config, num_codes)
        with stage("assign"):
            native = assigned(vectors, quantizer)
        with stage("collisions"):
            codebooks = list(quantizer.codebooks.numpy())
            resolution = resolve_collisions(quantizer.encoded(vectors), codebooks, native)
        with stage("health"):
            ids = SemanticIds(
                codes=resolution.codes.astype(np.uint16),
                native_codes=native,
                config=config,
                quantizer=quantizer,
                explained_variance=explained_variance(quantizer, vectors, native),
            )
            health = ids.health
    total = sum(seconds.values())
    return {
        "method": str(config.method),
        "items": len(vectors),
        "width": vectors.shape[1],
        "num_levels": config.num_levels,
        "num_codes": num_codes,
        "seconds": seconds,
        "total_seconds": total,
        "items_per_second": len(vectors) / total,
        "file_mib": vectors.nbytes / MIB,
        **memory,
        "native_collision_rate": health.native_collision_rate,
        "collisions": health.collisions,
        "num_changed": health.num_changed,
        "num_moved": health.num_moved,
        "explained_variance": health.explained_variance,
        "alarms": health.alarms,
        "threads": {"torch": torch.get_num_threads(), "faiss": faiss.omp_get_max_threads()},
    }


def fitted(vectors: Floats, config: TokenizerConfig, num_codes: int) -> Quantizer:
    """The quantiser of these vectors."""
    match config:
        case RqVaeConfig():
            return fit_rqvae(vectors, config, num_codes=num_codes)
        case ResidualKMeansConfig():
            return fit_residual_kmeans(vectors, config, num_codes=num_codes)
        case ProductConfig():
            return fit_product(vectors, config, num_codes=num_codes)


def assigned(vectors: Floats, quantizer: Quantizer) -> npt.NDArray[np.uint16]:
    """uint16 [N, L]: the nearest codes."""
    native = np.empty((len(vectors), len(quantizer.codebooks)), dtype=np.uint16)
    with console.progress("assigning codes", len(vectors)) as advance:
        for rows in blocks_of(len(vectors)):
            native[rows] = quantizer.assign_array(vectors[rows])
            advance(rows.stop - rows.start)
    return native


@contextmanager
def memory_watched() -> Iterator[dict[str, float]]:
    """Gives a mapping that holds, once it is left, the most memory of each kind in between.

    `peak_anonymous_mib` is what the process needs; `peak_file_mib` are the pages of mapped files
    (the vectors, libraries), which the system takes back when it needs them.
    """
    peaks = {"peak_anonymous_mib": 0.0, "peak_file_mib": 0.0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            for name, kind in (("peak_anonymous_mib", "RssAnon"), ("peak_file_mib", "RssFile")):
                peaks[name] = max(peaks[name], resident_mib(kind))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        done.set()
        watcher.join()


def resident_mib(kind: str) -> float:
    """The process's resident memory of one kind."""
    found = re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def hardware() -> dict[str, Any]:
    """What it ran on."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model[1] if model else platform.processor(),
        "num_cpus": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / MIB,
        "torch": torch.__version__,
    }


def main(argv: list[str] | None = None) -> None:
    """Runs the program on these arguments; None takes them from the command line."""
    console.run(app, argv)


if __name__ == "__main__":
    main()
