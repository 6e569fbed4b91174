"""The first pass in PyTorch: a block of scores, its lowest and its next, on any device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from genrec.kernels.residual_assign.levels import assign_levels, matmul_coarseness, scores_of

__all__ = ["BLOCK_FLOATS", "FEWEST_ROWS", "propose_torch", "residual_assign_torch"]

BLOCK_FLOATS = 1 << 19  # scores that still lie in a cache when the lowest is looked for
FEWEST_ROWS = 64  # a thinner matrix product spends its time on reading the codebook
SHARES_A_THREAD = 4  # a thread that others hold up leaves its share's successors to the rest


def residual_assign_torch(vectors: Tensor, codebooks: Tensor) -> Tensor:
    """int64 [N, L], as `residual_assign` with checked arguments."""
    rows_at_once = max(FEWEST_ROWS, BLOCK_FLOATS // max(codebooks.shape[1:]))
    assign = partial(
        assign_levels,
        codebooks=codebooks,
        propose=propose_torch,
        coarseness=matmul_coarseness(vectors.device),
        rows_at_once=rows_at_once,
    )
    num_threads = torch.get_num_threads()
    if vectors.is_cuda or num_threads == 1 or len(vectors) <= rows_at_once:
        return assign(vectors)
    rows = max(rows_at_once, math.ceil(len(vectors) / (SHARES_A_THREAD * num_threads)))
    return _assign_in_threads(assign, vectors.split(rows), num_threads)


def _assign_in_threads(
    assign: Callable[[Tensor], Tensor], shares: Sequence[Tensor], num_threads: int
) -> Tensor:
    # torch's own threads wait for each other after every operation, which costs more than they save
    # where another process holds one of the processors. The number set is that of the thread that
    # sets it and of threads yet to begin; the latter is put right at the end.
    one_thread_each = partial(torch.set_num_threads, 1)
    try:
        with ThreadPoolExecutor(num_threads, initializer=one_thread_each) as pool:
            return torch.cat(list(pool.map(assign, shares)))
    finally:
        torch.set_num_threads(num_threads)


def propose_torch(
    residual: Tensor, codebook: Tensor, square_norms: Tensor
) -> tuple[Tensor, Tensor]:
    """The codes int64 [n] and gaps float32 [n], as `levels.Propose` has them."""
    scores = scores_of(residual, codebook, square_norms)
    nearest = _argmin(scores)
    lowest = scores.gather(1, nearest[:, None])[:, 0]
    next_lowest = scores.scatter_(1, nearest[:, None], torch.inf).amin(dim=1)
    return nearest, next_lowest - lowest


def _argmin(scores: Tensor) -> Tensor:
    if scores.device.type == "cpu":
        # NumPy compares a vector of scores at a time, torch one after the other.
        return torch.from_numpy(scores.numpy().argmin(axis=1))
    return scores.argmin(dim=1)
