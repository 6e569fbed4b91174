"""Times every kernel beside its reference and beside plain PyTorch, at the shapes of a request.

`python -m benchmarks.kernels` prints a table and writes docs/results/kernels.json. On a CPU it uses
one thread; where there is a GPU, the Triton twins are timed on it, too. The catalogue is a random
one of 100,000 items with four codes of 256. The arms take turns, so that all meet the same
disturbances: on a busy machine only ratios mean something. Before anything is timed, all arms must
give the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.residual_assign import cpu_model, naive_assign
from genrec.decoding import Edges, PrefixIndex
from genrec.errors import InputError
from genrec.kernels import (
    beam_select,
    beam_self_attention,
    code_embedding_bag,
    residual_assign,
    trie_expand,
)
from genrec.kernels.beam_select.reference import beam_select_reference
from genrec.kernels.beam_self_attention.reference import beam_self_attention_reference
from genrec.kernels.code_embedding_bag.reference import code_embedding_bag_reference
from genrec.kernels.residual_assign.reference import residual_assign_reference
from genrec.kernels.trie_expand.reference import trie_expand_reference

RESULT = Path(__file__).parents[1] / "docs" / "results" / "kernels.json"
NUM_ITEMS, NUM_LEVELS, NUM_CODES, WIDTH = 100_000, 4, 256, 128
NUM_BEAMS, NUM_HEADS = 50, 4
TRAINING_ROWS = 100
SECONDS = 1.0  # a case; at least MIN_ROUNDS rounds
MIN_ROUNDS = 3
TOLERANCE = 1e-4

Arm = Callable[[], Tensor]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kernel at one shape."""

    kernel: str
    shape: str
    arms: dict[str, Arm]
    """ours, reference, and plain where plain PyTorch is something else than the reference."""


def main(argv: list[str] | None = None) -> None:
    """Prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULT, help="where the JSON goes")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="only there; without it, wherever a kernel runs"
    )
    arguments = parser.parse_args(argv)
    out = arguments.out
    devices = devices_of(arguments.device)
    torch.set_num_threads(1)
    hardware = {"cpu": cpu_model(), "python": platform.python_version(), "torch": torch.__version__}
    if "cuda" in devices:
        hardware["gpu"] = torch.cuda.get_device_name()
    load = os.getloadavg()[0]
    runs = [measure(case, device) for device in devices for case in cases(torch.device(device))]
    report = {"hardware": hardware, "load_before": load, "num_threads": 1, "runs": runs}
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(runs))


def devices_of(wanted: str | None) -> list[str]:
    """Where kernels are timed: in PyTorch on the CPU, by their Triton twins on a GPU."""
    there = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if wanted is None:
        return there
    if wanted not in there:
        raise InputError(f"there is no {wanted} device to time kernels on; leave --device out")
    return [wanted]


def cases(device: torch.device) -> Iterator[Case]:
    """Every kernel at the shapes that the product has."""
    generator = torch.Generator().manual_seed(0)
    codes = np.unique(
        np.random.default_rng(0).integers(0, NUM_CODES, (NUM_ITEMS, NUM_LEVELS)), axis=0
    )
    index = PrefixIndex(codes).to(device)
    yield from trie_cases(index, generator)
    for rows, width, beams in ((1, 12_800, 50), (1, 1_000_000, 50), (1, 4_194_304, 512)):
        yield selection(rows, width, beams, generator, device)
    yield selection(128, 15_000, 50, generator, device)
    for batch, beams in ((1, NUM_BEAMS), (16, NUM_BEAMS), (1, 512)):
        yield attention(batch, beams, generator, device)
    yield bag(torch.from_numpy(codes).to(device), generator)
    yield assignment(generator, device)


def trie_cases(index: PrefixIndex, generator: torch.Generator) -> Iterator[Case]:
    """The four steps of a request, and a training step on the widest level."""
    for level in range(NUM_LEVELS):
        beams = NUM_BEAMS if level else 1
        yield expansion(index, level, beams, generator, trains=False)
    yield expansion(index, 1, TRAINING_ROWS, generator, trains=True)


def expansion(
    index: PrefixIndex, level: int, rows: int, generator: torch.Generator, *, trains: bool
) -> Case:
    """`trie_expand` of random nodes; plain PyTorch copies a query and a node for every edge."""
    num_above = index.num_nodes[level - 1] if level else 1
    above = torch.randint(0, num_above, (rows,), generator=generator)
    edges = index.expand(level, above.to(index.device))
    nodes = F.normalize(torch.randn(index.num_nodes[level], WIDTH, generator=generator), dim=1)
    queries = F.normalize(torch.randn(rows, WIDTH, generator=generator), dim=1) / 0.07
    queries, nodes = queries.to(index.device), nodes.to(index.device)
    place = (queries, nodes, edges.child, edges.start, edges.degree)
    arms: dict[str, Arm] = {
        "ours": lambda: trie_expand(*place),
        "reference": lambda: trie_expand_reference(*place),
        "plain": lambda: plain_expand(queries, nodes, edges),
    }
    name = f"level {level}, R={rows}, E={edges.child.numel()}, n={len(nodes)}, D={WIDTH}"
    if trains:
        queries.requires_grad_()
        nodes.requires_grad_()
        arms = {arm: gradient_of(run, queries, nodes) for arm, run in arms.items()}
        name += ", with gradients"
    return Case(kernel="trie_expand", shape=name, arms=arms)


def plain_expand(queries: Tensor, nodes: Tensor, edges: Edges) -> Tensor:
    """float32 [E]: with [E, D] copies, and a scatter for each row's maximum and sum."""
    scores = (queries[edges.row] * nodes[edges.child]).sum(1)
    scores = scores.masked_fill(~edges.is_child, -torch.inf)
    lowest = scores.detach().new_full(edges.degree.shape, -torch.inf)
    highest = lowest.scatter_reduce(0, edges.row, scores.detach(), "amax")
    shifted = scores - highest[edges.row]
    total = scores.new_zeros(edges.degree.shape).index_add(0, edges.row, shifted.exp())
    return shifted - total.log()[edges.row]


