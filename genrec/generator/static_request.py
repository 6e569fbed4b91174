"""A request whose tensors stay where they are: it is filled, and answered, again and again."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.decoding import FilterCache
from genrec.generator.buckets import Bucket
from genrec.generator.encoded import EncodedRequests
from genrec.generator.items import ItemTables
from genrec.generator.source import GeneratorSource, Mode
from genrec.interactions import NO_ITEM, Recommendations, RequestBatch

__all__ = ["StaticRequest"]


class StaticRequest:
    """The inputs of one bucket, and how they are answered.

    `answer` reads tensors of fixed addresses, gives tensors of fixed shapes, and never waits for
    the device: what CUDA graphs ask of a function.

    Args:
        source: answers.
        tables: of one state of the catalogue, over a static index.
        bucket: the shapes.
    """

    def __init__(self, source: GeneratorSource, tables: ItemTables, bucket: Bucket) -> None:
        self.source, self.tables, self.bucket = source, tables, bucket
        device, rows = source.model.device, bucket.filter_rows
        shape = (bucket.batch, bucket.length + bucket.excluded)
        self._read = torch.full(shape, NO_ITEM, pin_memory=device.type == "cuda")
        self.questions = self._read.to(device, copy=True)
        """int64 [B, T + S]: each window, and behind it the items that are left out."""
        self.leaves = [
            torch.zeros(rows, nodes, dtype=torch.int32, device=device)
            for nodes in (tables.index.num_nodes if rows and source.mode is not Mode.DENSE else ())
        ]
        """Per level, int32 [1 or B, nodes]: what filters leave beneath each node."""
        self.allowed: Tensor | None = None
        """bool [1 or B, N]: what filters allow, for the dense head."""
        if rows and source.mode is not Mode.GENERATIVE:
            self.allowed = torch.zeros(rows, tables.num_items, dtype=torch.bool, device=device)

    @property
    def num_bytes(self) -> int:
        """Of the inputs, on the device."""
        inputs = [self.questions, *self.leaves, *([] if self.allowed is None else [self.allowed])]
        return sum(tensor.nbytes for tensor in inputs)

    def fill(self, requests: RequestBatch, window: Tensor, filters: FilterCache) -> None:
        """Writes questions over those that stand here; the device is not waited for.

        Args:
            requests: no more and no larger ones than the bucket's; `allowed` over all items.
            window: int64 [B, T], on the CPU, as `cut_to_window` gives.
            filters: over the index that `tables` views.
        """
        length = self.bucket.length
        self._read.fill_(NO_ITEM)
        self._read[: len(window), : window.shape[1]] = window
        if self.bucket.excluded and requests.excluded is not None:
            excluded = requests.excluded
            # What is no item is left out of every answer anyway.
            excluded = excluded.masked_fill(excluded >= self.tables.num_items, NO_ITEM)
            self._read[: len(window), length : length + excluded.shape[1]] = excluded
        self.questions.copy_(self._read, non_blocking=True)
        if requests.allowed is not None:
            if self.leaves:
                for buffer, made in zip(self.leaves, filters.tables(requests.allowed), strict=True):
                    buffer[: len(made)].copy_(made, non_blocking=True)
            if self.allowed is not None:
                allowed = requests.allowed
                self.allowed[: len(allowed)].copy_(allowed, non_blocking=True)

    def answer(self) -> Recommendations:
        """As many items as the last level has beams, for every request of the bucket."""
        model, length = self.source.model, self.bucket.length
        window, excluded = self.questions[:, :length], self.questions[:, length:]
        requests = RequestBatch(
            item_index=window,
            event_time=window,  # no generator reads it
            user_index=window[:, 0],  # nor this
            allowed=self.allowed,
            excluded=excluded if self.bucket.excluded else None,
        )
        asked = EncodedRequests(
            requests=requests,
            window=window,
            tables=self.tables,
            states=model.encode(self.tables, window),
            lengths=(window != NO_ITEM).sum(1),
            leaves=self.leaves,
        )
        num_beams = self.bucket.num_beams
        return self.source.ranked(asked, num_beams[-1], num_beams)
