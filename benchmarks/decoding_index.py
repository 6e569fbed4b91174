"""What the index costs in the decoding benchmark: building, memory, one step of the search."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.decoding_subjects import Point, draw_codes
from genrec.decoding import Edges, PrefixIndex, beam_search

__all__ = ["index_rows"]

SEED = 0
SEARCHES_A_TURN, WARM_UP_TURNS = 10, 2


class ClockedDecoder:
    """Gives every node a random score, and times what the search does between its calls."""

    def __init__(self, index: PrefixIndex) -> None:
        self.index = index
        generator = torch.Generator().manual_seed(SEED)
        self.scores = [-10 * torch.rand(nodes, generator=generator) for nodes in index.num_nodes]
        self.level_seconds = [0.0] * index.num_levels
        self._since = 0.0

    def start(self) -> None:
        """The clock runs."""
        self.level_seconds = [0.0] * len(self.level_seconds)
        self._since = time.perf_counter()

    def stop(self, level: int) -> None:
        """What has passed belongs to `level`."""
        self.level_seconds[level] += time.perf_counter() - self._since

    def score_children(self, level: int, edges: Edges) -> Tensor:
        """See `Decoder`; not timed."""
        self.stop(level)
        scores = self.scores[level][edges.child]
        self._since = time.perf_counter()
        return scores

    def advance(self, level: int, parents: Tensor, nodes: Tensor) -> None:  # noqa: ARG002
        """See `Decoder`; the next level begins."""
        self.stop(level)
        self._since = time.perf_counter()


def index_rows(points: Sequence[Point], *, repeats: int) -> list[dict[str, Any]]:
    """Building seconds, bytes a node, and milliseconds of expanding and selecting, of each point.

    The milliseconds are those of the slowest level, the median over searches; the indices take
    turns.

    Args:
        points: whose codes are drawn; their beams are the searches'.
        repeats: searches of each that are timed, after some that are not.
    """
    rows, decoders = [], []
    for point in points:
        codes = draw_codes(point)
        started = time.perf_counter()
        index = PrefixIndex(codes)
        build_seconds = time.perf_counter() - started
        decoders.append(ClockedDecoder(index))
        rows.append(
            {
                "index": True,
                "device": "cpu",
                **point.as_row(),
                "build_s": round(build_seconds, 4),
                "bytes_per_node": round(index.num_bytes / sum(index.num_nodes), 3),
            }
        )
    times: list[list[list[float]]] = [[] for _ in points]
    for turn in range(WARM_UP_TURNS + repeats // SEARCHES_A_TURN):
        for point, decoder, taken in zip(points, decoders, times, strict=True):
            for _ in range(SEARCHES_A_TURN):
                decoder.start()
                beam_search(decoder, decoder.index, num_requests=1, num_beams=point.beam)
                decoder.stop(point.levels - 1)
                if turn >= WARM_UP_TURNS:
                    taken.append(decoder.level_seconds)
    for row, taken in zip(rows, times, strict=True):
        by_level = np.median(np.array(taken), axis=0)  # [L]
        row["select_ms"] = round(float(by_level.max()) * 1e3, 4)
        row["slowest_level"] = int(by_level.argmax())
    return rows