def gradient_of(run: Arm, *inputs: Tensor) -> Arm:
    """The gradient by the inputs of the sum of the squares, where they are finite."""

    def gradient() -> Tensor:
        log_probs = run()
        loss = log_probs.masked_fill(log_probs == -torch.inf, 0.0).square().sum()
        return torch.cat(torch.autograd.grad(loss, inputs)) / log_probs.numel()

    return gradient


def selection(
    rows: int, width: int, beams: int, generator: torch.Generator, device: torch.device
) -> Case:
    """`beam_select`; plain PyTorch orders int64 keys of all entries."""
    scores = (torch.randn(rows, width, generator=generator) * 3 - 10).to(device)
    index = torch.arange(width, device=device)
    return Case(
        kernel="beam_select",
        shape=f"B={rows}, W={width}, M={beams}",
        arms={
            "ours": lambda: beam_select(scores, index, beams)[1],
            "reference": lambda: beam_select_reference(scores, index, beams)[1],
            "plain": lambda: plain_select(scores, index, beams),
        },
    )


def plain_select(scores: Tensor, index: Tensor, beams: int) -> Tensor:
    """int64 [B, M]: the best by keys that hold the score above the index."""
    bits = (scores + 0.0).view(torch.int32).long()
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return ((ordered << 32) - index).topk(beams, dim=1).indices


