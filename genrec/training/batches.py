"""What the loop asks of training data: whole batches, their size, and a part for every process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

__all__ = ["Batch", "BatchSize", "Batches"]

Batch = dict[str, Tensor]
"""What the model's forward takes, by name, on the CPU."""


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """How much a batch, or a part of one, holds."""

    targets: int
    """What the model's loss is a mean over; 0 where a process has nothing of a small batch."""
    events: int
    """Inputs that are events of a history."""
    places: int
    """Inputs that are computed: events and padding."""


class Batches(Protocol):
    """The training data, batch by batch; a batch is what all processes together learn from."""

    def __len__(self) -> int:
        """Batches an epoch."""

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of this epoch: the same whenever asked, whatever was drawn before."""

    def size_of(self, batch: Batch) -> BatchSize:
        """How much this batch or part holds."""

    def part(self, batch: Batch, index: int, parts: int) -> Batch:
        """What process `index` of `parts` computes: every target stands in exactly one part."""
