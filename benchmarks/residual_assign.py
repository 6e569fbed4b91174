"""Measures `residual_assign` beside a plain loop over `torch.cdist`: time by threads, and memory.

`python -m benchmarks.residual_assign` prints a table and writes docs/results/residual_assign.json.
Ratios are of pairs that ran one after the other; memory is that of a fresh process each (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genrec.kernels import Backend, residual_assign

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "residual_assign.json"
NUM_LEVELS, NUM_CODES, WIDTH = 4, 256, 64
NUM_ITEMS = {"cpu": 100_000, "cuda": 1_000_000}
THREADS = (1, 2)
REPEATS = 9
MIB = 1 << 20

Assign = Callable[[Tensor, Tensor], Tensor]


def main(argv: list[str] | None = None) -> None:
    """Prints the table and writes the JSON; with --memory-of, one process's peak in bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULT, help="where the JSON goes")
    parser.add_argument("--memory-of", choices=("ours", "naive"), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.memory_of:
        print(cpu_peak(arguments.memory_of, arguments.threads))
        return
    report = measure()
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report))


def naive_assign(vectors: Tensor, codebooks: Tensor) -> Tensor:
    """int64 [N, L]: all items at once, every distance in memory."""
    residual = vectors
    codes = torch.empty(len(vectors), len(codebooks), dtype=torch.int64, device=vectors.device)
    for level, codebook in enumerate(codebooks):
        nearest = torch.cdist(residual, codebook).argmin(1)
        codes[:, level] = nearest
        residual = residual - codebook[nearest]
    return codes


CPU_ARMS: dict[str, Assign] = {"ours": residual_assign, "naive": naive_assign}
CUDA_ARMS: dict[str, Assign] = {
    "ours": partial(residual_assign, backend=Backend.TRITON),
    "torch": partial(residual_assign, backend=Backend.TORCH),
    "naive": naive_assign,
}


def measure() -> dict[str, Any]:
    """The whole report."""
    report: dict[str, Any] = {
        "hardware": {"cpu": cpu_model(), "num_cpus": os.cpu_count(), "torch": torch.__version__},
        "load_before": os.getloadavg()[0],
        "num_levels": NUM_LEVELS,
        "num_codes": NUM_CODES,
        "width": WIDTH,
        "repeats": REPEATS,
        "runs": [measure_cpu(num_threads) for num_threads in THREADS],
    }
    if torch.cuda.is_available():
        report["hardware"]["gpu"] = torch.cuda.get_device_name()
        report["runs"] += measure_cuda()
    return report


def measure_cpu(num_threads: int) -> dict[str, Any]:
    """Ours and the naive loop on so many threads."""
    torch.set_num_threads(num_threads)
    times = time_in_turn(CPU_ARMS, *tensors("cpu"))
    command = [sys.executable, "-m", "benchmarks.residual_assign", "--threads", str(num_threads)]
    peaks = {
        arm: int(subprocess.check_output([*command, "--memory-of", arm], cwd=ROOT, text=True))
        for arm in CPU_ARMS
    }
    return compared("cpu", "naive", times, peaks) | {"num_threads": num_threads}


def measure_cuda() -> list[dict[str, Any]]:
    """The Triton twin beside the same in PyTorch, and beside the naive loop."""
    vectors, codebooks = tensors("cuda")
    times = time_in_turn(CUDA_ARMS, vectors, codebooks)
    peaks = {arm: cuda_peak(assign, vectors, codebooks) for arm, assign in CUDA_ARMS.items()}
    return [compared("cuda", other, times, peaks) for other in ("torch", "naive")]


def tensors(device: str) -> tuple[Tensor, Tensor]:
    """Items [N, D], and codebooks [L, K, D] that shrink as those of a trained quantiser do."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(NUM_ITEMS[device], WIDTH, generator=generator)
    codebooks = torch.randn(NUM_LEVELS, NUM_CODES, WIDTH, generator=generator)
    codebooks *= 0.5 * 0.7 ** torch.arange(NUM_LEVELS)[:, None, None]
    return vectors.to(device), codebooks.to(device)


def time_in_turn(
    arms: dict[str, Assign], vectors: Tensor, codebooks: Tensor
) -> dict[str, list[float]]:
    """Milliseconds of every repeat; the arms take turns, so that all meet the same disturbances."""
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    for repeat in range(REPEATS + 1):
        for arm, assign in arms.items():
            started = time.perf_counter()
            assign(vectors, codebooks)
            if vectors.is_cuda:
                torch.cuda.synchronize()
            if repeat:  # the first warms up
                times[arm].append((time.perf_counter() - started) * 1e3)
    return times


def compared(
    device: str, other: str, times: dict[str, list[float]], peaks: dict[str, int]
) -> dict[str, Any]:
    """Ours beside one other arm."""
    ratios = [theirs / ours for ours, theirs in zip(times["ours"], times[other], strict=True)]
    return {
        "device": device,
        "num_items": NUM_ITEMS[device],
        "other": other,
        "ours_ms": statistics.median(times["ours"]),
        "other_ms": statistics.median(times[other]),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "ours_peak_mib": peaks["ours"] / MIB,
        "other_peak_mib": peaks[other] / MIB,
    }


def cpu_peak(arm: str, num_threads: int) -> int:
    """Bytes that one call adds to this process at most."""
    torch.set_num_threads(num_threads)
    vectors, codebooks = tensors("cpu")
    CPU_ARMS[arm](vectors[:100], codebooks)  # loads what is loaded once
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = process_bytes("VmRSS")
    CPU_ARMS[arm](vectors, codebooks)
    return process_bytes("VmHWM") - before


def process_bytes(field: str) -> int:
    """A size of this process, as Linux keeps it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(rf"{field}:\s+(\d+) kB", status)[0]) * 1024


def cuda_peak(assign: Assign, vectors: Tensor, codebooks: Tensor) -> int:
    """Bytes that one call adds to what torch holds on the GPU at most."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    assign(vectors, codebooks)
    return torch.cuda.max_memory_allocated() - before


def cpu_model() -> str:
    """The processor's name."""
    names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return names[0] if names else platform.machine()


def table(report: dict[str, Any]) -> str:
    """A Markdown table with one row a comparison."""
    columns = "| on | N | beside | ms | its ms | ratio (range) | peak MiB | its peak MiB |"
    return "\n".join([columns, "|---|---|---|---|---|---|---|---|", *map(row, report["runs"])])


def row(run: dict[str, Any]) -> str:
    """One comparison's line."""
    low, high = run["ratio_range"]
    threads = run.get("num_threads")
    cells = [
        f"{run['device']}, {threads} threads" if threads else run["device"],
        f"{run['num_items']:,}",
        run["other"],
        f"{run['ours_ms']:.1f}",
        f"{run['other_ms']:.1f}",
        f"{run['ratio']:.2f} ({low:.2f}–{high:.2f})",
        f"{run['ours_peak_mib']:.1f}",
        f"{run['other_peak_mib']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