def attention(batch: int, beams: int, generator: torch.Generator, device: torch.device) -> Case:
    """`beam_self_attention` of the last step; plain PyTorch re-orders the caches, then attends."""
    width = WIDTH // NUM_HEADS
    shape = (batch, NUM_LEVELS, beams, 2, NUM_HEADS, width)
    query = torch.randn(batch, beams, NUM_HEADS, width, generator=generator).to(device)
    keys_values = torch.randn(shape, generator=generator).to(device)
    table = (batch, beams, NUM_LEVELS)
    ancestors = torch.randint(0, beams, table, generator=generator).to(device)
    requests = torch.arange(batch, device=device)[:, None, None]
    steps = torch.arange(NUM_LEVELS, device=device)

    def plain() -> Tensor:
        past, seen = (
            cache[requests, steps, ancestors].flatten(0, 1).transpose(1, 2)
            for cache in keys_values.unbind(3)
        )  # [B * M, H, S, d]
        attended = F.scaled_dot_product_attention(query.flatten(0, 1)[:, :, None], past, seen)
        return attended.view(query.shape)

    inputs = (query, keys_values, ancestors)
    return Case(
        kernel="beam_self_attention",
        shape=f"B={batch}, M={beams}, S={NUM_LEVELS}, H={NUM_HEADS}, d={width}",
        arms={
            "ours": lambda: beam_self_attention(*inputs),
            "reference": lambda: beam_self_attention_reference(*inputs, width**-0.5),
            "plain": plain,
        },
    )


def bag(codes: Tensor, generator: torch.Generator) -> Case:
    """`code_embedding_bag` of the whole catalogue."""
    table = torch.randn(NUM_LEVELS * NUM_CODES, WIDTH, generator=generator).to(codes.device)
    offsets = torch.arange(NUM_LEVELS, device=codes.device) * NUM_CODES
    return Case(
        kernel="code_embedding_bag",
        shape=f"N={len(codes)}, L={NUM_LEVELS}, D={WIDTH}",
        arms={
            "ours": lambda: code_embedding_bag(codes, table, offsets),
            "reference": lambda: code_embedding_bag_reference(codes, table, offsets),
        },
    )


def assignment(generator: torch.Generator, device: torch.device) -> Case:
    """`residual_assign`; benchmarks/residual_assign.py measures it at full size."""
    vectors = torch.randn(1000, 64, generator=generator).to(device)
    codebooks = torch.randn(NUM_LEVELS, NUM_CODES, 64, generator=generator).to(device)
    return Case(
        kernel="residual_assign",
        shape=f"N={len(vectors)}, L={NUM_LEVELS}, K={NUM_CODES}, D=64",
        arms={
            "ours": lambda: residual_assign(vectors, codebooks),
            "reference": lambda: residual_assign_reference(vectors, codebooks),
            "plain": lambda: naive_assign(vectors, codebooks),
        },
    )


def measure(case: Case, device: str) -> dict[str, Any]:
    """Milliseconds of each arm, and how much longer than ours the others take."""
    expected = case.arms["reference"]()
    for arm, run in case.arms.items():
        torch.testing.assert_close(
            run(), expected, atol=TOLERANCE, rtol=TOLERANCE, msg=f"{case.kernel}: {arm} differs"
        )
    times: dict[str, list[float]] = {arm: [] for arm in case.arms}
    until = time.perf_counter() + SECONDS
    while len(times["ours"]) < MIN_ROUNDS or time.perf_counter() < until:
        for arm, run in case.arms.items():
            started = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            times[arm].append((time.perf_counter() - started) * 1e3)
    return {
        "device": device,
        "kernel": case.kernel,
        "shape": case.shape,
        "rounds": len(times["ours"]),
        "min_ms": {arm: min(each) for arm, each in times.items()},
        "p50_ms": {arm: statistics.median(each) for arm, each in times.items()},
    }


def table(runs: list[dict[str, Any]]) -> str:
    """A Markdown table with one row a case; ratios are of the medians."""
    lines = [
        "| on | kernel | shape | min ms | p50 ms | reference ÷ ours | plain ÷ ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        p50 = run["p50_ms"]
        ratios = [
            f"{p50[arm] / p50['ours']:.1f}" if arm in p50 else "–" for arm in ("reference", "plain")
        ]
        ours = [f"{run[figure]['ours']:.3f}" for figure in ("min_ms", "p50_ms")]
        cells = [run["device"], run["kernel"], run["shape"], *ours, *ratios]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
